"""Tracks as MRtrix3 reads them, and a picture of those near a slice."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.errors import OptionError, no_such_file
from provision.paths import absolute
from provision.pictures import drawing, mrtrix3
from provision.pictures.checks import checked_number
from provision.pictures.drawing import Plane, Sheet
from provision.pictures.picture import is_number
from provision.pictures.reader import Header, Reader
from provision.words import format_bytes, printable

if TYPE_CHECKING:
    import numpy as np
    from nibabel.streamlines import ArraySequence

    from provision.pictures.picture import Picture
    from provision.pictures.reader import Image

MOST_POINTS = 20_000_000
"""The most points of tracks that a picture is made from: 240 MB of memory; of a larger file, fewer tracks."""

MOST_SEGMENTS = 100_000
"""The most line segments that are drawn, which takes matplotlib about two seconds on one core."""

# SVG and PDF hold more segments than this as pixels, or they would take minutes to open.
_MOST_VECTORS = 20_000
_THICK, _THICK_MM = 2, 5.0  # voxels of the image; without one, mm
_POINT_BYTES = 12
_HEADER = 2**20  # bytes, more than any header has


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks of a file, all or evenly spaced ones.

    Attributes
    ----------
    name : str
        The name of the file.
    lines : nibabel.streamlines.ArraySequence
        The points of each track in scanner coordinates in mm, float32, shape (N, 3).
    total : int
        The number of tracks in the file.
    """

    name: str
    lines: ArraySequence
    total: int


def tracks(
    path: str | os.PathLike[str],
    image: Image | None = None,
    *,
    plane: str = "axial",
    slice: float | None = None,
    thickness: float | None = None,
    number: int | None = None,
    size: int = drawing.WIDTH,
    figure: Any = None,
) -> Picture:
    """Show the tracks near a slice.

    Segments are coloured by their direction in the scanner's frame, as in mrview: red is left-right, green front-back,
    blue head-foot. Slices follow the radiological convention, as in `provision.peek`.

    Parameters
    ----------
    path : path-like
        A file of tracks that MRtrix3 reads (``.tck``).
    image : path-like, nibabel image or numpy.ndarray, optional
        What to draw in grey below the tracks, as for `provision.peek`; of several volumes, the first. By default the
        background is black, and the slice shows the tracks' bounding box.
    plane : {"axial", "coronal", "sagittal"}
        The plane.
    slice : int or float, optional
        The slice of the image, counted from 0 as in `provision.peek`, or without an image the position in mm. By
        default it is the slice with the most points of tracks.
    thickness : float, optional
        How far in mm the slab of tracks reaches across the plane, half of it on either side of the slice (default:
        twice the thickness of the slice, or 5 mm without an image).
    number : int, optional
        Use at most so many tracks, evenly spaced in the file. Without it the tracks are thinned where the slab holds
        more than 100 000 segments, and the line below the picture says so.
    size : int
        The width of the picture in pixels.
    figure : matplotlib.figure.Figure, optional
        A figure, or part of one, to draw in; its size is kept.

    Returns
    -------
    provision.pictures.picture.Picture
        The picture; its title says how many of the file's tracks it shows.

    Raises
    ------
    provision.errors.OptionError
        If the tracks or the image cannot be read, the file has no tracks, none is in the image, or a value is not
        allowed.
    provision.errors.ProvisionError
        If MRtrix3, matplotlib or nibabel is not installed.

    Warns
    -----
    UserWarning
        If the file has fewer tracks than its header says.

    Examples
    --------
    >>> provision.tracks("bundle.tck", "t1.nii.gz", plane="coronal").save("bundle.pdf")  # doctest: +SKIP
    PosixPath('bundle.pdf')
    """
    drawing.require()
    seen, size = drawing.plane_named(plane), drawing.check_size(size)
    thickness, number = _checked_thickness(thickness), _checked_count(number)
    if image is None:
        bundle = read(path, MOST_POINTS, number)
        return picture_of(bundle, None, seen, slice, thickness, size, figure)
    with Reader(image) as reader:
        bundle = read(path, MOST_POINTS, number)
        return picture_of(bundle, reader, seen, slice, thickness, size, figure)


