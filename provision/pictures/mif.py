"""MRtrix3's own image formats, ``.mif``, ``.mif.gz`` and ``.mih``, read in the way of nibabel.

The format is described in MRtrix3's documentation, "Images and other data", section "MRtrix image formats".
"""

from __future__ import annotations

import gzip
import math
import re
import sys
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

EXTENSIONS = (".mif", ".mif.gz", ".mih")
"""The file extensions."""

_FIRST_LINE = b"mrtrix image"
_LONGEST_HEADER = 1 << 24
_MOST_AXES = 32  # those of an array of numpy
_DATATYPE = re.compile(r"(bit|int8|uint8|(c?float|u?int)(16|32|64)(le|be)?)", re.IGNORECASE)
_KINDS = {"int": "i", "uint": "u", "float": "f", "cfloat": "c"}


@dataclass(frozen=True)
class MifArray:
    """The voxels of a file, read on access: an array proxy, in nibabel's terms.

    Attributes
    ----------
    shape : tuple of int
        The number of voxels along each axis, in the order of the header.
    stored : numpy.dtype
        The type of the numbers in the file; bool if eight of them share a byte.
    order : tuple of int
        The axes from the fastest to the slowest in the file.
    reversed : tuple of int
        The axes that are stored in reverse.
    slope, inter : float
        A value is ``slope * stored + inter``.
    file : pathlib.Path
        The file with the numbers.
    offset : int
        Where the numbers begin in it, in bytes.
    """

    shape: tuple[int, ...]
    stored: np.dtype
    order: tuple[int, ...]
    reversed: tuple[int, ...]
    slope: float
    inter: float
    file: Path
    offset: int

    is_proxy = True

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def is_bits(self) -> bool:
        """Whether eight voxels share a byte."""
        return self.stored.kind == "b"

    @property
    def dtype(self) -> np.dtype:
        """The type of the values once they are read."""
        stored = np.dtype(np.uint8) if self.is_bits else self.stored
        return stored if (self.slope, self.inter) == (1, 0) else np.result_type(stored, np.float32)

    @property
    def size_in_file(self) -> int:
        """The size of the numbers in bytes."""
        count = int(np.prod(self.shape, dtype=object))
        return (count + 7) // 8 if self.is_bits else count * self.stored.itemsize

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        values = self[...]
        values = values if dtype is None else values.astype(dtype, copy=False)
        return values.copy() if copy else values

    def __getitem__(self, index) -> np.ndarray:
        values = self._arranged(self._bits() if self.is_bits else self._numbers())[index]
        return values if (self.slope, self.inter) == (1, 0) else self._rescaled(values)

    def _rescaled(self, values: np.ndarray) -> np.ndarray:
        kind = self.dtype.type
        return values.astype(self.dtype) * kind(self.slope) + kind(self.inter)

    def _numbers(self) -> np.ndarray:
        if not is_compressed(self.file):
            return np.memmap(self.file, self.stored, mode="c", offset=self.offset, shape=(self._count(),))
        return np.frombuffer(self._bytes(), self.stored)

    def _bits(self) -> np.ndarray:
        return np.unpackbits(np.frombuffer(self._bytes(), np.uint8), count=self._count())

    def _count(self) -> int:
        return int(np.prod(self.shape))

    def _bytes(self) -> bytearray:
        with opened(self.file) as stream:
            stream.seek(self.offset)
            data = bytearray(self.size_in_file)
            if _fill(stream, data) < len(data):
                raise EOFError("the file ends before its last voxel")
            # The checksum of a compressed file is compared only at the end.
            while is_compressed(self.file) and stream.read(1 << 20):
                pass
        return data

    def _arranged(self, numbers: np.ndarray) -> np.ndarray:
        """Arrange numbers in file order along the axes of the header."""
        # The last axis of a C-ordered array is the fastest.
        slowest_first = self.order[::-1]
        array = numbers.reshape([self.shape[axis] for axis in slowest_first]).transpose(np.argsort(slowest_first))
        return np.flip(array, self.reversed)


