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

    Slices follow the radiological convention: the patient's right is on the left of an axial or coronal slice, and the
    front on the left of a sagittal one. The bar beside them shows the colours from the lowest to the highest intensity.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        As for `provision.pictures.images.loaded`.
    plane : {"axial", "coronal", "sagittal"}, optional
        The plane; by default a sagittal, a coronal and an axial slice side by side.
    focus : sequence of three numbers, optional
        The voxel x, y, z that the slices pass through, counted from 0 to the right, the front and up, as in mrview and
        mrinfo. None means the middle, of one axis or of all.
    volume : int, optional
        The volume of a 4-D image, counted from 0 (default: the first). Along further axes, the first position is shown.
    range : (low, high), optional
        The intensities of the darkest and brightest colour.
    percentiles : (low, high), optional
        The same, as percentiles of the slice, or of the axial one of three (default: (0.2, 99.8)).
    colourmap : {"gray", "hot", "cool", "jet", "inferno", "viridis", "pet"}
        The colour map.
    zoom : float, optional
        Pixels per shortest edge of a voxel (default: the largest whole number that fits a notebook cell).
    crosshair : bool
        Whether to mark the focus.
    plot : {"x", "y", "z", "volume"}, optional
        An axis along which to plot the values through the focus, below the slices.
    interactive : bool
        Whether to return sliders for the slice and the volume.

    Returns
    -------
    provision.pictures.picture.Picture or provision.pictures.explorer.Explorer
        The picture, whose ``alt`` describes it and the range of intensities; with `interactive`, the sliders.

    Raises
    ------
    provision.errors.OptionError
        If the image cannot be shown or a value is not allowed; mrpeek was not started.
    provision.errors.ProvisionError
        If mrpeek, libsixel or nibabel is not installed, or mrpeek failed.

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
