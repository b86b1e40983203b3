"""Fibre orientation distributions and diffusion tensors of a slice as glyphs, oriented as in MRtrix3's viewers."""

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
from provision.errors import OptionError, ProvisionError
from provision.paths import working_folder
from provision.pictures import drawing, fod_render, kinds
from provision.pictures import region as regions
from provision.pictures.drawing import Plane, Sheet
from provision.pictures.reader import Reader
from provision.pictures.slices import ranges

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.picture import Picture
    from provision.pictures.reader import Header, Image

# How finely a glyph is drawn: parts of an icosahedron's edge, and pixels of the glyph's diameter for each.
_FREQUENCIES = (6, 8, 12, 16, 24)
_PIXELS_PER_PART = 3
# Glyphs are drawn with so many times the picture's pixels, which smooths their edges, and a print shows more of them.
_FINER, _LARGEST_SIDE = 2, 4096
# Of the slice's largest: smaller glyphs are specks that cost as much as large ones.
_SMALLEST = 0.01
# Times the largest: a few voxels at a brain's edge may exceed all others so far that they would cover the picture.
_LARGEST = 2.0
# Of full white: what is behind the glyphs is there to show where they are.
_BACKGROUND = 0.5
_KEY = (("left-right", "#ff4040"), ("front-back", "#40e040"), ("head-foot", "#6080ff"))


@dataclass(frozen=True)
class _Part:
    """A part of a slice: its voxels across and up, in an image with this header."""

    plane: Plane
    index: int
    voxels: tuple[slice, slice]
    header: Header

    @property
    def start(self) -> tuple[int, int]:
        return self.voxels[0].start, self.voxels[1].start

    @property
    def shape(self) -> tuple[int, int]:
        return self.voxels[0].stop - self.start[0], self.voxels[1].stop - self.start[1]

    @property
    def spacing(self) -> tuple[float, float]:
        """The edges of a voxel in mm, across and up."""
        return self.header.spacing[self.plane.across], self.header.spacing[self.plane.up]

    @property
    def is_whole(self) -> bool:
        return self.shape == (self.header.shape[self.plane.across], self.header.shape[self.plane.up])

    @property
    def to_picture(self) -> np.ndarray:
        """The picture's axes (to the right, up, towards the viewer) in the scanner's frame, one per row, (3, 3)."""
        import numpy as np

        across, up = (self.header.affine[:3, [self.plane.across, self.plane.up]] / self.spacing).T
        return np.stack([-across, up, np.cross(-across, up)])

    def places(self, voxels: np.ndarray) -> np.ndarray:
        """Return the places of voxels in the picture, in mm from its centre, for indices in the part, (..., 2)."""
        import numpy as np

        return (voxels - np.subtract(self.shape, 1) / 2) * self.spacing * (-1, 1)

    def affine(self, parts: tuple[float, float], thickness: float) -> np.ndarray:
        """Return the affine of a grid over the part that divides its voxels into parts, and is one slice thick."""
        import numpy as np

        axes = [self.plane.across, self.plane.up, self.plane.through]
        corner, scale = np.zeros(3), np.ones(3)
        corner[axes] = (*np.add(self.start, -0.5 + 0.5 / np.array(parts)), self.index)
        scale[axes] = (*(1 / np.array(parts)), thickness / self.header.spacing[self.plane.through])
        result = self.header.affine @ np.diag([*scale, 1])
        result[:3, 3] = (self.header.affine @ [*corner, 1])[:3]
        return result

    def centre(self) -> np.ndarray:
        """Return the scanner coordinates of its centre in mm."""
        import numpy as np

        voxel = np.zeros(3)
        axes = [self.plane.across, self.plane.up, self.plane.through]
        voxel[axes] = (*np.add(self.start, np.subtract(self.shape, 1) / 2), self.index)
        return (self.header.affine @ [*voxel, 1])[:3]

    def __str__(self) -> str:
        whole = f"{self.header.shape[self.plane.across]} x {self.header.shape[self.plane.up]} voxels"
        return f"all {whole}" if self.is_whole else f"region {regions.written(self.voxels)} of {whole}"


