"""A terminal is asked whether it shows pictures, and believed."""

from __future__ import annotations

import os
import pty
import sys
import time

import pytest

from provision.engine import content

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
