"""Sixel graphics, the pictures that a program writes for a terminal, decoded by libsixel through ctypes."""

# A picture is (width, height, indices, palette): for each pixel, from the top left, the number of its colour in a byte,
# and for each colour red, green and blue in three.

from __future__ import annotations

import ctypes
import re
from contextlib import contextmanager

SONAME = "libsixel.so.1"
# A device control string whose final letter is q, to its terminator: DEC STD 070, chapter 9.
PICTURE = re.compile(rb"\x1bP[0-9;]*q.*?\x1b\\", re.DOTALL)
COLOURS = 256

_FAILED = 0x1000  # the bit of a SIXELSTATUS that tells a failure, in sixel.h


class SixelError(Exception):
    """What libsixel does not understand."""


def load(path):
    """Return the libsixel of a file with its functions declared as in sixel.h; raise OSError."""
    loaded = ctypes.CDLL(path)
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
    return loaded


def decode(data, library):
    """Return the picture that is in the data, one whole match of `PICTURE`; its palette has all `COLOURS`."""
    by = ctypes.byref
    with _allocator(library) as (allocator, pixels, palette):
        width, height, colours = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        status = library.sixel_decode_raw(
            data, len(data), by(pixels), by(width), by(height), by(palette), by(colours), allocator
        )
        if status & _FAILED or not (pixels.value and palette.value):
            raise SixelError("libsixel does not understand this sixel picture")
        indices = ctypes.string_at(pixels, width.value * height.value)
        told = ctypes.string_at(palette, 3 * colours.value)
    # What the data leave unpainted has an index that no colour was told for, and is black.
    return width.value, height.value, indices, told.ljust(3 * COLOURS, b"\0")


@contextmanager
def _allocator(library):
    """Give an allocator of libsixel and two pointers, whose memory is given back to it at the end."""
    allocator, pixels, palette = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    if library.sixel_allocator_new(ctypes.byref(allocator), None, None, None, None) & _FAILED:
        raise MemoryError("libsixel found no memory.")
    try:
        yield allocator, pixels, palette
    finally:
        for pointer in filter(None, (pixels, palette)):
            library.sixel_allocator_free(allocator, pointer)
        library.sixel_allocator_unref(allocator)
