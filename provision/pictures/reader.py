"""Images as MRtrix3 reads them: whatever is shown goes through `mrinfo` and `mrconvert`."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from provision import extras
from provision.errors import OptionError, ProvisionError, no_such_file
from provision.paths import absolute
from provision.pictures import mrtrix3
from provision.words import format_bytes, printable

if TYPE_CHECKING:
    import numpy as np
    from nibabel.spatialimages import SpatialImage

    Image: TypeAlias = str | os.PathLike[str] | SpatialImage | np.ndarray

COMPRESSED = (".gz", ".mgz")
"""The endings of files that MRtrix3 decompresses whole, however little of them is wanted."""


@dataclass(frozen=True)
class Header:
    """The header of an image, with its axes in MRtrix3's order: nearest to right, front, up.

    Attributes
    ----------
    name : str
        The name of the image in sentences.
    shape : tuple of int
        The number of voxels along each axis, three or more.
    spacing : tuple of float
        The edges of a voxel in mm, three of them.
    affine : numpy.ndarray
        Maps voxel indices to scanner coordinates in mm, shape (4, 4).
    is_whole : bool
        Whether the file has whole numbers.
    gradients : numpy.ndarray or None
        The gradient table in the header, x y z b per volume, in s/mm2, shape (V, 4).
    history : tuple of str
        The commands that made the image, as far as its header says.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    affine: np.ndarray
    is_whole: bool = False
    gradients: np.ndarray | None = None
    history: tuple[str, ...] = ()

    @property
    def volumes(self) -> int:
        """The number of volumes along the fourth axis; 1 without such an axis."""
        return self.shape[3] if len(self.shape) > 3 else 1

    def bvalue(self, volume: int) -> float | None:
        """Return the b-value of a volume in s/mm2; None if the header does not say."""
        if self.gradients is None or len(self.gradients) != self.volumes:
            return None
        return float(self.gradients[volume][3])


