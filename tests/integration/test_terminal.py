"""A terminal is asked which pictures it shows, and believed."""

from __future__ import annotations

import ast
import fcntl
import os
import pty
import struct
import sys
import termios
import time

import pytest

from provision.engine import content

ROOT = str(content.root())
ASK = """
import sys
from provision.pictures import terminal
terminal._SECONDS = float(sys.argv[1])
found = terminal.asked()
print((found.graphics, found.columns, found.lines, found.cell))
"""
SIZE = struct.pack("4H", 30, 60, 480, 510)  # lines, columns, and pixels across and down
# Of kitty, iTerm, xterm -ti vt340, xterm as it comes, and one whose numbers only look like the one that counts.
ANSWERS = {
    b"\x1b_Gi=1;OK\x1b\\\x1bP>|kitty(0.38.0)\x1b\\\x1b[6;18;9t\x1b[?62;52c": ("kitty", 60, 30, (9, 18)),
    b"\x1bP>|iTerm2 3.5.2\x1b\\\x1b[6;18;9t\x1b[?62;4c": ("iterm", 60, 30, (9, 18)),
    b"\x1bP>|XTerm(390)\x1b\\\x1b[?63;1;2;4;6c": ("sixel", 60, 30, (8, 17)),
    b"\x1b[?64;1;2;6;9c": ("", 60, 30, (8, 17)),
    b"\x1b[?14;44c": ("", 60, 30, (8, 17)),
    b"": ("", 60, 30, (8, 17)),
}


def asked(answer: bytes, *, has_input: bool = True, **variables: str) -> tuple[bytes, bytes]:
    """Ask in a terminal that answers so; return what was said before the answer, and all that was."""
    pid, ours = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, SIZE)
        os.chdir(ROOT)
        if not has_input:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TMUX")}
        # An answer is waited for, however busy this machine is; silence need not last long.
        argv = [sys.executable, "-c", ASK, "60" if answer else "1"]
        os.execve(sys.executable, argv, {**environment, "TERM": "xterm", **variables})
    said, question, end = b"", b"", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            said += os.read(ours, 1024)
        except OSError:  # it has ended
            break
        if b"\x1b[c" in said and said.endswith(b"\x1b[K") and not question:  # it may come in pieces
            question = said
            os.write(ours, answer)
    os.close(ours)
    os.waitpid(pid, 0)
    return question, said


def last_line(said: bytes) -> tuple:
    return ast.literal_eval(said.decode().replace("\x1b[K", "\r").strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("answer", "able"), ANSWERS.items(), ids=["kitty", "iterm", "vt340", "vt420", "other numbers", "silent"]
)
def test_a_terminal_is_asked_and_believed(answer, able):
    question, said = asked(answer)
    assert question.startswith(b"\x1b_G") and question.count(b"\x1b[c") == 1
    assert last_line(said) == able
    assert said.replace(question, b"").strip().decode() == repr(able)  # the answer itself is not shown


def test_standard_input_may_be_something_else():
    _, said = asked(b"\x1b[?62;4c", has_input=False)
    assert last_line(said)[0] == "sixel"


@pytest.mark.parametrize("variables", [{"STY": "1.pts"}, {"TERM": "linux"}])
def test_those_that_would_print_the_question_are_not_asked(variables):
    question, said = asked(b"", **variables)
    assert question == b"" and last_line(said)[0] == ""
