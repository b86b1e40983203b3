"""Pictures in a terminal, as sixel graphics."""

from __future__ import annotations

import io
import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.pictures import sixel

if TYPE_CHECKING:
    from provision.pictures.picture import Picture

# Primary device attributes: the terminal answers with a list of numbers, 4 among them for sixel graphics (DEC STD 070,
# and "ctlseqs" of xterm).
_QUESTION = b"\x1b[c"
_ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")
_SIXEL = b"4"
_SECONDS = 1.0  # for the answer; over a slow connection it takes a few tenths
_ABLE = "xterm -ti vt340, foot, mlterm, WezTerm, iTerm2, Windows Terminal from 1.22"


def check(instead: str) -> None:
    """Refuse a standard output that cannot show pictures; `instead` is the command to use."""
    if not sys.stdout.isatty():
        raise ProvisionError("Standard output is not a terminal.", hint=f"Write a file: {instead}.", code="no-terminal")
    if not shows_sixel():
        hint = f"Write a file: {instead}. Terminals with sixel graphics: {_ABLE}."
        message = "This terminal cannot show pictures: it does not support sixel graphics."
        raise ProvisionError(message, hint=hint, code="no-sixel")


def shows_sixel() -> bool:
    """Ask the terminal of this process whether it supports sixel graphics; silence means no."""
    # textual-image asks standard input, which may be a pipe, waits a tenth of a second, and takes a letter typed ahead.
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        with _raw(terminal):
            os.write(terminal, _QUESTION)
            answer = _read_answer(terminal)
    except (OSError, termios.error):
        return False
    finally:
        os.close(terminal)
    return answer is not None and _SIXEL in answer.group(1).split(b";")


def _read_answer(terminal: int) -> re.Match[bytes] | None:
    said, end = b"", time.monotonic() + _SECONDS
    while (left := end - time.monotonic()) > 0 and select.select([terminal], [], [], left)[0]:
        said += os.read(terminal, 1024)
        if found := _ANSWER.search(said):
            return found
    return None


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Keep the terminal from echoing or buffering the answer while the block runs."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def encoded(picture: Picture) -> bytes:
    """Return a picture as sixel graphics, followed by a newline."""
    from PIL import Image

    with Image.open(io.BytesIO(picture.png)) as image:
        return sixel.encode(image) + b"\n"