class Reader:
    """An image that MRtrix3 reads, volume by volume, into a temporary folder.

    The folder is deleted with the object, by `close`, or when Python exits.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        Whatever MRtrix3 opens: a file, a series such as ``vol-[].mif`` or a folder of DICOM files; or an image of
        nibabel's or an array, which are written to a file for it. The voxels of an array are taken to be 1 mm wide,
        with the first one at the scanner's origin.

    Raises
    ------
    provision.errors.OptionError
        If MRtrix3 cannot read the image; the message says why.
    provision.errors.ProvisionError
        If MRtrix3 or nibabel is not installed.

    Examples
    --------
    >>> with Reader("dwi.mif") as reader:  # doctest: +SKIP
    ...     reader.header.shape, reader.read([3]).shape
    ((48, 48, 20, 61), (48, 48, 20, 1))
    """

    def __init__(self, image: Image):
        mrtrix3.command("mrconvert")
        self.name = short_name(image)
        self._said = os.fspath(image) if _is_path(image) else f"the {self.name.split()[-1]}"
        self.folder = Path(tempfile.mkdtemp(prefix="provision-picture-"))
        self.close = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._count = 0
        self._warned: set[str] = set()
        try:
            self.path = _checked(image) if _is_path(image) else self._written(image)
            self.header  # noqa: B018
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    @cached_property
    def header(self) -> Header:
        """The header of the image."""
        import numpy as np

        found = self._info
        if found["datatype"].startswith("CFloat"):
            hint = "Use the magnitude: mrcalc INPUT -abs out.mif."
            raise OptionError(f"{self._said} contains complex numbers.", hint=hint, code="wrong-image")
        shape, spacing = found["size"], found["spacing"]
        if len(shape) < 2 or min(shape) < 1:
            size = " x ".join(map(str, shape)) or "0"
            raise OptionError(f"{self._said} has the size {size}, so there is no slice.", code="wrong-image")
        shape, spacing = shape + [1] * (3 - len(shape)), (spacing + [1.0] * (3 - len(spacing)))[:3]
        spacing = [float(edge) if edge and math.isfinite(edge) else 1.0 for edge in spacing]
        affine = np.array(found["transform"], float) @ np.diag([*spacing, 1.0])
        about = found.get("keyval") or {}
        history = about.get("command_history") or ()
        return Header(
            self.name, tuple(shape), tuple(spacing), affine, "Int" in found["datatype"] or found["datatype"] == "Bit",
            _table(about.get("dw_scheme")), (history,) if isinstance(history, str) else tuple(history),
        )  # fmt: skip

    @cached_property
    def _info(self) -> dict[str, Any]:
        """What mrinfo says of the image."""
        place = self._new("json")
        self._run("mrinfo", self.path, "-json_all", place)
        return json.loads(place.read_text("utf-8", errors="replace"))

    @property
    def is_compressed(self) -> bool:
        """Whether MRtrix3 decompresses all of it for each volume."""
        return self.path.name.lower().endswith(COMPRESSED)

    def decompress(self) -> None:
        """Decompress the image into the folder, once, so that single volumes are read quickly from now on."""
        if self.is_compressed:
            place = self._new("mif")
            self._check_space(8 * math.prod(self.header.shape))
            self._run("mrconvert", self.path, place)
            self.path = place

    def read(self, volumes: Sequence[int] | None = None) -> np.ndarray:
        """Return values of the image.

        Parameters
        ----------
        volumes : sequence of int, optional
            The volumes to read, counted from 0; all by default. Along further axes, only the first position is read.

        Returns
        -------
        numpy.ndarray
            float32, shape (X, Y, Z) for a 3-D image, else (X, Y, Z, V); the axes point nearest to the right, the front
            and up. It is a file in the folder, mapped into memory.
        """
        chosen = self._chosen(volumes)
        shape = self.header.shape[:4]
        if len(shape) > 3 and volumes is not None:
            shape = (*shape[:3], len(volumes))
        self._check_space(4 * math.prod(shape))
        return self._mapped(self._convert(*chosen), shape)

    def volume(self, number: int = 0, like: Reader | None = None, *, interpolation: str = "linear") -> np.ndarray:
        """Return one volume, shape (X, Y, Z), on its own grid or that of another image."""
        values = self.read_like(like, [number], interpolation=interpolation) if like else self.read([number])
        return values[..., 0] if values.ndim > 3 else values

    def shares_grid(self, other: Reader) -> bool:
        """Return whether the voxels of another image are in the same places."""
        import numpy as np

        here, there = self.header, other.header
        return here.shape[:3] == there.shape[:3] and np.allclose(here.affine, there.affine, atol=1e-3)

    def read_like(self, other: Reader, volumes: Sequence[int] | None = None, *, interpolation: str) -> np.ndarray:
        """Return the same on the grid of another image; ``"nearest"`` or ``"linear"`` says how values are found."""
        if self.shares_grid(other):
            return self.read(volumes)
        part, template, place = self._new("mif"), self._new("mif"), self._new("mih")
        self._run("mrconvert", self.path, part, *self._chosen(volumes))
        self._run("mrconvert", other.path, template, *other._chosen([0]), "-datatype", "bit")
        dimensions = min(len(self.header.shape), 4)
        self._run("mrtransform", part, place, "-template", template, "-interp", interpolation, *_plain(dimensions))
        tail = self.header.shape[3:4] if volumes is None else (len(volumes),) if dimensions > 3 else ()
        return self._mapped(place, (*other.header.shape[:3], *tail))

    def _chosen(self, volumes: Sequence[int] | None) -> list[str]:
        """Return the options with which mrconvert reads some volumes alone."""
        dimensions = len(self.header.shape)
        wanted = {3: ",".join(map(str, volumes))} if volumes is not None and dimensions > 3 else {}
        wanted |= dict.fromkeys(range(4, dimensions), "0")
        return [word for axis, which in wanted.items() for word in ("-coord", str(axis), which)]

    def _convert(self, *options: str) -> Path:
        place = self._new("mih")
        self._run("mrconvert", self.path, place, *options, *_plain(len(self._info["size"])))
        return place

    def _mapped(self, place: Path, shape: Sequence[int]) -> np.ndarray:
        import numpy as np

        return np.memmap(place.with_suffix(".dat"), "<f4", "c", shape=tuple(shape), order="F")

    def _run(self, command: str, *arguments: str | os.PathLike[str]) -> None:
        mrtrix3.run(command, *arguments, of=self._said, folder=self.folder, known=self._warned)

    def _new(self, suffix: str) -> Path:
        self._count += 1
        return self.folder / f"{self._count}.{suffix}"

    def _check_space(self, needed: int) -> None:
        """Refuse what the disk cannot hold: MRtrix3 would be killed by the kernel."""
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise OptionError(
                f"{self._said} needs {format_bytes(needed)} in {self.folder.parent}, which has {format_bytes(free)}.",
                hint="Use a part of it: mrconvert INPUT part.mif -coord 3 0.",
                code="disk-full",
            )

    def _written(self, image: Any) -> Path:
        """Write an image of nibabel's or an array to a file, with all that it says of its place."""
        extras.require("view", "Pictures of arrays", "nibabel")
        import nibabel
        import numpy as np
        from nibabel.spatialimages import SpatialImage

        if isinstance(image, np.ndarray):
            image = nibabel.Nifti2Image(_plain_type(image), np.eye(4))
        elif not isinstance(image, SpatialImage):
            message = f"An image must be a path, a nibabel image or a numpy array, not {type(image).__name__}."
            raise OptionError(message, code="bad-value")
        elif path := _untouched(image):
            return path
        else:
            values = _plain_type(np.asanyarray(image.dataobj))
            if isinstance(image, nibabel.Nifti1Pair):  # whose header has two forms
                is_second = isinstance(image, nibabel.Nifti2Image | nibabel.Nifti2Pair)
                kind = nibabel.Nifti2Image if is_second else nibabel.Nifti1Image
                image = kind(values, None, image.header)
            else:
                image = nibabel.Nifti2Image(values, np.eye(4) if image.affine is None else image.affine)
            image.set_data_dtype(values.dtype)
        place = self._new("nii")
        try:
            nibabel.save(image, place)
        except OSError as error:
            hint = "Set TMPDIR to a folder with more space."
            raise ProvisionError(
                f"Cannot write to {place.parent}: {error.strerror}.", hint=hint, code="disk-full"
            ) from error
        return place


