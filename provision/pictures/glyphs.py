"""Fibre orientation distributions of a slice as glyphs, oriented as in MRtrix3's viewers."""

from __future__ import annotations

import math
import numbers
import operator
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.errors import OptionError, ProvisionError, unknown
from provision.paths import working_folder
from provision.pictures import fod_render
from provision.pictures.picture import Picture

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.images import Image

PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
"""For each plane, the voxel axes that run across, up and through it."""

_COUNTS = tuple((lmax + 1) * (lmax + 2) // 2 for lmax in range(0, 21, 2))
# A million vertices take about 250 MB, and a second of a processor where no graphics card helps.
_MOST_VERTICES = 4_000_000
# How the six volumes of a tensor become xx, yy, zz, xy, xz, yz: those of MRtrix3, of FSL and DIPY, and of ITK.
_TENSORS = ([0, 1, 2, 3, 4, 5], [0, 3, 5, 1, 2, 4], [0, 2, 5, 1, 3, 4])
_TRIED = 20_000  # voxels
_NEARLY_ALL, _MOST, _SOME = 0.95, 0.7, 0.2
_LARGEST_DIFFUSIVITY = 0.02  # mm2/s; that of water is 0.003, and FODs are hundreds of times as large
_ROUNDING = 0.02
# Parts of an icosahedron's edge: 4 shows an lmax of 8 roughly, 8 well; with 24 even a large glyph looks smooth.
_ROUGH, _WELL, _SMOOTH = 4, 8, 24
# Pixels of a glyph per part: narrow lobes have few of the triangles, so these are to be small.
_PIXELS_PER_PART = 3
_LARGEST_SIDE = 8192
# Of the slice's largest: smaller glyphs are specks that cost as much as large ones.
_SMALLEST = 0.01
# Times the largest: a few voxels at a brain's edge may exceed all others so far that they would cover the picture.
_LARGEST = 2.0
# Of full white: what is behind the glyphs is there to show where they are.
_BACKGROUND = 0.5


@dataclass(frozen=True)
class _Slice:
    """A part of a slice, and its place in the picture.

    Attributes
    ----------
    axes : tuple of int
        The voxel axes across, up and through.
    index : int
        The index of the slice.
    start, shape : tuple of int
        The first voxel and the number of voxels, across and up.
    affine : numpy.ndarray
        Maps voxel indices to scanner coordinates in mm, shape (4, 4).
    pixels_per_mm : float
        The scale of the picture.
    """

    axes: tuple[int, int, int]
    index: int
    start: tuple[int, int]
    shape: tuple[int, int]
    affine: np.ndarray
    pixels_per_mm: float

    @property
    def spacing(self) -> np.ndarray:
        """The edges of a voxel in mm, across and up."""
        import numpy as np

        return np.linalg.norm(self.affine[:3, self.axes[:2]], axis=0)

    @property
    def pixels(self) -> tuple[int, int]:
        """The width and height of the picture."""
        sides = self.spacing * self.shape * self.pixels_per_mm
        return max(round(sides[0]), 1), max(round(sides[1]), 1)

    @property
    def to_picture(self) -> np.ndarray:
        """The picture's axes (to the right, up, towards the viewer) in the scanner's frame, one per row, (3, 3)."""
        import numpy as np

        across, up = (self.affine[:3, self.axes[:2]] / self.spacing).T
        return np.stack([-across, up, np.cross(-across, up)])

    def places(self, voxels: np.ndarray) -> np.ndarray:
        """Return the places of voxels in the picture, in mm from its centre; both across and up, shape (..., 2)."""
        import numpy as np

        middle = np.add(self.start, np.subtract(self.shape, 1) / 2)
        return (voxels - middle) * self.spacing * (-1, 1)

    def voxels(self) -> np.ndarray:
        """Return the unrounded voxel indices (X, Y, Z) of the centre of each pixel, shape (H, W, 3)."""
        import numpy as np

        width, height = self.pixels
        across, up = np.add(self.start, np.subtract(self.shape, 1) / 2)
        result = np.empty((height, width, 3))
        x = (np.arange(width) + 0.5 - width / 2) / self.pixels_per_mm / self.spacing[0]
        y = (height / 2 - np.arange(height) - 0.5) / self.pixels_per_mm / self.spacing[1]
        result[..., self.axes[0]] = across - x
        result[..., self.axes[1]] = up + y[:, np.newaxis]
        result[..., self.axes[2]] = self.index
        return result


def glyphs(
    fod: Image,
    *,
    background: Image | None = None,
    plane: str = "axial",
    slice: int | None = None,
    region: Sequence[Sequence[int]] | None = None,
    zoom: float = 1.0,
    scale: float = 1.0,
    size: int = 960,
) -> Picture:
    """Draw the fibre orientation distributions (FODs) of one slice as 3-D glyphs.

    In each voxel, the surface shows the amplitude along each direction. The slice is oriented as in ``mrview`` and
    ``mrpeek``: the patient's left is on the right of an axial or coronal slice, and the front on the left of a sagittal
    one; up is the front in an axial slice, and the head in the others. Colours show the direction: red is left-right,
    green front-back, blue head-foot. It needs no display and no graphics card, only Mesa's OpenGL.

    Parameters
    ----------
    fod : path-like, nibabel image or numpy.ndarray
        Spherical harmonic coefficients in MRtrix3's convention, shape (X, Y, Z, N) with N = 1, 6, 15, 28, 45, ...:
        real, even degrees only, in the scanner's frame. An array has voxels of 1 mm along the scanner's axes.
    background : path-like, nibabel image or numpy.ndarray, optional
        An image, on any grid, to show in grey behind the glyphs; of a 4-D image, the first volume. Black by default.
    plane : {"axial", "coronal", "sagittal"}, optional
        The plane, taken along the nearest voxel axes.
    slice : int, optional
        The index of the slice, counted from the feet, the back or the left; by default the middle one of those that
        are not empty.
    region : pair of pairs of int, optional
        ``((x0, x1), (y0, y1))``: only voxels x0 to x1 - 1 across and y0 to y1 - 1 up, counted from the left or the
        back, and from the back or the feet.
    zoom : float, optional
        How many times larger than `size` the picture is.
    scale : float, optional
        The size of the glyphs. With 1, the 99th percentile of the slice's peaks just fits its voxel. All glyphs have
        the same scale, so that amplitudes can be compared; only peaks more than twice as large are reduced.
    size : int, optional
        The longer side of the picture in pixels.

    Returns
    -------
    provision.pictures.picture.Picture
        The picture. Voxels that are zero or not finite, or whose peak is less than a hundredth of the largest, are
        left empty, and negative amplitudes are not drawn.

    Raises
    ------
    provision.errors.OptionError
        If the image does not contain FODs, has no such plane, slice or region, or the background does not overlap.
    provision.errors.ProvisionError
        If VTK or nibabel is not installed, or VTK cannot draw on this machine.

    Notes
    -----
    For the basis, see `provision.pictures.fod_render.sh_basis`.

    Examples
    --------
    >>> glyphs("wmfod.mif", background="t1.nii.gz", plane="coronal", slice=48)  # doctest: +SKIP
    <Picture 960 x 960: FODs of coronal slice 48, 2104 voxels>
    >>> glyphs("wmfod.mif", region=((30, 38), (40, 48)))  # doctest: +SKIP
    <Picture 960 x 960: FODs of axial slice 30, 64 voxels>
    """
    extras.require("view", "Pictures of FODs", "vtkmodules", "nibabel")
    import numpy as np

    axes = _axes(plane)
    sizes = {"zoom": zoom, "scale": scale, "size": size}
    for name, value in sizes.items():
        _check_positive(name, value)
    coefficients, affine = _loaded(fod)
    filled = np.isfinite(coefficients).all(axis=-1) & coefficients.any(axis=-1)
    start, shape = _window(region, [filled.shape[axis] for axis in axes[:2]], plane)
    filled = filled.transpose(axes)[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]]
    index = _index(slice, filled.any(axis=(0, 1)), plane)
    shown = _Slice(axes, index, start, shape, affine, _pixels_per_mm(affine, axes, shape, size * zoom))
    behind = _behind(background, fod, shown)
    voxels = np.argwhere(filled[..., index]) + start
    here = coefficients.transpose(*axes, 3)[voxels[:, 0], voxels[:, 1], index].astype(np.float32)
    drawn, scene = _scene(here, voxels, shown, scale)
    pixels = _over(_draw(scene), behind)
    return Picture.of(pixels, f"FODs of {plane} slice {index}, {drawn} voxel{'s' * (drawn != 1)}")