def glyphs(
    image: Image,
    *,
    kind: str | None = None,
    background: Image | None = None,
    plane: str = "axial",
    slice: int | None = None,
    region: str | Sequence[Sequence[int]] | None = None,
    scale: float = 1.0,
    size: int = 960,
) -> Picture:
    """Draw the fibre orientation distributions (FODs) or diffusion tensors of a slice as 3-D glyphs.

    In each voxel, the surface of an FOD shows the amplitude along each direction, coloured by it; a tensor is an
    ellipsoid whose semi-axes are proportional to the eigenvalues, coloured by its principal direction. Red is
    left-right, green front-back, blue head-foot, in the scanner's frame, as the key on the right says. Slices are
    radiological, as in ``mrview``: the patient's right is on the left of an axial or coronal slice, and the front on
    the left of a sagittal one. It needs no display and no graphics card, only Mesa's OpenGL.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        Whatever MRtrix3 opens, in MRtrix3's conventions and the scanner's frame. FODs: spherical harmonic coefficients,
        real, even degrees only, shape (X, Y, Z, N) with N = 1, 6, 15, 28, 45, ... Tensors: xx, yy, zz, xy, xz, yz,
        shape (X, Y, Z, 6). An array has voxels of 1 mm along the scanner's axes.
    kind : {"fod", "tensor"}, optional
        What the image contains; by default what the command that made it writes, as far as the header says, else what
        the values can be.
    background : path-like, nibabel image or numpy.ndarray, optional
        An image, on any grid, to show in grey behind the glyphs; of a 4-D image, the first volume. Black by default.
    plane : {"axial", "coronal", "sagittal"}, optional
        The plane, taken along the nearest voxel axes.
    slice : int, optional
        The index of the slice, counted from the feet, the back or the left; by default the middle one of those that
        are not empty.
    region : str or pair of pairs of int, optional
        The part of the slice: ``"30:38,40:48"`` or ``((30, 38), (40, 48))`` for voxels across and up, as slices in
        Python, counted to the patient's right or front, and to the front or the head; ``"-20:20,-30:10mm"`` for
        scanner coordinates along the nearest axes; ``"all"``. By default some 32 x 28 voxels around the strongest
        glyphs, in which each glyph is large enough to be seen.
    scale : float, optional
        The size of the glyphs. With 1, the 99th percentile of the peaks that are shown just fits its voxel. All glyphs
        have the same scale, so that they can be compared; only peaks more than twice as large are reduced.
    size : int, optional
        The width of the picture in pixels, as for `peek`.

    Returns
    -------
    provision.pictures.picture.Picture
        The picture, whose title and ``alt`` say which part of the slice it shows. Voxels that are zero or not finite,
        or whose peak is less than a hundredth of the largest, are left empty. Negative amplitudes are not drawn, and
        negative eigenvalues are taken as nearly 0.

    Raises
    ------
    provision.errors.OptionError
        If the image cannot be read, contains neither FODs nor tensors or could contain both, has no such plane, slice
        or region, or the background does not overlap.
    provision.errors.ProvisionError
        If MRtrix3, VTK, matplotlib or nibabel is not installed, or VTK cannot draw on this machine.

    Notes
    -----
    For the basis, see `provision.pictures.fod_render.sh_basis`.

    Examples
    --------
    >>> glyphs("wmfod.mif", background="t1.nii.gz", plane="coronal", slice=48)  # doctest: +SKIP
    <Picture 960 x 737: FODs of coronal slice 48 of wmfod.mif, region 31:63,22:50 of 96 x 60 voxels, 812 drawn>
    >>> glyphs("dt.mif", region="30:38,40:48").save("tensors.pdf")  # doctest: +SKIP
    PosixPath('tensors.pdf')
    """
    extras.require("view", "Pictures of glyphs", "vtkmodules", "nibabel", "matplotlib")
    chosen, size, scale = drawing.plane_named(plane), drawing.check_size(size), _checked_scale(scale)
    wanted = None if region is None else regions.parsed(region)
    with Reader(image) as reader:
        values = reader.read()
        kind = kinds.checked(kind, reader.header, values)
        index = _index(slice, values, chosen)
        whole = chosen.slice(values, index)
        part, radii = _shown(whole, kind, chosen, index, region is not None, wanted, reader.header)
        sheet = Sheet([(chosen, part.shape, part.spacing)], size=size)
        pixels = _pixels(sheet)
        scene, mean = _scene(whole[part.voxels], radii, kind, part, scale, pixels)
        behind = _behind(background, image, part, pixels)
    drawn = _draw(scene)
    behind[drawn[..., 3] > 0] = drawn[drawn[..., 3] > 0, :3]
    # Across runs to the left of the picture, and up from its bottom.
    sheet.show(0, behind[::-1, ::-1].swapaxes(0, 1), interpolation="antialiased")
    return _finished(sheet, part, kind, len(scene["centres"]), mean)