def _table(said: Any) -> np.ndarray | None:
    """Return the gradient table of a header; None for lines of words, or of unequal lengths, which are no table."""
    import numpy as np

    try:
        table = np.atleast_2d(np.array(said or [], float))
    except ValueError:
        return None
    return table if table.shape[1] > 3 else None


def _plain(dimensions: int) -> list[str]:
    """Return the options that give values as they lie in memory: float32, the first axis fastest."""
    strides = ",".join(str(axis + 1) for axis in range(dimensions))
    return ["-strides", strides, "-datatype", "float32le"]


def _untouched(image: SpatialImage) -> Path | None:
    """Return the file that an image of nibabel's was loaded from, if nothing of it has been changed since."""
    import nibabel

    name = image.get_filename()
    if not name or not nibabel.is_proxy(image.dataobj):
        return None
    with contextlib.suppress(Exception):  # it may have been deleted, or replaced by anything
        there: Any = nibabel.load(name)
        if type(there) is type(image) and there.header == image.header and (there.affine == image.affine).all():
            return _checked(name)
    return None


def _plain_type(array: np.ndarray) -> np.ndarray:
    """Return an array in a type that NIfTI and MRtrix3 have."""
    import numpy as np

    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "biuf":
        what = "complex numbers" if kind == "c" else array.dtype.name
        raise OptionError(f"The array contains {what}, but must contain integers or floats.", code="wrong-image")
    if array.ndim < 2 or not array.size:
        size_ = " x ".join(map(str, array.shape))
        raise OptionError(f"The array has the size {size_}, so there is no slice.", code="wrong-image")
    if kind == "b":
        return array.astype(np.uint8)
    if kind == "f" and size not in (4, 8):
        return array.astype(np.float32 if size < 4 else np.float64)
    return array.astype(np.float64) if kind in "iu" and size == 8 else array


def short_name(image: Image) -> str:
    """Return the name of an image for use within a sentence.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        As for `Reader`.

    Returns
    -------
    str
        The name of the file without its folder, or ``"an image"`` or ``"an array"``.

    Examples
    --------
    >>> import numpy as np
    >>> short_name("data/dwi.mif"), short_name(np.zeros((2, 3, 4)))
    ('dwi.mif', 'an array')
    """
    if _is_path(image):
        return printable(absolute(image).name)
    return "an image" if hasattr(image, "dataobj") else "an array"


def _is_path(image: Image) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(image, str | os.PathLike)


def _checked(image: str | os.PathLike[str]) -> Path:
    """Return the absolute path of an image that is there; what it is, MRtrix3 will say."""
    path = absolute(image)
    if path.suffix == ".hdr" and path.with_suffix(".img").is_file():
        path = path.with_suffix(".img")  # MRtrix3 knows a pair by this name alone
    if path.exists():
        if "[" in path.name:
            message = f"{path.name} cannot be opened: to MRtrix3, [ marks a series of files."
            raise OptionError(message, hint="Rename it.", code="bad-value")
        if not (path.is_file() or path.is_dir()):
            raise OptionError(f"{image} is not a regular file.", hint="Copy it into a file first.", code="not-a-file")
        return path
    if not path.parent.is_dir():
        raise OptionError(f"There is no folder {path.parent}.", hint="Check the path.", code="no-folder")
    if "[" not in path.name:
        raise no_such_file(path, os.fspath(image))
    return path