def _axes(plane: str) -> tuple[int, int, int]:
    if not isinstance(plane, str) or plane not in PLANES:
        raise unknown("plane", plane, PLANES)
    return PLANES[plane]


def _check_positive(name: str, value: Any) -> None:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and 0 < value < math.inf):
        raise OptionError(f"The {name} must be a number greater than 0, not {value!r}.", code="bad-value")


def _loaded(fod: Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients, with axes nearest to right, front and up, and the affine."""
    from provision.pictures.images import loaded

    array, affine = loaded(fod)
    if array.ndim != 4:
        raise OptionError(
            f"FODs must be a 4-D image, but this one has {array.ndim} dimensions: {_times(array.shape)}.",
            code="not-fods",
        )
    if array.shape[3] not in _COUNTS:
        raise OptionError(
            f"The image has {array.shape[3]} volumes, which does not match any lmax.",
            hint=f"FODs have {', '.join(map(str, _COUNTS[:7]))}, ... volumes, for an lmax of 0, 2, 4, ...",
            code="not-fods",
        )
    _check_coefficients(array)
    return array, affine


def _check_coefficients(array: np.ndarray) -> None:
    """Refuse other images that happen to have a matching number of volumes: diffusion tensors and series."""
    import numpy as np

    if array.shape[3] < 6:
        return
    voxels = array.reshape(-1, array.shape[3])
    voxels = voxels[np.isfinite(voxels).all(axis=1) & voxels.any(axis=1)]
    voxels = voxels[:: len(voxels) // _TRIED + 1].astype(float)
    # What is around a head weighs little.
    weights = np.square(voxels[:, :6]).sum(axis=1)
    if not weights.any():
        return

    def share(of: np.ndarray) -> float:
        return float(np.average(of, weights=weights))

    if array.shape[3] > 6 and (array.dtype.kind != "f" or share((voxels > 0).all(axis=1)) > _NEARLY_ALL):
        raise OptionError(
            f"The image contains {array.shape[3]} volumes of intensities, not FODs.",
            hint="Compute FODs first: dwi2fod.", code="not-fods",
        )  # fmt: skip
    tensors = max(share(_least_eigenvalues(voxels[:, order]) > 0) for order in _TENSORS)
    is_small = np.average(np.abs(voxels[:, :3]).max(axis=1), weights=weights) < _LARGEST_DIFFUSIVITY
    if array.shape[3] == 6 and tensors > _MOST and (is_small or share(~_are_moments(voxels)) > _SOME):
        raise OptionError(
            "The image contains diffusion tensors, which have 6 volumes as well but are not FODs.",
            hint="Compute FODs first: dwi2fod.", code="not-fods",
        )  # fmt: skip


def _least_eigenvalues(tensors: np.ndarray) -> np.ndarray:
    """Return the smallest eigenvalues of symmetric matrices, given as xx, yy, zz, xy, xz, yz."""
    import numpy as np

    return np.linalg.eigvalsh(tensors[:, [[0, 3, 4], [3, 1, 5], [4, 5, 2]]])[:, 0]


def _are_moments(voxels: np.ndarray) -> np.ndarray:
    """Return for each voxel whether a non-negative function can have these first six coefficients.

    Its second moments, xx, yy, zz, xy, xz, yz, then form a matrix without negative eigenvalues.
    """
    import numpy as np

    whole = voxels[:, 0] * math.sqrt(4 * math.pi)
    factors = np.array([1, -1, math.sqrt(12), -1, 1]) * math.sqrt(4 * math.pi / 15)
    xy, yz, zz, xz, difference = (voxels[:, 1:6] * factors).T
    zz = (whole + zz) / 3
    half = (whole - zz) / 2
    moments = np.stack([half + difference, half - difference, zz, xy, xz, yz], axis=1)
    return _least_eigenvalues(moments) > -_ROUNDING * np.abs(whole)


def _window(
    region: Sequence[Sequence[int]] | None, sizes: Sequence[int], plane: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first voxel and the number of voxels to show, across and up."""
    if region is None:
        return (0, 0), (sizes[0], sizes[1])
    try:
        (x0, x1), (y0, y1) = ((operator.index(bound) for bound in bounds) for bounds in region)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"The region must be two pairs of whole numbers, not {region!r}.",
            hint="Use ((x0, x1), (y0, y1)).",
            code="bad-value",
        ) from error
    if not (0 <= x0 < x1 <= sizes[0] and 0 <= y0 < y1 <= sizes[1]):
        raise OptionError(
            f"The region {region!r} is outside the {plane} slices, which have {_times(sizes)} voxels.",
            hint=f"The largest region is ((0, {sizes[0]}), (0, {sizes[1]})).",
            code="bad-value",
        )
    return (x0, y0), (x1 - x0, y1 - y0)


