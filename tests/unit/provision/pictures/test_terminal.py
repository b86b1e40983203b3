"""Pictures straight to a terminal: whole, in its own graphics, no larger than it."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("numpy")

import numpy as np
from PIL import Image

from provision.engine import content
from provision.errors import ProvisionError
from provision.pictures import terminal
from provision.pictures.picture import Picture
from provision.pictures.terminal import Terminal

ROOT = str(content.root())
ASK = "from provision.pictures import terminal; print(repr(terminal.asked().graphics))"


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 200, 3), dtype=np.uint8)
    return Picture.of(pixels, "noise")


def shown(monkeypatch, picture, **about) -> bytes:
    monkeypatch.setattr(terminal, "asked", lambda: Terminal(**about))
    return terminal.encoded(picture)


def kitty(data: bytes) -> bytes:
    """The file in kitty's graphics, by https://sw.kovidgoyal.net/kitty/graphics-protocol."""
    parts = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", data)
    keys = [dict(pair.split(b"=") for pair in head.split(b",")) for head, _ in parts]
    assert keys[0][b"a"] == b"T" and keys[0][b"f"] == b"100" and keys[0][b"q"] == b"2"
    assert [key[b"m"] for key in keys] == [b"1"] * (len(keys) - 1) + [b"0"]
    assert all(len(part) <= 4096 and len(part) % 4 == 0 for _, part in parts)
    assert data == b"".join(b"\x1b_G%b;%b\x1b\\" % part for part in parts) + b"\n"
    return base64.b64decode(b"".join(part for _, part in parts))


def iterm(data: bytes) -> tuple[int, bytes]:
    """The number of columns and the file, by https://iterm2.com/documentation-images.html."""
    width, size, text = re.fullmatch(rb"\x1b\]1337;File=inline=1;width=(\d+);size=(\d+):(\S+)\a\n", data).groups()
    png = base64.b64decode(text)
    assert len(png) == int(size)
    return int(width), png


def test_kitty_gets_the_notebooks_picture_itself_in_parts(monkeypatch, picture):
    data = shown(monkeypatch, picture, graphics="kitty")
    assert data.count(b"\x1b_G") > 1 and kitty(data) == picture.png


def test_iterm_gets_the_notebooks_picture_itself_with_its_width(monkeypatch, picture):
    assert iterm(shown(monkeypatch, picture, graphics="iterm", cell=(7, 14))) == (29, picture.png)


def test_sixel_has_the_size_of_the_picture(monkeypatch, picture):
    data = shown(monkeypatch, picture, graphics="sixel")
    assert data.startswith(b'\x1bPq"1;1;200;60') and data.endswith(b"\x1b\\\n")


@pytest.mark.parametrize(
    ("columns", "lines", "size"), [(10, 24, (100, 30)), (80, 4, (66, 20)), (20, 6, (200, 60)), (80, 1, (66, 20))]
)
def test_what_is_larger_than_the_terminal_is_made_smaller(monkeypatch, picture, columns, lines, size):
    data = kitty(shown(monkeypatch, picture, graphics="kitty", columns=columns, lines=lines, cell=(10, 20)))
    found = Image.open(io.BytesIO(data)).size
    assert max(abs(found[0] - size[0]), abs(found[1] - size[1])) <= 1


def test_without_graphics_it_is_characters_in_the_encoding_of_the_output(monkeypatch, picture):
    assert "▀".encode() in shown(monkeypatch, picture, columns=60)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert "▀".encode() not in shown(monkeypatch, picture, columns=60)


@pytest.mark.parametrize(
    ("said", "graphics"),
    [
        (b"\x1b_Gi=1;OK\x1b\\\x1b[?62;4c", "kitty"),
        (b"\x1b_Gi=1;ENOTSUPPORTED\x1b\\\x1b[?62c", ""),
        (b"\x1bP>|iTerm2 3.5.0\x1b\\\x1b[?62;4c", "iterm"),
        (b"\x1bP>|XTerm(390)\x1b\\\x1b[?63;1;2;4;6c", "sixel"),
        (b"\x1b[?64;1;2;6;9c", ""),
        (b"\x1b[?14;44c", ""),
        (b"", ""),
    ],
)
def test_the_best_graphics_that_a_terminal_tells_of_are_used(monkeypatch, said, graphics):
    monkeypatch.delenv("TMUX", raising=False)
    assert terminal._graphics(said) == graphics


@pytest.mark.parametrize(("features", "graphics"), [("256,RGB,sixel,title", "sixel"), ("256,RGB,title", "")])
def test_in_tmux_the_terminal_around_it_counts(monkeypatch, tmp_path, features, graphics):
    (tmp_path / "tmux").write_text(f"#!/bin/sh\necho {features}\n")
    (tmp_path / "tmux").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    assert terminal._graphics(b"\x1bP>|tmux 3.5a\x1b\\\x1b[?1;2;4c") == graphics


def test_a_tmux_that_does_not_answer_passes_nothing(monkeypatch, tmp_path):
    (tmp_path / "tmux").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "tmux").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setattr(terminal, "_SECONDS", 0.1)
    assert terminal._graphics(b"\x1b[?1;2;4c") == ""


def test_where_there_is_no_terminal_there_are_no_graphics():
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, start_new_session=True, capture_output=True, text=True, check=True
    )
    assert done.stdout == "''\n"


def test_output_that_is_no_terminal_is_told_with_the_command_that_writes_a_file():
    with pytest.raises(ProvisionError) as caught:
        terminal.check("provision peek a.nii -o picture.png")
    assert caught.value.code == "no-terminal" and "provision peek a.nii -o picture.png" in caught.value.hint


@pytest.mark.parametrize(("name", "able"), [("dumb", False), ("xterm", True), ("linux", True)])
def test_a_terminal_without_colours_is_told_the_same(monkeypatch, name, able):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", name)
    if able:
        terminal.check("-")
        return
    with pytest.raises(ProvisionError) as caught:
        terminal.check("provision peek a.nii -o picture.png")
    assert caught.value.code == "no-terminal" and "provision peek a.nii -o picture.png" in caught.value.hint