def _checked_scale(scale: Any) -> float:
    is_number = isinstance(scale, numbers.Real) and not isinstance(scale, bool)
    if not (is_number and 0 < scale < math.inf):
        raise OptionError(f"The scale must be a number greater than 0, not {scale!r}.", code="bad-value")
    return float(scale)


def _filled(values: np.ndarray) -> np.ndarray:
    """Return where values (..., N) are all finite and not all 0."""
    import numpy as np

    finite, some = np.ones(values.shape[:-1], bool), np.zeros(values.shape[:-1], bool)
    for volume in np.moveaxis(values, -1, 0):  # one after the other: the whole may be larger than memory
        finite &= np.isfinite(volume)
        some |= volume != 0
    return finite & some


def _index(slice: int | None, values: np.ndarray, plane: Plane) -> int:
    """Return the index of the slice to show, which must not be empty."""
    import numpy as np

    def full() -> list[int]:
        return np.flatnonzero(_filled(values).any(axis=(plane.across, plane.up))).tolist()

    if slice is None:
        if not (some := full()):
            raise OptionError("There is nothing to show: every voxel is zero or not finite.", code="nothing-to-show")
        return some[len(some) // 2]
    try:
        index = operator.index(slice)
    except TypeError as error:
        raise OptionError(f"The slice must be a whole number, not {slice!r}.", code="bad-value") from error
    count = values.shape[plane.through]
    if not 0 <= index < count:
        hint = f"They are numbered from 0 to {count - 1}."
        raise OptionError(f"There is no {plane.name} slice {index}.", hint=hint, code="bad-value")
    if not _filled(plane.slice(values, index)).any():
        others = f"Slices that are not empty: {ranges(some)}." if (some := full()) else "All others are empty, too."
        message = f"There is nothing to show in {plane.name} slice {index}."
        raise OptionError(message, hint=others, code="nothing-to-show")
    return index


def _shown(
    values: np.ndarray, kind: str, plane: Plane, index: int, is_chosen: bool, region: regions.Region | None,
    header: Header,
) -> tuple[_Part, np.ndarray]:  # fmt: skip
    """Return the part of a slice to show, and the largest radius of the glyph of each of its voxels, 0 for none.

    `values` are those of the slice, shape (across, up, N).
    """
    import numpy as np

    filled = _filled(values)
    radii = np.zeros(filled.shape, np.float32)
    radii[filled] = _RADII[kind](values[filled])
    voxels = _slices(filled.shape)
    if region:
        voxels = region.voxels(plane, index, header)
    elif not is_chosen and radii.any():
        voxels = regions.strongest(radii, [header.spacing[axis] for axis in (plane.across, plane.up)])
    part = _Part(plane, index, voxels, header)
    if not radii[voxels].any():
        where = f"{plane.name} slice {index}" + (f", {part}" if region else "")
        reason = "no amplitude is positive" if kind == "fod" else "no eigenvalue is positive"
        raise OptionError(f"There is nothing to show in {where}: {reason}.", code="nothing-to-show")
    return part, radii[voxels]


def _slices(shape: Sequence[int]) -> tuple[slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1])


