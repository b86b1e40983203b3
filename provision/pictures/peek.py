"""Show slices of an image."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provision.pictures import images, slices
from provision.pictures.explorer import Explorer
from provision.pictures.picture import Picture

if TYPE_CHECKING:
    from provision.pictures.images import Image


def peek(
    image: Image,
    *,
    plane: str | None = None,
    focus: Sequence[float | None] | None = None,
    volume: int | None = None,
    range: Sequence[float] | None = None,
    percentiles: Sequence[float] | None = None,
    colourmap: str = "gray",
    zoom: float | None = None,
    crosshair: bool = True,
    plot: str | None = None,
    interactive: bool = False,
) -> Picture | Explorer:
    """Show slices of an image, drawn by mrpeek.

    The patient's right is on the left of an axial or coronal slice, as radiologists have it, and the front is on the
    left of a sagittal one. The bar beside the slices goes from the colour of the lowest intensity to that of the
    highest.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        As for :func:`provision.pictures.images.loaded`.
    plane : {"axial", "coronal", "sagittal"}, optional
        Which slice to show; without it, a sagittal, a coronal and an axial one side by side.
    focus : sequence of three numbers, optional
        The voxel x, y, z that the slices go through, counted from 0 to the right, to the front and up, as mrview and
        mrinfo do; None for the middle, of one axis or of all.
    volume : int, optional
        Which volume of an image with four axes, counted from 0; the first one by default. Further axes are shown where
        they begin.
    range : (low, high), optional
        The intensities of the darkest and the brightest colour.
    percentiles : (low, high), optional
        The same, as percentiles of the slice shown (of the axial one where there are three); (0.2, 99.8) by default.
    colourmap : {"gray", "hot", "cool", "jet", "inferno", "viridis", "pet"}
        The colours.
    zoom : float, optional
        Pixels for the shortest edge of a voxel. By default the largest whole number that suits a notebook's cell.
    crosshair : bool
        Whether lines show the focus.
    plot : {"x", "y", "z", "volume"}, optional
        Plot the values along this axis through the focus, below the slices.
    interactive : bool
        Whether to give sliders for the slice and the volume.

    Returns
    -------
    provision.pictures.picture.Picture or provision.pictures.explorer.Explorer
        A picture, whose ``alt`` says what it shows and the range of intensities; with `interactive`, the sliders.

    Raises
    ------
    provision.errors.OptionError
        When the image cannot be shown or a value is not allowed; mrpeek was not started.
    provision.errors.ProvisionError
        When mrpeek, libsixel or nibabel is not installed, and when mrpeek failed.

    Examples
    --------
    >>> peek("dwi.nii.gz", plane="axial", volume=3)  # doctest: +SKIP
    <Picture 692 x 672: axial slice of dwi.nii.gz at voxel (24, 24, 10), volume 3, intensities from 0 to 1016>
    """
    header = images.header(image)
    view = slices.checked(header, plane, focus, volume, range, percentiles, colourmap, zoom, crosshair, plot)
    if interactive:
        return Explorer(image, view)
    slices.check_installed()  # before anything is decompressed
    with tempfile.TemporaryDirectory(prefix="provision-peek-") as folder:
        return slices.drawn(images.on_disk(image, folder), header, view, images.short_name(image))
