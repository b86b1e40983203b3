"""Pictures in a terminal: in kitty's, iTerm's or sixel graphics if it has them, else as characters with colours."""

# No library of PyPI serves (November 2026). textual-image asks standard input while it is imported, so a pipe there is
# an error, knows nothing of iTerm's graphics, and is maintained for Python 3.12 and newer alone. term-image had its
# last release in June 2024 and excludes Pillow 11. chafa.py (September 2024) goes by environment variables, which ssh
# drops and tmux contradicts, and needs the system's GLib.

from __future__ import annotations

import base64
import fcntl
import io
import os
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.pictures import blocks, sixel

if TYPE_CHECKING:
    from provision.pictures.picture import Picture

# Whether it has kitty's graphics, its name, and the size of a character. Then its attributes, which every terminal
# answers, so that nothing else is waited for; 4 among them means sixel. The last erases what some print of the first.
# https://sw.kovidgoyal.net/kitty/graphics-protocol, and "ctlseqs" of xterm.
_QUESTIONS = b"\x1b_Gi=1,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>q\x1b[16t\x1b[c\r\x1b[K"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([0-9;]*)c")
_KITTY = b"\x1b_Gi=1;OK\x1b\\"
_ITERM = b"\x1bP>|iTerm2"
_CELL = re.compile(rb"\x1b\[6;(\d+);(\d+)t")
_SECONDS = 1.0  # for the answer; over a slow connection it takes a few tenths
_KITTY_CHUNK = 4096
_LINES_BELOW = 3  # the description of the picture and the prompt
_VT340 = (10, 20)  # the character of the terminal that sixel graphics come from


@dataclass(frozen=True)
class Terminal:
    """What a terminal shows: its graphics, if any, its size in characters, and the pixels of a character."""

    graphics: str = ""
    columns: int = 80
    lines: int = 24
    cell: tuple[int, int] = _VT340


def check(instead: str) -> None:
    """Refuse a standard output that cannot show pictures; `instead` is the command to use."""
    hint = f"Write a file: {instead}."
    if not sys.stdout.isatty():
        raise ProvisionError("Standard output is not a terminal.", hint=hint, code="no-terminal")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise ProvisionError("This terminal cannot show colours.", hint=hint, code="no-terminal")


def encoded(picture: Picture) -> bytes:
    """Return what shows a picture in the terminal of this process, no wider or taller than that."""
    terminal = asked()
    lines = max(terminal.lines - _LINES_BELOW, 1)
    if not terminal.graphics:
        text = blocks.drawn(picture, terminal.columns, lines)
        return text.encode(sys.stdout.encoding or "utf-8", "replace")
    png, size = _fitted(picture, (terminal.columns * terminal.cell[0], lines * terminal.cell[1]))
    if terminal.graphics == "sixel":
        return sixel.encode(png) + b"\n"
    data = base64.b64encode(png)
    if terminal.graphics == "iterm":
        width = -(-size[0] // terminal.cell[0])
        return b"\x1b]1337;File=inline=1;width=%d;size=%d:%b\a\n" % (width, len(png), data)
    chunks = [data[at : at + _KITTY_CHUNK] for at in range(0, len(data), _KITTY_CHUNK)]
    first, last = b"a=T,f=100,q=2,", len(chunks) - 1
    parts = (b"%bm=%d;%b" % (b"" if at else first, at < last, chunk) for at, chunk in enumerate(chunks))
    return b"".join(b"\x1b_G%b\x1b\\" % part for part in parts) + b"\n"


def _fitted(picture: Picture, room: tuple[int, int]) -> tuple[bytes, tuple[int, int]]:
    """Return a picture as PNG, made smaller if it is larger than the room, and its size."""
    from PIL import Image

    if picture.width <= room[0] and picture.height <= room[1]:
        return picture.png, (picture.width, picture.height)
    with Image.open(io.BytesIO(picture.png)) as image:
        small = image.convert("RGBA")
    small.thumbnail(room, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, format="PNG")
    return stream.getvalue(), small.size


def asked() -> Terminal:
    """Ask the terminal of this process what it can show; silence means no graphics."""
    columns, lines = shutil.get_terminal_size()
    try:
        # Standard input may be a pipe.
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return Terminal("", columns, lines)
    try:
        # A job in the background would be stopped by asking; GNU screen prints what it should answer.
        if os.tcgetpgrp(terminal) != os.getpgrp() or "STY" in os.environ or os.environ.get("TERM") == "linux":
            return Terminal("", columns, lines)
        said = _answer(terminal)
        return Terminal(_graphics(said), columns, lines, _cell(said, terminal))
    except (OSError, termios.error):
        return Terminal("", columns, lines)
    finally:
        os.close(terminal)


def _graphics(said: bytes) -> str:
    """Return the best graphics of a terminal that gave this answer."""
    if _KITTY in said:
        return "kitty"
    if _ITERM in said:
        return "iterm"
    attributes = _ATTRIBUTES.search(said)
    has_sixel = attributes is not None and b"4" in attributes.group(1).split(b";")
    return "sixel" if has_sixel and _tmux_passes_sixel() else ""


def _tmux_passes_sixel() -> bool:
    """Return whether the terminal around tmux has sixel graphics, where there is one: tmux says yes for any."""
    if "TMUX" not in os.environ:
        return True
    command = ["tmux", "display-message", "-p", "#{client_termfeatures}"]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"sixel" in done.stdout.strip().split(b",")


def _cell(said: bytes, terminal: int) -> tuple[int, int]:
    """Return the width and height of a character in pixels."""
    if found := _CELL.search(said):
        return int(found.group(2)) or _VT340[0], int(found.group(1)) or _VT340[1]
    lines, columns, width, height = struct.unpack("4H", fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))
    return (width // columns, height // lines) if width and height and lines and columns else _VT340


def _answer(terminal: int) -> bytes:
    """Ask, and return all that is said until the attributes came or the time is over."""
    said, end = b"", time.monotonic() + _SECONDS
    with _raw(terminal):
        os.write(terminal, _QUESTIONS)
        while (left := end - time.monotonic()) > 0 and select.select([terminal], [], [], left)[0]:
            said += os.read(terminal, 1024)
            if _ATTRIBUTES.search(said):
                break
    return said


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Keep the terminal from echoing or buffering the answer while the block runs."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