def _peaks(coefficients: np.ndarray) -> np.ndarray:
    """Return the largest amplitude in each voxel, shape (G,), of coefficients (G, N); 0 if none is positive."""
    import numpy as np

    directions, _ = fod_render.sphere(8)
    half = directions[directions @ (1, 1e-3, 1e-6) > 0]
    basis = fod_render.sh_basis(half, 2 * kinds.COUNTS.index(coefficients.shape[1])).T.astype(np.float32)
    return np.maximum((coefficients @ basis).max(axis=1), 0)


def _eigenvalues(tensors: np.ndarray) -> np.ndarray:
    """Return the largest eigenvalue in each voxel, shape (G,), of tensors (G, 6); 0 if none is positive."""
    import numpy as np

    return np.maximum(np.linalg.eigvalsh(kinds.matrices(tensors))[:, -1], 0)


_RADII = {"fod": _peaks, "tensor": _eigenvalues}


def _pixels(sheet: Sheet) -> tuple[int, int]:
    """Return the width and height with which glyphs are drawn for the one panel of a sheet."""
    _plane, count, edge = sheet.panels[0]
    sides = [count[axis] * edge[axis] * sheet.scale for axis in (0, 1)]
    finer = _FINER if _FINER * max(sides) <= _LARGEST_SIDE else 1
    return max(round(sides[0] * finer), 1), max(round(sides[1] * finer), 1)


def _scene(
    values: np.ndarray, radii: np.ndarray, kind: str, part: _Part, scale: float, pixels: tuple[int, int]
) -> tuple[dict[str, np.ndarray], float]:
    """Return the scene for `fod_render.draw`, and the peak of a glyph that just fits its voxel.

    `values` and `radii` are those of the part, shape (across, up, N) and (across, up).
    """
    import numpy as np

    largest = np.percentile(radii[radii > 0], 99)
    voxels = np.argwhere(radii > _SMALLEST * largest)
    here, peaks = (of[voxels[:, 0], voxels[:, 1]].astype(np.float32) for of in (values, radii))
    fitting = scale * min(part.spacing) / 2 / np.maximum(largest, peaks / _LARGEST)
    here *= fitting[:, np.newaxis]
    height = part.shape[1] * part.spacing[1]
    drawn = peaks * fitting
    return {
        **({"coefficients": here} if kind == "fod" else {"tensors": kinds.matrices(here)}),
        "centres": part.places(voxels).astype(np.float32),
        "to_picture": part.to_picture,
        "frequencies": _frequencies(2 * drawn * pixels[1] / height / _FINER),
        "pixels": np.array(pixels),
        "height": np.array(height),
        "depth": np.array(1.5 * drawn.max()),  # peaks are found to within a few per cent
    }, float(largest / scale)


def _frequencies(diameters: np.ndarray) -> np.ndarray:
    """Return how finely glyphs need to be drawn, for their diameters in pixels."""
    import numpy as np

    needed = np.searchsorted(_FREQUENCIES, diameters / _PIXELS_PER_PART)
    return np.array(_FREQUENCIES)[np.minimum(needed, len(_FREQUENCIES) - 1)]


def _behind(background: Image | None, image: Image, part: _Part, pixels: tuple[int, int]) -> np.ndarray:
    """Return what is behind the glyphs in grey, uint8, shape (H, W, 3), top row first."""
    import numpy as np

    if background is None:
        return np.zeros((*pixels[::-1], 3), np.uint8)
    if isinstance(background, np.ndarray) and not isinstance(image, np.ndarray):
        raise OptionError(
            "The background is an array, which has no position in space.",
            hint="Pass a path or a nibabel image.",
            code="bad-value",
        )
    import nibabel
    from nibabel.orientations import apply_orientation, io_orientation

    plane, shape = part.plane, [1, 1, 1]
    shape[plane.across], shape[plane.up] = pixels
    parts = (pixels[0] / part.shape[0], pixels[1] / part.shape[1])
    affine = part.affine(parts, min(part.spacing) / max(parts))
    grid = nibabel.Nifti2Image(np.zeros(shape, np.uint8), affine)
    with Reader(background) as reader, Reader(grid) as template:
        _check_overlap(reader.header, part)
        # Rounding may turn the axes of a grid at 45 degrees to the scanner's.
        turned = io_orientation(np.linalg.inv(affine) @ template.header.affine)
        values = apply_orientation(reader.volume(like=template), turned)
        values = plane.slice(values, 0)[::-1, ::-1].swapaxes(0, 1)
        low, high = np.nanpercentile(values, (1, 99))
        grey = 255 * _BACKGROUND * np.clip(np.nan_to_num(values - low) / (high - low or 1), 0, 1)
    return np.repeat(grey[..., np.newaxis].round().astype(np.uint8), 3, axis=2)


