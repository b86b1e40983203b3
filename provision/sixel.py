"""Sixel graphics, the pictures that a program writes for a terminal, decoded and encoded by libsixel."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision import content
from provision.errors import ProvisionError

if TYPE_CHECKING:
    import numpy as np

_SONAME = "libsixel.so.1"
# A device control string whose final letter is q, to its terminator: DEC STD 070, chapter 9.
_SIXEL = re.compile(rb"\x1bP[0-9;]*q.*?\x1b\\", re.DOTALL)
_COLOURS = 256
# From sixel.h: SIXEL_PIXELFORMAT_PAL8, and what an output calls with text, its size and private data.
_PALETTE_OF_8_BITS = 0x83
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_FAILED = 0x1000  # the bit of a SIXELSTATUS that tells a failure, in sixel.h


def decode(data: bytes, library: str | os.PathLike | None = None) -> np.ndarray:
    r"""Return what a terminal would draw.

    Parameters
    ----------
    data : bytes
        What a program wrote for a terminal; text around the pictures is passed over.
    library : path-like, optional
        The file of libsixel; without it, the one that this system knows.

    Returns
    -------
    numpy.ndarray
        Red, green and blue, uint8, shape (H, W, 3), the first row on top. Several pictures are put one under the
        other, from the left, on black.

    Raises
    ------
    provision.errors.ProvisionError
        When there is no libsixel, no picture in the data, or one that libsixel does not understand.

    Examples
    --------
    >>> decode(b"\x1bPq#1;2;100;0;0#1@@@\x1b\\")  # doctest: +SKIP
    array([[[255,   0,   0],
            [255,   0,   0],
            [255,   0,   0]]], dtype=uint8)
    """
    functions = _functions(str(library) if library else "")
    pictures = [_decoded(found.group(), functions) for found in _SIXEL.finditer(data)]
    if not pictures:
        raise ProvisionError("There is no whole sixel picture in these data.", hint="Run it again.")
    return _stacked(pictures)


def without_pictures(data: bytes) -> bytes:
    r"""Return what a program wrote for a terminal, with an end of line for each picture.

    Parameters
    ----------
    data : bytes
        As for :func:`decode`.

    Returns
    -------
    bytes
        The text, with the control codes that it holds.

    Examples
    --------
    >>> without_pictures(b"above\x1bPq#1;2;100;0;0#1@@@\x1b\\below")
    b'above\nbelow'
    """
    return _SIXEL.sub(b"\n", data)


def encode(pixels: np.ndarray, library: str | os.PathLike | None = None) -> bytes:
    r"""Return what makes a terminal draw a picture.

    Parameters
    ----------
    pixels : numpy.ndarray
        Red, green and blue, uint8, shape (H, W, 3), the first row on top.
    library : path-like, optional
        As for :func:`decode`.

    Returns
    -------
    bytes
        Sixel graphics in at most 256 colours, each to one per cent; further colours are dithered.

    Raises
    ------
    provision.errors.ProvisionError
        When there is no libsixel, or it failed.

    Examples
    --------
    >>> import numpy as np
    >>> encode(np.zeros((6, 6, 3), np.uint8))[-2:]  # doctest: +SKIP
    b'\x1b\\'
    """
    from PIL import Image

    functions = _functions(str(library) if library else "")
    # libsixel's own choice of colours rounds them, even where there are few enough to be kept.
    image = Image.fromarray(pixels).quantize(_COLOURS)
    palette = bytes(image.getpalette()[: 3 * (max(image.tobytes()) + 1)])
    written: list[bytes] = []
    write = _WRITE(lambda text, size, _: written.append(ctypes.string_at(text, size)) or size)
    with _encoder(functions, write, len(palette) // 3) as (output, dither):
        functions.sixel_dither_set_pixelformat(dither, _PALETTE_OF_8_BITS)
        functions.sixel_dither_set_palette(dither, palette)
        if functions.sixel_encode(image.tobytes(), *image.size, 0, dither, output) & _FAILED:
            raise ProvisionError(f"libsixel could not encode a picture of {image.width} x {image.height} pixels.")
    return b"".join(written)


def installed_library() -> str | None:
    """Return the file of the libsixel that was installed with mrpeek.

    Returns
    -------
    str or None
        None when the role has noted none, so that the system's is to be taken.

    Examples
    --------
    >>> installed_library()  # doctest: +SKIP
    '/usr/lib/x86_64-linux-gnu/libsixel.so.1'
    """
    return content.utility("provision_checks").read_state("mrpeek").get("report", {}).get("decoder")


@functools.cache
def _functions(library: str) -> ctypes.CDLL:
    """Return libsixel with its functions declared as in sixel.h."""
    loaded = _loaded(library)
    pointer, pointers = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
    number = ctypes.POINTER(ctypes.c_int)
    loaded.sixel_allocator_new.argtypes = [pointers, pointer, pointer, pointer, pointer]
    loaded.sixel_allocator_free.argtypes = [pointer, pointer]
    loaded.sixel_allocator_free.restype = None
    loaded.sixel_allocator_unref.argtypes = [pointer]
    loaded.sixel_allocator_unref.restype = None
    loaded.sixel_decode_raw.argtypes = [
        ctypes.c_char_p, ctypes.c_int, pointers, number, number, pointers, number, pointer,
    ]  # fmt: skip
    loaded.sixel_output_new.argtypes = [pointers, _WRITE, pointer, pointer]
    loaded.sixel_dither_new.argtypes = [pointers, ctypes.c_int, pointer]
    loaded.sixel_dither_set_pixelformat.argtypes = [pointer, ctypes.c_int]
    loaded.sixel_dither_set_palette.argtypes = [pointer, ctypes.c_char_p]
    loaded.sixel_encode.argtypes = [ctypes.c_char_p, *[ctypes.c_int] * 3, pointer, pointer]
    for unref in (loaded.sixel_output_unref, loaded.sixel_dither_unref):
        unref.argtypes = [pointer]
    return loaded


def _loaded(library: str) -> ctypes.CDLL:
    names = [library] if library else [ctypes.util.find_library("sixel"), _SONAME]
    for name in filter(None, names):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    what = f"libsixel cannot be loaded from {library}." if library else "libsixel is not installed."
    raise ProvisionError(what, hint='Install it: provision.run("mrpeek").')


def _decoded(data: bytes, functions: ctypes.CDLL) -> np.ndarray:
    """Return one picture, shape (H, W, 3)."""
    import numpy as np

    with _allocator(functions) as (allocator, pixels, palette):
        width, height, colours = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        status = functions.sixel_decode_raw(
            data, len(data), ctypes.byref(pixels), ctypes.byref(width), ctypes.byref(height),
            ctypes.byref(palette), ctypes.byref(colours), allocator,
        )  # fmt: skip
        if status & _FAILED or not (pixels.value and palette.value):
            raise ProvisionError("libsixel does not understand this sixel picture.", hint="Run it again.")
        indices = np.frombuffer(ctypes.string_at(pixels, width.value * height.value), np.uint8)
        # What the data leave unpainted has an index that no colour was told for, and is black.
        table = np.zeros((_COLOURS, 3), np.uint8)
        told = np.frombuffer(ctypes.string_at(palette, colours.value * 3), np.uint8)
        table[: colours.value] = told.reshape(-1, 3)
    return table[indices.reshape(height.value, width.value)]


@contextmanager
def _allocator(functions: ctypes.CDLL) -> Iterator[tuple[ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]]:
    """Give an allocator of libsixel and two pointers, whose memory is given back to it at the end."""
    allocator, pixels, palette = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    if functions.sixel_allocator_new(ctypes.byref(allocator), None, None, None, None) & _FAILED:
        raise MemoryError("libsixel found no memory.")
    try:
        yield allocator, pixels, palette
    finally:
        for pointer in filter(None, (pixels, palette)):
            functions.sixel_allocator_free(allocator, pointer)
        functions.sixel_allocator_unref(allocator)


@contextmanager
def _encoder(
    functions: ctypes.CDLL, write: Callable, colours: int
) -> Iterator[tuple[ctypes.c_void_p, ctypes.c_void_p]]:
    """Give an output of libsixel that calls a function, and a palette to be filled."""
    output, dither = ctypes.c_void_p(), ctypes.c_void_p()
    try:
        failed = functions.sixel_output_new(ctypes.byref(output), write, None, None) & _FAILED
        if failed or functions.sixel_dither_new(ctypes.byref(dither), colours, None) & _FAILED:
            raise MemoryError("libsixel found no memory.")
        yield output, dither
    finally:
        if dither:
            functions.sixel_dither_unref(dither)
        if output:
            functions.sixel_output_unref(output)


def _stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures one under the other."""
    import numpy as np

    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0))) for each in pictures])
