"""The images to draw: a path, a nibabel image or a numpy array, checked and loaded."""

from __future__ import annotations

import math
import os
import shutil
import sys
import textwrap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from provision import extras
from provision.errors import OptionError, ProvisionError, no_such_file
from provision.machine import failures, system
from provision.words import format_bytes

if TYPE_CHECKING:
    import numpy as np
    from nibabel.spatialimages import SpatialImage

    Image: TypeAlias = str | os.PathLike | SpatialImage | np.ndarray

EXTENSIONS = (".nii", ".nii.gz", ".mif", ".mif.gz", ".mih", ".mgh", ".mgz", ".img", ".hdr")
"""The file extensions of images."""

_CHUNK = 1 << 20
_SAMPLED_VOLUMES, _SAMPLED_VALUES = 16, 200_000
_MOST_BYTES = 8  # of one number that MRtrix3 reads
_MOST_AXES = 7  # of NIfTI
_LONGEST_AXIS = 32767  # of NIfTI-1
_LONGEST_REASON = 200
_TAKE_A_PART = "Use a part of it: mrconvert INPUT part.mif -coord 3 0."


@dataclass(frozen=True)
class Header:
    """The header of an image, with its axes in MRtrix3's order: nearest to right, anterior, superior.

    Attributes
    ----------
    shape : tuple of int
        The number of voxels along each axis, three or more.
    spacing : tuple of float
        The edges of a voxel in mm, three of them.
    affine : numpy.ndarray
        Maps voxel indices to scanner coordinates in mm, shape (4, 4).
    """

    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    affine: np.ndarray

    @property
    def volumes(self) -> int:
        """The number of volumes along the fourth axis; 1 without such an axis."""
        return self.shape[3] if len(self.shape) > 3 else 1


def header(image: Image) -> Header:
    """Return the header of an image.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        As for `loaded`.

    Returns
    -------
    Header
        Its axes point to the right, the front and up, as nearly as possible.

    Raises
    ------
    provision.errors.OptionError
        If the image cannot be shown; the message says why.
    provision.errors.ProvisionError
        If nibabel is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> header(np.zeros((4, 5, 6, 7))).volumes
    7
    """
    extras.require("view", "Pictures of images", "nibabel")
    import numpy as np
    from nibabel.orientations import io_orientation

    opened = _opened(image)
    with _reading(_name(image)):
        axes = io_orientation(opened.affine)
    order = [int(axis) for axis in np.argsort(axes[:, 0])]
    shape = (*(opened.shape[axis] for axis in order), *opened.shape[3:])
    affine = _turned(opened.affine, axes, opened.shape)
    right, front, up = map(float, np.linalg.norm(affine[:3, :3], axis=0))
    return Header(tuple(map(int, shape)), (right, front, up), affine)