def load(path: Path) -> SpatialImage:
    """Read the header of an image; its voxels are read on access.

    Parameters
    ----------
    path : pathlib.Path
        A file whose name ends in one of `EXTENSIONS`.

    Returns
    -------
    nibabel.spatialimages.SpatialImage
        An image with the axes of the header, an affine from voxels to scanner coordinates in mm, and a `MifArray` as
        ``dataobj``.

    Raises
    ------
    ValueError
        If it is not such an image; the message says why.
    OSError, EOFError, zlib.error
        When it cannot be read.

    Examples
    --------
    >>> load(Path("dwi.mif")).shape  # doctest: +SKIP
    (96, 96, 60, 193)
    """
    from nibabel.spatialimages import SpatialImage

    fields = _fields(path)
    shape = tuple(int(size) for size in fields["dim"][0].split(","))
    if math.prod(shape) > sys.maxsize or len(shape) > _MOST_AXES:
        raise ValueError("its 'dim' is too large for any image")
    affine = _affine(fields, shape)
    order, backwards = _layout(fields["layout"][0], len(shape))
    inter, slope = (float(number) for number in fields.get("scaling", ["0,1"])[0].split(","))
    file, offset = _place(fields["file"][0], path)
    stored = _datatype(fields["datatype"][0])
    array = MifArray(shape, stored, order, backwards, slope, inter, file, offset)
    return SpatialImage(array, affine)  # type: ignore[arg-type] # nibabel's own arrays have no shape to be set either


def opened(path: Path) -> BufferedIOBase:
    """Open a file for reading, decompressing it if its name says that it is compressed.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    file object
        A binary stream.
    """
    return gzip.open(path) if is_compressed(path) else path.open("rb")


def is_compressed(path: Path) -> bool:
    """Return whether a file is gzip-compressed, according to its name.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_compressed(Path("dwi.nii.gz")), is_compressed(Path("dwi.mif"))
    (True, False)
    """
    return path.suffix in (".gz", ".mgz")


def _fill(stream: BufferedIOBase, data: bytearray) -> int:
    """Fill the buffer as far as the file reaches, and return how many bytes were read."""
    view, done = memoryview(data), 0
    while count := stream.readinto(view[done:]):
        done += count
    return done


def _fields(path: Path) -> dict[str, list[str]]:
    """Return the lines of the header by their lower-case keys."""
    with opened(path) as stream:
        if stream.readline(80).rstrip() != _FIRST_LINE:
            raise ValueError(f"its first line is not {_FIRST_LINE.decode()!r}")
        fields: dict[str, list[str]] = {}
        left = _LONGEST_HEADER
        while (line := stream.readline(left + 1)) and line.strip() != b"END":
            left -= len(line)
            if left < 0:
                raise ValueError("its header does not end")
            key, _, value = line.decode(errors="replace").partition("#")[0].partition(":")
            fields.setdefault(key.strip().lower(), []).append(value.strip())
    for name in ("dim", "vox", "layout", "datatype", "file"):
        if name not in fields:
            raise ValueError(f"its header has no {name!r}")
    return fields


def _datatype(name: str) -> np.dtype:
    if not (found := _DATATYPE.fullmatch(name)):
        raise ValueError(f"its data type {name!r} is unknown")
    if name.lower() == "bit":
        return np.dtype(bool)
    _, kind, bits, end = found.groups()
    if not kind:
        return np.dtype(name.lower())
    kind, size = kind.lower(), int(bits) // 8
    size *= 2 if kind == "cfloat" else 1
    return np.dtype(f"{'>' if (end or '').lower() == 'be' else '<'}{_KINDS[kind]}{size}")


def _affine(fields: dict[str, list[str]], shape: tuple[int, ...]) -> np.ndarray:
    """Return the affine in mm; without a transform, the centre of the image is the scanner's origin, as in MRtrix3."""
    spacing = np.ones(3)
    written = [float(number) for number in fields["vox"][0].split(",")][:3]
    spacing[: len(written)] = written
    affine = np.diag([*spacing, 1.0])
    if rows := fields.get("transform"):
        transform = np.array([[float(number) for number in row.split(",")] for row in rows[:3]])
        affine[:3] = transform @ affine
        return affine
    sizes = np.ones(3)
    sizes[: len(shape[:3])] = shape[:3]
    affine[:3, 3] = -spacing * (sizes - 1) / 2
    return affine


def _layout(text: str, axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes from the fastest to the slowest, and those that are stored in reverse."""
    words = [word.strip() for word in text.split(",")]
    ranks = [int(word.lstrip("+-")) for word in words]
    if sorted(ranks) != list(range(axes)):
        raise ValueError(f"its layout {text!r} is invalid")
    backwards = tuple(axis for axis, word in enumerate(words) if word.startswith("-"))
    return tuple(sorted(range(axes), key=ranks.__getitem__)), backwards


def _place(text: str, path: Path) -> tuple[Path, int]:
    """Return the file with the voxels, and where they begin in it."""
    name, _, offset = text.rpartition(" ") if re.search(r"\s\d+$", text) else (text, "", "0")
    name = name.strip()
    place = path if name == "." else path.parent / name
    # Opening a pipe would wait for a writer.
    if place.exists() and not place.is_file():
        raise ValueError(f"its voxels are in {name}, which is not a file")
    return place, int(offset)