def _index(slice: int | None, filled: np.ndarray, plane: str) -> int:
    """Return the index of the slice to show, which must not be empty."""
    import numpy as np

    full = np.flatnonzero(filled)
    if slice is None:
        if not len(full):
            raise OptionError("There is nothing to show: every voxel is zero or not finite.", code="nothing-to-show")
        return int(full[len(full) // 2])
    try:
        index = operator.index(slice)
    except TypeError as error:
        raise OptionError(f"The slice must be a whole number, not {slice!r}.", code="bad-value") from error
    if not 0 <= index < len(filled):
        hint = f"They are numbered from 0 to {len(filled) - 1}."
        raise OptionError(f"There is no {plane} slice {index}.", hint=hint, code="bad-value")
    if not filled[index]:
        others = f"Slices that are not empty: {_ranges(full)}." if len(full) else "All other slices are empty, too."
        message = f"There is nothing to show in {plane} slice {index}."
        raise OptionError(message, hint=others, code="nothing-to-show")
    return index


def _ranges(numbers: np.ndarray) -> str:
    """Return numbers as ranges: 2 to 5, 9."""
    import numpy as np

    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _pixels_per_mm(affine: np.ndarray, axes: Sequence[int], shape: Sequence[int], longest: float) -> float:
    import numpy as np

    if longest > _LARGEST_SIDE:
        raise OptionError(
            f"The picture would be {longest:.0f} pixels wide or high; the limit is {_LARGEST_SIDE}.",
            hint="Use a smaller zoom or size, or a region.",
            code="too-large",
        )
    return longest / max(np.linalg.norm(affine[:3, axes[:2]], axis=0) * shape)


def _behind(background: Image | None, fod: Image, shown: _Slice) -> np.ndarray:
    """Return the grey values behind the glyphs, 0 to 1, float32, shape (H, W)."""
    import numpy as np

    from provision.pictures.images import loaded

    width, height = shown.pixels
    if background is None:
        return np.zeros((height, width), np.float32)
    if isinstance(background, np.ndarray) and not isinstance(fod, np.ndarray):
        raise OptionError(
            "The background is an array, which has no position in space.",
            hint="Pass a path or a nibabel image.",
            code="bad-value",
        )
    array, affine = loaded(background)
    volume = array.reshape(*array.shape[:3], -1)[..., 0]
    values = _interpolated(volume, _transformed(np.linalg.inv(affine) @ shown.affine, shown.voxels()))
    if np.isnan(values).all():
        hint = "Check that both images show the same head."
        raise OptionError("The background does not overlap with the slice.", hint=hint, code="wrong-image")
    low, high = np.nanpercentile(values, (1, 99))
    return _BACKGROUND * np.clip(np.nan_to_num(values - low) / (high - low or 1), 0, 1)


def _transformed(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:3, :3].T + affine[:3, 3]


def _interpolated(volume: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolate between voxels, trilinearly; NaN outside the outer edges of the volume.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (X, Y, Z).
    points : numpy.ndarray
        Unrounded voxel indices, shape (..., 3).

    Returns
    -------
    numpy.ndarray
        float32, shape (...).
    """
    import itertools

    import numpy as np

    last = np.subtract(volume.shape, 1)
    result = np.full(points.shape[:-1], np.nan, np.float32)
    # Transforming a grid there and back introduces rounding errors.
    inside = ((points > -0.5 - 1e-6) & (points < last + 0.5 + 1e-6)).all(axis=-1)
    points = np.clip(points[inside], 0, last)
    below = np.minimum(points.astype(int), np.maximum(last - 1, 0))
    above = points - below
    total = np.zeros(len(points), np.float32)
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.where(corner, above, 1 - above).prod(axis=1)
        total += weight * volume[tuple(np.minimum(below + corner, last).T)]
    result[inside] = total
    return result


def _scene(
    coefficients: np.ndarray, voxels: np.ndarray, shown: _Slice, scale: float
) -> tuple[int, dict[str, np.ndarray]]:
    """Return how many glyphs are drawn, and the scene for `fod_render.draw`.

    Parameters
    ----------
    coefficients : numpy.ndarray
        Of the voxels to show, shape (G, N).
    voxels : numpy.ndarray
        Their indices across and up, shape (G, 2).
    shown : _Slice
        The slice.
    scale : float
        As for `glyphs`.
    """
    import numpy as np

    peaks = _peaks(coefficients)
    if not (peaks > 0).any():
        message = f"There is nothing to show in slice {shown.index}: no amplitude is positive."
        raise OptionError(message, code="nothing-to-show")
    largest = np.percentile(peaks[peaks > 0], 99)
    drawn = peaks > _SMALLEST * largest
    fitting = scale * shown.spacing.min() / 2 / np.maximum(largest, peaks[drawn] / _LARGEST)
    per_voxel = shown.spacing.min() * shown.pixels_per_mm
    count = int(drawn.sum())
    return count, {
        "coefficients": (coefficients[drawn] * fitting[:, np.newaxis]).astype(np.float32),
        "centres": shown.places(voxels[drawn]).astype(np.float32),
        "to_picture": shown.to_picture,
        "frequency": np.array(_frequency(count, scale * per_voxel)),
        "pixels": np.array(shown.pixels),
        "height": np.array(shown.pixels[1] / shown.pixels_per_mm),
    }


def _peaks(coefficients: np.ndarray) -> np.ndarray:
    """Return the largest amplitude in each voxel, shape (G,)."""
    import numpy as np

    directions, _ = fod_render.sphere(8)
    half = directions[directions @ (1, 1e-3, 1e-6) > 0]
    lmax = 2 * _COUNTS.index(coefficients.shape[1])
    return (coefficients @ fod_render.sh_basis(half, lmax).T.astype(np.float32)).max(axis=1)


def _frequency(count: int, pixels: float) -> int:
    """Return how fine the glyphs can and need to be, given their number and their size in pixels."""
    affordable = math.isqrt(_MOST_VERTICES // count // 10)
    if affordable < _ROUGH:
        raise OptionError(
            f"The slice contains {count} FODs; at most {_MOST_VERTICES // (10 * _ROUGH**2)} can be drawn.",
            hint="Draw a region: region=((x0, x1), (y0, y1)).",
            code="too-large",
        )
    return min(affordable, max(_WELL, min(_SMOOTH, round(pixels / _PIXELS_PER_PART))))


def _draw(scene: dict[str, Any]) -> np.ndarray:
    """Draw the scene in a separate process; return colours and opacity, uint8, shape (H, W, 4)."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        np.savez(Path(folder, fod_render.SCENE), **scene)
        process = subprocess.run(
            [sys.executable, "-m", fod_render.__name__, folder],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if process.returncode:
            raise _failure(process)
        return np.load(Path(folder, fod_render.DRAWN))


def _environment() -> dict[str, str]:
    """Return this process's environment without a display, which is not needed and may not respond."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    # VTK falls back from EGL to OSMesa if there is no EGL, but from X, its default, only if X is installed.
    environment.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    # A notebook may have found this package, or numpy and VTK, by a path of its own.
    here = working_folder()
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(here, folder)) for folder in sys.path)
    return environment


def _failure(process: subprocess.CompletedProcess[str]) -> ProvisionError:
    """Return the error for a process that drew nothing."""
    if process.returncode == -signal.SIGKILL:
        return ProvisionError(
            "The process that draws FODs was killed, perhaps because memory ran out.",
            hint="Draw a region.",
            code="out-of-memory",
        )
    last = (process.stderr.strip().splitlines() or [""])[-1]
    if process.returncode < 0 or "cannot open shared object" in last:
        return ProvisionError(
            "VTK cannot draw on this machine: it finds no OpenGL library that works without a display.",
            hint='Install Mesa: provision.run("deps", groups=["glyphs"]).',
            code="no-library",
        )
    return ProvisionError(f"VTK could not draw the FODs: {last}")


def _over(drawn: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Blend glyphs over a grey picture, uint8, shape (H, W, 3)."""
    import numpy as np

    clear = (255 - drawn[..., 3:].astype(np.float32)) * behind[..., np.newaxis]
    return (drawn[..., :3] + clear + 0.5).clip(0, 255).astype(np.uint8)