def _check_overlap(header: Header, part: _Part) -> None:
    """Refuse a background that has no voxel where the part has one."""
    import numpy as np

    voxels = np.zeros((*part.shape, 4))
    voxels[..., 3] = 1
    voxels[..., [part.plane.across, part.plane.up]] = np.moveaxis(np.indices(part.shape), 0, -1) + part.start
    voxels[..., part.plane.through] = part.index
    there = voxels @ (np.linalg.inv(header.affine) @ part.header.affine)[:3].T
    if not ((there > -0.5) & (there < np.subtract(header.shape[:3], 0.5))).all(axis=-1).any():
        hint = "Check that both images show the same head."
        message = f"The background does not overlap with {part.plane.name} slice {part.index}."
        raise OptionError(message, hint=hint, code="wrong-image")


def _finished(sheet: Sheet, part: _Part, kind: str, drawn: int, largest: float) -> Picture:
    """Write what is shown around it."""
    sheet.letters(0)
    sheet.ruler(0)
    _add_key(sheet, part.to_picture)
    what, name, where = kinds.KINDS[kind], part.header.name, f"{part.plane.name} slice {part.index}"
    glyphs = f"{drawn} glyph{'s' * (drawn != 1)}"
    sheet.title(f"{what} of {name}   {where}   {part}   {glyphs}")
    x, y, z = part.centre()
    peak = "amplitude" if kind == "fod" else "eigenvalue"
    sheet.footer(f"centre at {x:.1f}, {y:.1f}, {z:.1f} mm   {peak} of a glyph that fits its voxel: {largest:.3g}")
    return sheet.picture(f"{what} of {where} of {name}, {part}, {glyphs}")


def _add_key(sheet: Sheet, to_picture: np.ndarray) -> None:
    """Draw what the colours mean, on the right: half a sphere in the colours of the directions on it."""
    import numpy as np

    width, height = sheet.pixels
    ratio = sheet.size / drawing.WIDTH
    side = 60 * ratio
    left, bottom = width - side - 7 * ratio, height / 2
    x, y = np.meshgrid(*[(np.arange(240) + 0.5) / 120 - 1] * 2)
    seen = np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, None))], axis=-1)
    disc = np.dstack([np.abs(seen @ to_picture).clip(0, 1), np.hypot(x, y) <= 1])
    axes = sheet.figure.add_axes((left / width, bottom / height, side / width, side / height), label="key")
    axes.imshow(disc, origin="lower", interpolation="antialiased")
    axes.axis("off")
    for line, (text, colour) in enumerate(_KEY):
        at = ((left + side / 2) / width, (bottom - (6 + 13 * line) * ratio) / height)
        sheet.figure.text(*at, text, color=colour, ha="center", va="top", fontsize=8 * ratio)


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
            "The process that draws glyphs was killed, perhaps because memory ran out.",
            hint="Draw a region, or use a smaller size.",
            code="out-of-memory",
        )
    last = (process.stderr.strip().splitlines() or [""])[-1]
    if process.returncode < 0 or "cannot open shared object" in last:
        return ProvisionError(
            "VTK cannot draw on this machine: it finds no OpenGL library that works without a display.",
            hint='Install Mesa: provision.run("deps", groups=["glyphs"]).',
            code="no-library",
        )
    return ProvisionError(f"VTK could not draw the glyphs: {last}")
