"""Sixel graphics, pictures for terminals (DEC STD 070, chapter 9)."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_COLOURS = 256  # as many as a terminal has for a picture
_BAND = 6  # rows written at once, one bit of each byte per row
_RUN = re.compile(rb"(.)\1{3,}")


def encode(png: bytes) -> bytes:
    """Return a picture as sixel graphics, in at most 256 colours, each accurate to one per cent."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB").quantize(_COLOURS)
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
