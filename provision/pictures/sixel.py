"""Sixel graphics, the pictures that a program writes for a terminal, decoded and encoded by libsixel."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.machine import notes
from provision.machine import sixel as _binding

if TYPE_CHECKING:
    import numpy as np


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
    pictures = [_decoded(found.group(), functions) for found in _binding.PICTURE.finditer(data)]
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
    return _binding.PICTURE.sub(b"\n", data)


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
    image = Image.fromarray(pixels).quantize(_binding.COLOURS)
    palette = bytes((image.getpalette() or [])[: 3 * (max(image.tobytes()) + 1)])
    try:
        return _binding.encode(*image.size, image.tobytes(), palette, functions)
    except _binding.SixelError as error:
        raise ProvisionError(f"{error}.") from error


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
    return notes.read_state("mrpeek").get("report", {}).get("decoder")


@functools.cache
def _functions(library: str) -> ctypes.CDLL:
    """Return the libsixel of a file, of this system when that is empty."""
    names = [library] if library else [ctypes.util.find_library("sixel"), _binding.SONAME]
    for name in filter(None, names):
        with suppress(OSError):
            return _binding.load(name)
    what = f"libsixel cannot be loaded from {library}." if library else "libsixel is not installed."
    raise ProvisionError(what, hint='Install it: provision.run("mrpeek").')


def _decoded(data: bytes, functions: ctypes.CDLL) -> np.ndarray:
    """Return one picture, shape (H, W, 3)."""
    import numpy as np

    try:
        width, height, indices, palette = _binding.decode(data, functions)
    except _binding.SixelError as error:
        raise ProvisionError(f"{error}.", hint="Run it again.") from error
    table = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    return table[np.frombuffer(indices, np.uint8).reshape(height, width)]


def _stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures one under the other."""
    import numpy as np

    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0))) for each in pictures])
