"""Sixel graphics, the pictures that a program writes for a terminal: libsixel, by the standard library alone.

A picture is ``(width, height, indices, palette)`` here: a byte for each pixel, the first row on top, which says the
colour, and three bytes for each colour, red, green and blue.
"""

from __future__ import annotations

import ctypes
import re
from contextlib import contextmanager

SONAME = "libsixel.so.1"
# A device control string whose final letter is q, to its terminator: DEC STD 070, chapter 9.
PICTURE = re.compile(rb"\x1bP[0-9;]*q.*?\x1b\\", re.DOTALL)
COLOURS = 256

# From sixel.h: SIXEL_PIXELFORMAT_PAL8, and what an output calls with text, its size and private data.
_PALETTE_OF_8_BITS = 0x83
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_FAILED = 0x1000  # the bit of a SIXELSTATUS that tells a failure, in sixel.h


class SixelError(Exception):
    """What libsixel does not understand, or cannot do."""


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
    loaded.sixel_output_new.argtypes = [pointers, _WRITE, pointer, pointer]
    loaded.sixel_dither_new.argtypes = [pointers, ctypes.c_int, pointer]
    loaded.sixel_dither_set_pixelformat.argtypes = [pointer, ctypes.c_int]
    loaded.sixel_dither_set_palette.argtypes = [pointer, ctypes.c_char_p]
    loaded.sixel_encode.argtypes = [ctypes.c_char_p, *[ctypes.c_int] * 3, pointer, pointer]
    for unref in (loaded.sixel_output_unref, loaded.sixel_dither_unref):
        unref.argtypes = [pointer]
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


def encode(width, height, indices, palette, library):
    """Return what makes a terminal draw a picture."""
    written = []
    write = _WRITE(lambda text, size, _: written.append(ctypes.string_at(text, size)) or size)
    with _encoder(library, write, len(palette) // 3) as (output, dither):
        library.sixel_dither_set_pixelformat(dither, _PALETTE_OF_8_BITS)
        library.sixel_dither_set_palette(dither, palette)
        if library.sixel_encode(indices, width, height, 0, dither, output) & _FAILED:
            raise SixelError(f"libsixel could not encode a picture of {width} x {height} pixels")
    return b"".join(written)


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


@contextmanager
def _encoder(library, write, colours):
    """Give an output of libsixel that calls a function, and a palette to be filled."""
    output, dither = ctypes.c_void_p(), ctypes.c_void_p()
    try:
        failed = library.sixel_output_new(ctypes.byref(output), write, None, None) & _FAILED
        if failed or library.sixel_dither_new(ctypes.byref(dither), colours, None) & _FAILED:
            raise MemoryError("libsixel found no memory.")
        yield output, dither
    finally:
        if dither:
            library.sixel_dither_unref(dither)
        if output:
            library.sixel_output_unref(output)
