"""Sixel graphics, pictures that programs write to a terminal, decoded by libsixel through ctypes."""

# A picture is (width, height, indices, palette): one byte per pixel from the top left with the number of its colour,
# and three bytes per colour for red, green and blue.

from __future__ import annotations

import ctypes
import re
from contextlib import contextmanager

SONAME = "libsixel.so.1"
# A device control string with the final letter q, up to its terminator: DEC STD 070, chapter 9.
PICTURE = re.compile(rb"\x1bP[0-9;]*q.*?\x1b\\", re.DOTALL)
COLOURS = 256

_FAILED = 0x1000  # the failure bit of a SIXELSTATUS, in sixel.h


class SixelError(Exception):
    """A picture that libsixel cannot decode."""


def load(path):
    """Load libsixel from a file, with its functions declared as in sixel.h; raise OSError."""
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
    """Return the picture in the data, one full match of `PICTURE`; its palette has all `COLOURS`."""
    by = ctypes.byref
    with _allocator(library) as (allocator, pixels, palette):
        width, height, colours = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        status = library.sixel_decode_raw(
            data, len(data), by(pixels), by(width), by(height), by(palette), by(colours), allocator
        )
        if status & _FAILED or not (pixels.value and palette.value):
            raise SixelError("libsixel cannot decode this picture")
        indices = ctypes.string_at(pixels, width.value * height.value)
        told = ctypes.string_at(palette, 3 * colours.value)
    # Unpainted pixels have an index without a colour, and are black.
    return width.value, height.value, indices, told.ljust(3 * COLOURS, b"\0")


@contextmanager
def _allocator(library):
    """Yield an allocator of libsixel and two pointers, whose memory is freed at the end."""
    allocator, pixels, palette = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    if library.sixel_allocator_new(ctypes.byref(allocator), None, None, None, None) & _FAILED:
        raise MemoryError("libsixel could not allocate memory.")
    try:
        yield allocator, pixels, palette
    finally:
        for pointer in filter(None, (pixels, palette)):
            library.sixel_allocator_free(allocator, pointer)
        library.sixel_allocator_unref(allocator)
