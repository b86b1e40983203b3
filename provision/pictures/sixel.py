"""Sixel graphics, pictures for terminals: decoded by libsixel, encoded here."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.machine import sixel as _binding

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_COLOURS = 256  # as many as a terminal has for a picture
_BAND = 6  # rows written at once, one bit of each byte per row
_RUN = re.compile(rb"(.)\1{3,}")


def decode(data: bytes, library: str | os.PathLike | None = None) -> np.ndarray:
    """Return what a terminal would draw, as red, green and blue, uint8 (H, W, 3), with the pictures stacked.

    `library` is the file of a libsixel (default: the system's).
    """
    functions = _functions(str(library) if library else "")
    pictures = [_decoded(found.group(), functions) for found in _binding.PICTURE.finditer(data)]
    if not pictures:
        raise ProvisionError(
            "The output does not contain a complete sixel picture.", hint="Run it again.", code="mrpeek-failed"
        )
    return _stacked(pictures)


def without_pictures(data: bytes) -> bytes:
    """Return a program's output with each picture replaced by a newline."""
    return _binding.PICTURE.sub(b"\n", data)


def encode(image: Image) -> bytes:
    """Return an image as sixel graphics, in at most 256 colours, each accurate to one per cent."""
    # textual-image has this under a private name alone: its public renderer scales an image to whole cells, and asks
    # the terminal what it can do as soon as it is imported.
    import numpy as np

    image = image.convert("RGB").quantize(_COLOURS)
    indices, palette = np.asarray(image), np.reshape(image.getpalette() or [], (-1, 3))
    colours = [b"#%d;2;%d;%d;%d" % (index, *np.rint(palette[index] / 2.55).astype(int)) for index in np.unique(indices)]
    bands = [_band(indices[top : top + _BAND]) for top in range(0, len(indices), _BAND)]
    return b'\x1bPq"1;1;%d;%d' % image.size + b"".join(colours) + b"-".join(bands) + b"\x1b\\"


def _band(rows: np.ndarray) -> bytes:
    """Return up to six rows of a picture, colour by colour."""
    import numpy as np

    sixels = np.full((_COLOURS, rows.shape[1]), ord("?"), np.uint8)
    for bit, row in enumerate(rows):
        sixels[row, np.arange(len(row))] += 1 << bit
    lines = ((index, sixels[index].tobytes()) for index in np.unique(rows))
    return b"$".join(
        b"#%d" % index + _RUN.sub(lambda run: b"!%d%b" % (len(run[0]), run[1]), line) for index, line in lines
    )


@functools.cache
def _functions(library: str) -> ctypes.CDLL:
    """Return the libsixel in a file, or the system's if the name is empty."""
    names = [library] if library else [ctypes.util.find_library("sixel"), _binding.SONAME]
    for name in filter(None, names):
        with suppress(OSError):
            return _binding.load(name)
    what = f"libsixel cannot be loaded from {library}." if library else "libsixel is not installed."
    raise ProvisionError(what, hint='Install it: provision.run("mrpeek").', code="no-library")


def _decoded(data: bytes, functions: ctypes.CDLL) -> np.ndarray:
    """Return one picture, shape (H, W, 3)."""
    import numpy as np

    try:
        width, height, indices, palette = _binding.decode(data, functions)
    except _binding.SixelError as error:
        raise ProvisionError(f"{error}.", hint="Run it again.", code="mrpeek-failed") from error
    table = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    return table[np.frombuffer(indices, np.uint8).reshape(height, width)]


def _stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Stack pictures vertically."""
    import numpy as np

    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0))) for each in pictures])
