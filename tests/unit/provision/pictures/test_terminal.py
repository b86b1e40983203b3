"""Pictures straight to a terminal: it is asked, and believed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest

from provision.engine import content
from provision.errors import ProvisionError
from provision.pictures import terminal

ROOT = str(content.root())
ASK = "from provision.pictures import terminal; print('shows', terminal.shows_sixel())"
# xterm -ti vt340, xterm as it comes, and one whose numbers only look like the one that counts.
ANSWERS = {b"\x1b[?63;1;2;4;6c": True, b"\x1b[?64;1;2;6;9c": False, b"\x1b[?14;44c": False, b"": False}


def asked(answer: bytes) -> tuple[bytes, bytes]:
    """Run the question in a terminal that answers so; return what it was asked, and what it then showed."""
    pid, ours = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", ASK])
    said, question, end = b"", b"", time.monotonic() + 20
    while time.monotonic() < end:
        try:
            said += os.read(ours, 1024)
        except OSError:  # it has ended
            break
        if b"\x1b[c" in said and not question:
            question = said
            os.write(ours, answer)
    os.close(ours)
    os.waitpid(pid, 0)
    return question, said


@pytest.mark.parametrize(("answer", "able"), ANSWERS.items(), ids=["vt340", "vt420", "other numbers", "silent"])
def test_a_terminal_is_asked_and_believed(answer, able):
    question, said = asked(answer)
    assert question == b"\x1b[c"
    assert said.replace(question, b"").strip() == f"shows {able}".encode()  # the answer itself is not shown


def test_where_there_is_no_terminal_nothing_is_shown():
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, start_new_session=True, capture_output=True, text=True, check=True
    )
    assert done.stdout == "shows False\n"


def test_output_that_is_no_terminal_is_told_with_the_command_that_writes_a_file():
    with pytest.raises(ProvisionError, match="Standard output is no terminal") as caught:
        terminal.check("provision peek a.nii -o picture.png")
    assert "provision peek a.nii -o picture.png" in caught.value.hint


def test_a_terminal_without_sixel_is_told_with_those_that_have_it(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(terminal, "shows_sixel", lambda: False)
    with pytest.raises(ProvisionError, match="no sixel graphics") as caught:
        terminal.check("provision peek a.nii -o picture.png")
    assert "-o picture.png" in caught.value.hint and "WezTerm" in caught.value.hint
