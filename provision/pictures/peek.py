"""Slices of an image as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError
from provision.pictures import checks, drawing
from provision.pictures.explorer import Explorer
from provision.pictures.overlays import overlay_of
from provision.pictures.picture import is_number
from provision.pictures.reader import Reader
from provision.pictures.slices import Slices

if TYPE_CHECKING:
    from provision.pictures.picture import Picture
    from provision.pictures.reader import Image


def peek(
    image: Image,
    *,
    plane: str | None = None,
    focus: Sequence[float | None] | None = None,
    volume: int | None = None,
    slices: int | Sequence[int] | None = None,
    range: Sequence[float] | None = None,
    percentiles: Sequence[float] | None = None,
    colourmap: str = "gray",
    overlay: Image | Sequence[Image] | None = None,
    threshold: float | None = None,
    overlay_range: Sequence[float] | None = None,
    overlay_colourmap: str | None = None,
    opacity: float = 0.8,
    smooth: bool = True,
    crosshair: bool = True,
    size: int = drawing.WIDTH,
    figure: Any = None,
    interactive: bool = False,
) -> Picture | Explorer:
    """Show slices of an image.

    Slices follow the radiological convention: the patient's right is on the left of an axial or coronal slice, and the
    front on the left of a sagittal one. The letters say so: R and L, A and P, S and I. Below are the voxel and the
    place of the crosshair, and the value there; the bar on the right shows which intensities the colours mean.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        Whatever MRtrix3 opens, as for `provision.pictures.reader.Reader`.
    plane : {"axial", "coronal", "sagittal"}, optional
        The plane; by default a sagittal, a coronal and an axial slice side by side.
    focus : sequence of three numbers, optional
        The voxel x, y, z that the slices pass through, counted from 0 to the right, the front and up, as in mrview and
        mrinfo. None means the middle, of one axis or of all.
    volume : int, optional
        The volume of a 4-D image, counted from 0 (default: the first). Along further axes, the first position is shown.
    slices : int or sequence of int, optional
        A mosaic of slices of one plane (default: axial): so many at equal distances, or these. Each has its number.
    range : (low, high), optional
        The intensities of the darkest and brightest colour.
    percentiles : (low, high), optional
        The same, as percentiles of the volume. By default they are the 2nd and 98th of what is not background, as for
        `provision.pictures.drawing.robust_range`.
    colourmap : str
        A colour map of matplotlib's.
    overlay : image or sequence of images, optional
        What to draw over it, on any grid. A mask, which has 0 and one other value, is drawn as an outline; three
        volumes as directions, whose magnitudes are red (left-right), green (front-back) and blue (head-foot); any other
        image as a map with colours.
    threshold : float, optional
        Values of a map of a lesser magnitude are not drawn.
    overlay_range : (low, high), optional
        The values of a map's first and last colour.
    overlay_colourmap : str, optional
        The colour map of a map (default: hot, or coolwarm for values of both signs).
    opacity : float
        The opacity of maps and directions, from 0 to 1.
    smooth : bool
        Whether to interpolate between voxels; False shows them as they are.
    crosshair : bool
        Whether to mark the focus.
    size : int
        The width of the picture in pixels.
    figure : matplotlib.figure.Figure, optional
        A figure, or part of one, to draw in; its size is kept.
    interactive : bool
        Whether to return sliders for the slices and the volume.

    Returns
    -------
    provision.pictures.picture.Picture or provision.pictures.explorer.Explorer
        The picture, whose ``alt`` describes it and the range of intensities, and whose ``figure`` is matplotlib's; with
        `interactive`, the sliders.

    Raises
    ------
    provision.errors.OptionError
        If the image cannot be read or a value is not allowed.
    provision.errors.ProvisionError
        If MRtrix3, matplotlib or nibabel is not installed.

    Warns
    -----
    provision.pictures.mrtrix3.ImageWarning
        If MRtrix3 finds something odd in the image.

    Examples
    --------
    >>> peek("dwi.nii.gz", plane="axial", volume=3)  # doctest: +SKIP
    <Picture 900 x 690: axial slice of dwi.nii.gz at voxel (24, 24, 10), volume 3, intensities from 0 to 1016>
    >>> peek("t1.nii.gz", overlay="fa.mif", threshold=0.2).save("fa.pdf")  # doctest: +SKIP
    PosixPath('fa.pdf')
    """
    drawing.require()
    _check_overlay_options(threshold, opacity)
    checks.check_figure(figure)
    limits = None if overlay_range is None else checks.checked_range(overlay_range)
    colours = None if overlay_colourmap is None else checks.checked_colourmap(overlay_colourmap)
    reader = Reader(image)
    try:
        view = checks.checked_view(
            reader.header, plane, focus, volume, slices, range, percentiles, colourmap, smooth, crosshair, size
        )
        over = [
            overlay_of(one, reader, threshold=threshold, colourmap=colours, range=limits, opacity=opacity)
            for one in _listed(overlay)
        ]
        if interactive:
            return Explorer(reader, view, over)
        return Slices(reader, view, over, figure).picture
    finally:
        if not interactive:
            reader.close()


def _listed(overlay: Any) -> list[Any]:
    if overlay is None:
        return []
    return list(overlay) if isinstance(overlay, list | tuple) else [overlay]


def _check_overlay_options(threshold: Any, opacity: Any) -> None:
    for name, value, most in (("threshold", threshold, None), ("opacity", opacity, 1)):
        if value is None:
            continue
        if not is_number(value) or not value >= 0 or (most is not None and value > most):
            limits = "of 0 or more" if most is None else f"from 0 to {most}"
            raise OptionError(f"The {name} must be a number {limits}, not {value!r}.", code="bad-value")