def loaded(image: Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of an image and its affine.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        A file whose name ends in one of `EXTENSIONS`, a nibabel image, or an array, whose voxels are taken to be 1 mm
        wide with the first one at the scanner's origin.

    Returns
    -------
    array : numpy.ndarray
        The values in memory, shape (X, Y, Z) or more. The first axis points nearest to the right, the second nearest
        to the front, the third nearest up, as with ``nibabel.as_closest_canonical`` and in MRtrix3. Whole numbers keep
        their type; scaled values are float32 or float64.
    affine : numpy.ndarray
        Maps voxel indices to scanner coordinates in mm, shape (4, 4).

    Raises
    ------
    provision.errors.OptionError
        If the image cannot be shown, or needs more memory than is free; the message says why.
    provision.errors.ProvisionError
        If nibabel is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> array, affine = loaded(np.ones((4, 5, 6)))
    >>> array.shape
    (4, 5, 6)
    """
    extras.require("view", "Pictures of images", "nibabel")
    from nibabel.orientations import apply_orientation, io_orientation

    opened, name = _opened(image), _name(image)
    _check_memory(opened, name)
    with _reading(name):
        if _is_path(image) and not _mif().is_compressed(_path(image)):
            _check_whole(opened, _path(image))
        array = _values(opened, image)
    _check_finite([array], name)
    axes = io_orientation(opened.affine)
    return apply_orientation(array, axes), _turned(opened.affine, axes, opened.shape)


def on_disk(image: Image, folder: str | os.PathLike) -> Path:
    """Return the path of a file with this image that MRtrix3 can open quickly.

    A file is read only up to its first finite number, unless it is compressed: then it is decompressed into the folder,
    which also verifies it. MRtrix3 would decompress all of it into memory each time, without noticing all damage.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        As for `loaded`.
    folder : path-like
        The folder into which compressed files, nibabel images and arrays are written; other files are used in place.

    Returns
    -------
    pathlib.Path
        The absolute path of the file.

    Raises
    ------
    provision.errors.OptionError
        If the image cannot be shown, or needs more memory or disk space than is free; the message says why.
    provision.errors.ProvisionError
        If nibabel is not installed, or the folder cannot be written.

    Examples
    --------
    >>> on_disk("dwi.mif", "results")  # doctest: +SKIP
    PosixPath('/data/dwi.mif')
    """
    extras.require("view", "Pictures of images", "nibabel")
    opened, name, folder = _opened(image), _name(image), Path(folder).absolute()
    if not _is_path(image):
        return _written(opened, name, folder / "image.nii")
    path = _path(image).absolute()
    if _mif().is_compressed(path):
        path = _decompressed(opened, path, name, folder)
        with _reading(name):
            opened = _opened_file(path, name)
    elif "[" in path.name:
        raise OptionError(
            f"{name} cannot be opened: to MRtrix3, [ marks a series of files.", hint="Rename it.", code="bad-value"
        )
    with _reading(name):
        _check_whole(opened, path)
        _check_finite(_numbers(opened, path), name)
    return path


def sample(path: Path) -> np.ndarray:
    """Return a sample of the values of an image, small enough to read quickly.

    Parameters
    ----------
    path : pathlib.Path
        An uncompressed file.

    Returns
    -------
    numpy.ndarray
        The finite values of evenly spaced slices in up to 16 evenly spaced volumes, about 200 000 values or one slice
        per volume, shape (N,).

    Examples
    --------
    >>> sample(Path("dwi.nii")).mean()  # doctest: +SKIP
    107.2
    """
    import numpy as np

    opened = _opened(path)
    step = math.ceil(math.prod(opened.shape[:3]) / _SAMPLED_VALUES)
    last = opened.shape[3] - 1 if len(opened.shape) > 3 else 0
    parts = []
    for volume in np.unique(np.linspace(0, last, _SAMPLED_VOLUMES).round().astype(int)):
        index = (int(volume), *[0] * (len(opened.shape) - 4)) if len(opened.shape) > 3 else ()
        parts.append(np.asarray(opened.dataobj[:, :, ::step, *index]).ravel())
    values = np.concatenate(parts)
    return values[np.isfinite(values)]


def short_name(image: Image) -> str:
    """Return the name of an image for use within a sentence.

    Parameters
    ----------
    image : path-like, nibabel image or numpy.ndarray
        As for `loaded`.

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
    return _path(image).name if _is_path(image) else "an image" if hasattr(image, "dataobj") else "an array"


def _is_path(image: Image) -> TypeGuard[str | os.PathLike]:
    return isinstance(image, str | os.PathLike)


def _path(image: str | os.PathLike) -> Path:
    return Path(image).expanduser()


def _name(image: Image) -> str:
    """Return the name of an image for the beginning of a sentence."""
    if _is_path(image):
        return os.fspath(image)
    return "The image" if hasattr(image, "dataobj") else "The array"


def _opened(image: Image) -> SpatialImage:
    """Return an image without reading its voxels; refuse one that cannot be shown."""
    import numpy as np
    from nibabel.spatialimages import SpatialImage

    if _is_path(image):
        opened = _opened_file(_path(image), _name(image))
    elif isinstance(image, np.ndarray):
        _check_values(image.dtype, "The array")
        opened = SpatialImage(image, np.eye(4))
    elif isinstance(image, SpatialImage):
        opened = image if image.affine is not None else SpatialImage(image.dataobj, np.eye(4))
    else:
        raise OptionError(
            f"An image must be a path, a nibabel image or a numpy array, not {type(image).__name__}.", code="bad-value"
        )
    with _reading(_name(image)):
        _check_header(opened, _name(image))
    return opened


def _opened_file(path: Path, name: str) -> SpatialImage:
    _check_file(path, name)
    with _reading(name):
        if path.name.endswith(_mif().EXTENSIONS):
            return _mif().load(path)
        import nibabel

        image: Any = nibabel.load(path)  # by its types it may be no image
        return image


def _mif():
    """Return the reader of MRtrix3's formats, imported on first use because it imports numpy."""
    from provision.pictures import mif

    return mif


def _check_file(path: Path, name: str) -> None:
    if path.is_dir():
        raise OptionError(
            f"{name} is a folder, not an image.", hint=f"For DICOM: mrconvert {name} image.mif.", code="not-a-file"
        )
    if not path.parent.is_dir():
        raise OptionError(f"There is no folder {path.parent}.", hint="Check the path.", code="no-folder")
    if not path.exists():
        raise no_such_file(path, name)
    if not path.is_file():
        raise OptionError(f"{name} is not a regular file.", hint="Copy it into a file first.", code="not-a-file")
    if not path.name.endswith(EXTENSIONS):
        raise OptionError(
            f"{name} does not look like an image: its name does not end in {', '.join(EXTENSIONS[:-1])} or "
            f"{EXTENSIONS[-1]}.",
            hint="Convert it with mrconvert, or pass a nibabel image or a numpy array.",
            code="unknown-format",
        )


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn errors while reading a file into one sentence."""
    try:
        yield
    except ProvisionError:
        raise
    except FileNotFoundError as error:
        message = f"{name} has its voxels in {error.filename}, which does not exist."
        raise OptionError(message, hint="Copy both files together.", code="no-file") from error
    except (EOFError, zlib.error, OSError) as error:
        # An error of nibabel's own has no number.
        if isinstance(error, OSError) and error.errno:
            code = failures.failure(error)["code"]
            raise OptionError(f"{name} cannot be read: {error.strerror}.", code=code) from error
        message = f"{name} is damaged or cut off: {_reason(error)}."
        raise OptionError(message, hint="Copy or create it again.", code="damaged") from error
    except MemoryError as error:
        raise OptionError(f"{name} needs more memory than is free.", hint=_TAKE_A_PART, code="out-of-memory") from error
    except Exception as error:  # whatever a header makes nibabel or numpy stumble over
        raise _bad_image(
            f"{name} is not an image in the format that its name suggests: {_reason(error)}.",
            hint="Check its format, and rename it to match.",
        ) from error


def _bad_image(message: str, *, hint: str = "") -> OptionError:
    return OptionError(message, hint=hint, code="bad-image")


def _reason(error: Exception) -> str:
    return textwrap.shorten(str(error), _LONGEST_REASON, placeholder=" ...").rstrip(".") or type(error).__name__


def _check_header(opened: SpatialImage, name: str) -> None:
    import numpy as np

    data: Any = opened.dataobj
    if math.prod(opened.shape) * np.dtype(data.dtype).itemsize > sys.maxsize:
        raise _bad_image(
            f"{name} claims more voxels in its header than any disk can hold.", hint="Copy or create it again."
        )
    _check_values(np.dtype(data.dtype), name)
    size = " x ".join(map(str, opened.shape))
    if len(opened.shape) < 3:
        raise OptionError(f"{name} has the size {size}, but an image needs three dimensions.", code="wrong-image")
    if min(opened.shape) < 1:
        raise _bad_image(f"{name} has the size {size}, so it contains no voxels.")
    if not _is_a_place(opened.affine):
        raise _bad_image(f"{name} has an affine that cannot be inverted: {opened.affine[:3].round(3).tolist()}.")


def _is_a_place(affine: np.ndarray) -> bool:
    """Return whether an affine is finite and can be inverted."""
    import numpy as np

    with np.errstate(all="ignore"):
        edges = np.linalg.norm(affine[:3, :3], axis=0)
        return bool(
            np.isfinite(affine).all() and np.isfinite(edges).all() and edges.all()
            and np.linalg.matrix_rank(affine[:3, :3] / edges) == 3
        )  # fmt: skip


def _check_values(dtype: np.dtype, name: str) -> None:
    if dtype.kind == "c":
        raise OptionError(
            f"{name} contains complex numbers.",
            hint="Use the magnitude: mrcalc INPUT -abs out.mif.",
            code="wrong-image",
        )
    if dtype.kind not in "biuf" or dtype.itemsize > _MOST_BYTES:
        raise OptionError(
            f"{name} contains {dtype.name}, but must contain integers or floats of up to 64 bits.", code="wrong-image"
        )


def _check_finite(parts: Iterator[np.ndarray] | list[np.ndarray], name: str) -> None:
    """Refuse an image without any finite number; parts are read only up to the first one."""
    import numpy as np

    for part in parts:
        if part.dtype.kind != "f" or np.isfinite(part).any():
            return
    raise OptionError(f"There is nothing to show in {name}: it contains no finite value.", code="nothing-to-show")


def _check_memory(opened: SpatialImage, name: str) -> None:
    """Refuse an image file whose voxels would not fit into free memory."""
    import numpy as np

    if isinstance(opened.dataobj, np.ndarray):
        return
    needed, free = _memory_needed(opened), system.memory_available()
    if free is not None and needed > free:
        raise OptionError(
            f"{name} needs {format_bytes(needed)} of memory, but only {format_bytes(free)} is free.",
            hint=_TAKE_A_PART,
            code="out-of-memory",
        )


def _memory_needed(opened: SpatialImage) -> int:
    """Return how many bytes the voxels need once they are read and, if necessary, scaled."""
    import numpy as np

    data: Any = opened.dataobj
    stored = getattr(data, "stored", data.dtype)
    itemsize = stored.itemsize
    if _is_scaled(data):
        itemsize += np.result_type(stored, np.float32).itemsize
    return int(np.prod(opened.shape, dtype=object)) * itemsize


def _is_scaled(dataobj) -> bool:
    return (getattr(dataobj, "slope", 1), getattr(dataobj, "inter", 0)) != (1, 0)


def _values(opened: SpatialImage, image: Image) -> np.ndarray:
    """Return the voxels in memory, in native byte order."""
    import numpy as np
    from nibabel.filebasedimages import SerializableImage

    if isinstance(opened.dataobj, np.ndarray):
        return opened.dataobj
    if not _is_path(image) or not _mif().is_compressed(_path(image)) or not isinstance(opened, SerializableImage):
        return _scaled(opened.dataobj)
    with _mif().opened(_path(image)) as stream:
        array = _scaled(type(opened).from_stream(stream).dataobj)
        # The checksum is compared only at the end.
        while stream.read(_CHUNK):
            pass
    return array


def _scaled(dataobj) -> np.ndarray:
    """Return values in memory; scaled ones as float32, or as float64 if that would lose digits."""
    import numpy as np

    if not _is_scaled(dataobj) or isinstance(dataobj, _mif().MifArray):
        array = np.asarray(dataobj)
        return np.array(array, array.dtype.newbyteorder("="))
    array = dataobj.get_unscaled()
    array = array.astype(np.result_type(array.dtype, np.float32))
    array *= dataobj.slope
    array += dataobj.inter
    return array


def _turned(affine: np.ndarray, axes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the affine of an image after ``apply_orientation``."""
    from nibabel.orientations import inv_ornt_aff

    return affine @ inv_ornt_aff(axes, shape[:3])


@dataclass(frozen=True)
class _Stored:
    """Where the voxels are in a file: ``size`` bytes of ``dtype`` from ``offset`` on."""

    file: Path
    offset: int
    size: int
    dtype: np.dtype

    @classmethod
    def of(cls, opened: SpatialImage, path: Path) -> _Stored:
        import numpy as np

        data: Any = opened.dataobj
        if isinstance(data, _mif().MifArray):
            return cls(data.file, data.offset, data.size_in_file, data.stored)
        # With two files, .hdr and .img, the voxels are in the second.
        file = Path(opened.file_map["image"].filename or path)
        size = int(np.prod(opened.shape, dtype=object)) * data.dtype.itemsize
        return cls(file, int(data.offset), size, data.dtype)

    @property
    def end(self) -> int:
        return self.offset + self.size


def _decompressed(opened: SpatialImage, path: Path, name: str, folder: Path) -> Path:
    """Decompress a file into the folder, which verifies its checksum."""
    stored = _Stored.of(opened, path)
    free = shutil.disk_usage(folder).free
    if stored.end > free:
        raise OptionError(
            f"{name} needs {format_bytes(stored.end)} in {folder}, but only {format_bytes(free)} is free.",
            hint=_TAKE_A_PART,
            code="disk-full",
        )
    # A name that MRtrix3 cannot take for a series.
    suffix = ".mgh" if path.suffix == ".mgz" else Path(path.stem).suffix
    plain = folder / f"image{suffix}"
    with _reading(name), _mif().opened(path) as source, plain.open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
    return plain


def _check_whole(opened: SpatialImage, path: Path) -> None:
    """Refuse a file that ends before its last voxel."""
    stored = _Stored.of(opened, path)
    length = stored.file.stat().st_size
    if length < stored.end:
        raise EOFError(f"it has {format_bytes(length)}, but its header implies {format_bytes(stored.end)}")


def _numbers(opened: SpatialImage, path: Path) -> Iterator[np.ndarray]:
    """Yield the numbers of a file as they are stored, chunk by chunk."""
    import numpy as np

    stored = _Stored.of(opened, path)
    with _mif().opened(stored.file) as stream:
        stream.seek(stored.offset)
        while chunk := stream.read(_CHUNK):
            yield np.frombuffer(chunk[: len(chunk) // stored.dtype.itemsize * stored.dtype.itemsize], stored.dtype)


def _written(opened: SpatialImage, name: str, path: Path) -> Path:
    """Write an image that is not in a file, or may differ from the file it was read from."""
    import nibabel

    _check_memory(opened, name)
    with _reading(name):
        values = _values(opened, opened)
    _check_finite([values], name)
    if values.ndim > _MOST_AXES:
        raise OptionError(
            f"{name} has {values.ndim} dimensions, but NIfTI allows only {_MOST_AXES}.", code="wrong-image"
        )
    kind = nibabel.Nifti1Image if max(values.shape) <= _LONGEST_AXIS else nibabel.Nifti2Image
    try:
        nibabel.save(kind(_storable(values), opened.affine), path)
    except OSError as error:
        message = f"{name} cannot be written to {path}: {error.strerror or error}."
        raise ProvisionError(message, code=failures.failure(error)["code"]) from error
    return path


def _storable(values: np.ndarray) -> np.ndarray:
    """Return the values in a type that NIfTI supports and MRtrix3 reads."""
    import numpy as np

    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "b":
        return values.astype(np.uint8)
    if kind in "iu" and size == _MOST_BYTES:
        limits = np.iinfo(np.int32)
        fits = limits.min <= values.min() and values.max() <= limits.max
        return values.astype(np.int32 if fits else np.float64)
    return values.astype(np.float32) if kind == "f" and size == 2 else values