def read(path: str | os.PathLike[str], most_points: int, number: int | None = None) -> Tracks:
    """Return the tracks of a file, as MRtrix3 reads them; evenly spaced ones if they have too many points."""
    extras.require("view", "Pictures of tracks", "nibabel")
    from nibabel import streamlines

    path = checked_file(path)
    mrtrix3.command("tckconvert")
    with tempfile.TemporaryDirectory(prefix="provision-picture-") as folder:
        place, declared = _converted(path, Path(folder))
        file = streamlines.load(place, lazy_load=True)
        total = int(file.header["count"])
        if total < declared:
            message = f"{path.name} has {total} tracks, but its header says {declared}: it may be cut off."
            warnings.warn(message, UserWarning, stacklevel=3)
        points = place.stat().st_size / _POINT_BYTES
        kept = min(total, number or total, max(1, int(total * most_points / points)))
        # Each of `kept` equal parts of the file gives the first of its tracks.
        lines = streamlines.ArraySequence(
            line for at, line in enumerate(file.streamlines) if at * kept % max(total, 1) < kept
        )
    if not len(lines):
        hint = "Check it with tckinfo -count."
        raise OptionError(f"{path.name} contains no tracks.", hint=hint, code="nothing-to-show")
    return Tracks(printable(path.name), lines, total)


