"""Pictures straight to a terminal: it is asked, and believed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from provision.engine import content
from provision.errors import ProvisionError
from provision.pictures import terminal

ROOT = str(content.root())
ASK = "from provision.pictures import terminal; print('shows', terminal.shows_sixel())"


def test_where_there_is_no_terminal_nothing_is_shown():
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, start_new_session=True, capture_output=True, text=True, check=True
    )
    assert done.stdout == "shows False\n"


def test_output_that_is_no_terminal_is_told_with_the_command_that_writes_a_file():
    with pytest.raises(ProvisionError) as caught:
        terminal.check("provision peek a.nii -o picture.png")
    assert caught.value.code == "no-terminal" and "provision peek a.nii -o picture.png" in caught.value.hint


def test_a_terminal_without_sixel_is_told_with_those_that_have_it(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(terminal, "shows_sixel", lambda: False)
    with pytest.raises(ProvisionError) as caught:
        terminal.check("provision peek a.nii -o picture.png")
    assert caught.value.code == "no-sixel"
    assert "provision peek a.nii -o picture.png" in caught.value.hint and "WezTerm" in caught.value.hint