def checked_file(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file that is there and not empty."""
    if not isinstance(path, str | os.PathLike):
        message = f"Tracks must be the path of a file, not {type(path).__name__}."
        raise OptionError(message, code="bad-value")
    found = absolute(path)
    if not found.is_file():
        raise no_such_file(found, os.fspath(path))
    if not found.stat().st_size:
        raise OptionError(f"{path} is empty.", hint="Create it again.", code="damaged")
    return found


def draw(
    sheet: Sheet, panel: int, lines: ArraySequence, grid: Header, index: float, thickness: float
) -> tuple[int, int]:
    """Draw the tracks within a slab around a slice; return how many, and that one in so many was drawn."""
    import numpy as np
    from matplotlib.collections import LineCollection

    ends, colours, owners = _segments(lines, grid, sheet.panels[panel][0], index, thickness)
    step = max(1, math.ceil(len(ends) / MOST_SEGMENTS))
    chosen = owners % step == 0
    collection = LineCollection(
        ends[chosen], colors=colours[chosen], linewidths=0.8, capstyle="round", rasterized=chosen.sum() > _MOST_VECTORS
    )
    sheet.axes[panel].add_collection(collection, autolim=False)
    return len(np.unique(owners[chosen])), step


def picture_of(
    bundle: Tracks,
    reader: Reader | None,
    plane: Plane,
    position: float | None = None,
    thickness: float | None = None,
    size: int = drawing.WIDTH,
    figure: Any = None,
) -> Picture:
    """Return the picture of tracks near a slice, over an image or on black."""
    grid = reader.header if reader else _grid(bundle)
    index = _index(bundle, grid, plane, position, has_image=reader is not None)
    edge, axis = grid.spacing, plane.through
    thickness = thickness or (_THICK * edge[axis] if reader else _THICK_MM)
    panel = (plane, (grid.shape[plane.across], grid.shape[plane.up]), (edge[plane.across], edge[plane.up]))
    sheet = Sheet([panel], bar=False, size=size, figure=figure)
    if reader:
        _draw_slice(sheet, reader, int(index))
    shown, step = draw(sheet, 0, bundle.lines, grid, index, thickness)
    sheet.letters(0)
    sheet.ruler(0)
    what = f"{shown} of {bundle.total} tracks"
    sheet.title("   ".join([bundle.name, what, *([f"over {reader.name}"] if reader else [])]))
    middle = [index if at == axis else count // 2 for at, count in enumerate(grid.shape[:3])]
    place = (grid.affine @ [*middle, 1])[axis]
    slab = f"{plane.name} slab of {thickness:g} mm at {'xyz'[axis]} = {place:.1f} mm"
    thinned = bundle.total / len(bundle.lines) * step
    sheet.footer(slab + (f"   thinned to 1 track in {thinned:.3g}" if thinned > 1 else ""))
    return sheet.picture(f"{what} of {bundle.name} in an {slab}".replace(" an c", " a c").replace(" an s", " a s"))


def _converted(path: Path, folder: Path) -> tuple[Path, int]:
    """Return a copy that MRtrix3 has written, and the number of tracks that the file's own header gives, or 0."""
    free, size = shutil.disk_usage(folder).free, path.stat().st_size
    if size > free:
        raise OptionError(
            f"{path.name} needs {format_bytes(size)} in {folder.parent}, which has {format_bytes(free)}.",
            hint=f"Use fewer tracks: tckedit {path.name} fewer.tck -number 10000.",
            code="disk-full",
        )
    place = folder / "tracks.tck"
    try:
        said = mrtrix3.run("tckinfo", path, of=path.name, folder=folder)
        mrtrix3.run("tckconvert", path, place, of=path.name, folder=folder)
    except OptionError as error:
        if error.code != "bad-image":
            raise
        hint = "Check it with tckinfo; only MRtrix3's own format has the ending .tck."
        raise OptionError(error.message, hint=hint, code="bad-tracks") from None
    _make_ascii(place)
    declared = re.search(r"^\s*count:\s+(\d+)", said, re.M)
    return place, int(declared[1]) if declared else 0


def _make_ascii(place: Path) -> None:
    """Replace what is not ASCII in a header: MRtrix3 copies comments and names of files, nibabel takes UTF-8 alone."""
    with place.open("r+b") as stream:
        header, end, _ = stream.read(_HEADER).partition(b"\nEND")
        if end and not header.isascii():
            stream.seek(0)
            stream.write(header.decode("ascii", "replace").replace("\ufffd", "?").encode())


def _segments(
    lines: ArraySequence, grid: Header, plane: Plane, index: float, thickness: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends (S, 2, 2) in mm across and up, the colours (S, 3) and the track numbers (S,) of segments."""
    import numpy as np

    points = lines.get_data()
    owners = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    scaled = _scaled(points, grid)
    depth = (scaled[1:, plane.through] + scaled[:-1, plane.through]) / 2 - index * grid.spacing[plane.through]
    chosen = np.flatnonzero((owners[1:] == owners[:-1]) & (np.abs(depth) <= thickness / 2))
    flat = scaled[:, [plane.across, plane.up]]
    direction = np.abs(points[chosen + 1] - points[chosen])
    length = np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    return np.stack([flat[chosen], flat[chosen + 1]], 1), np.minimum(direction / length, 1), owners[chosen]


def _scaled(points: np.ndarray, grid: Header) -> np.ndarray:
    """Return points in mm along the voxel axes, from the centre of the first voxel."""
    import numpy as np

    inverse = np.linalg.inv(grid.affine)
    return (points @ inverse[:3, :3].T + inverse[:3, 3]) * np.array(grid.spacing)


def _grid(bundle: Tracks) -> Header:
    """Return a grid of 1 mm around the tracks, for a picture without an image."""
    import numpy as np

    points = bundle.lines.get_data()
    low, high = np.floor(points.min(axis=0)) - 1, np.ceil(points.max(axis=0)) + 1
    affine = np.eye(4)
    affine[:3, 3] = low
    shape = tuple(int(count) for count in high - low + 1)
    return Header(bundle.name, shape, (1.0, 1.0, 1.0), affine)


def _index(bundle: Tracks, grid: Header, plane: Plane, position: Any, *, has_image: bool) -> float:
    """Return the slice: the one asked for, else the one with the most points of tracks."""
    import numpy as np

    axis = plane.through
    if position is not None and has_image:
        return checked_number("slice", position, grid.shape[axis])
    if position is not None:
        if not is_number(position):
            raise OptionError(f"The slice must be a position in mm, not {position!r}.", code="bad-value")
        return float(position - grid.affine[axis, 3])
    voxels = np.rint(_scaled(bundle.lines.get_data(), grid) / grid.spacing).astype(int)
    inside = voxels[((voxels >= 0) & (voxels < grid.shape[:3])).all(axis=1), axis]
    if not inside.size:
        message = f"None of the tracks in {bundle.name} is in {grid.name}."
        hint = "Use an image of the same subject in the same space."
        raise OptionError(message, hint=hint, code="nothing-to-show")
    places, counts = np.unique(inside, return_counts=True)  # a point may be far away
    return int(places[counts.argmax()])


def _draw_slice(sheet: Sheet, reader: Reader, index: int) -> None:
    """Draw a slice of the first volume in grey."""
    values = reader.volume()
    low, high = drawing.robust_range(values)
    plane = sheet.panels[0][0]
    sheet.show(0, plane.slice(values, index), vmin=low, vmax=high, cmap="gray", interpolation="bilinear")


def _checked_thickness(value: Any) -> float | None:
    if value is not None and not (is_number(value) and value > 0):
        raise OptionError(f"The thickness must be a number of mm above 0, not {value!r}.", code="bad-value")
    return value


def _checked_count(value: Any) -> int | None:
    if value is not None and not (is_number(value) and value >= 1 and value % 1 == 0):
        raise OptionError(f"The number of tracks must be a whole number from 1, not {value!r}.", code="bad-value")
    return None if value is None else int(value)
