"""Which display a run gets."""

import io

from provision.display import progress
from provision.display.notebook import NotebookProgress
from provision.display.plain import PlainProgress
from provision.display.terminal import TerminalProgress
from provision.engine.events import Step


def test_a_pipe_gets_plain_text():
    assert isinstance(progress.progress(io.StringIO()), PlainProgress)


def test_a_terminal_gets_the_live_display(monkeypatch, stand_in):
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(progress.progress(stand_in), TerminalProgress)


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_text(monkeypatch, stand_in):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.progress(stand_in), PlainProgress)


def test_a_terminal_without_unicode_gets_plain_text(monkeypatch, stand_in):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(stand_in, "encoding", "iso-8859-1")
    assert isinstance(progress.progress(stand_in), PlainProgress)


def test_a_notebook_gets_the_display_below_its_cell(monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    assert isinstance(progress.progress(), NotebookProgress)
    assert isinstance(progress.progress(io.StringIO()), PlainProgress)


def test_progress_goes_to_standard_error(capsys):
    progress.progress().step(Step("done", "mrtrix3", "Unpack", changed=True))
    assert capsys.readouterr() == ("", "mrtrix3: Unpack - changed in 0.0 s\n")


def test_what_a_run_came_to_is_left_to_the_command_where_there_is_no_notebook(capsys, monkeypatch, stand_in):
    monkeypatch.setenv("TERM", "xterm")
    progress.progress().end("ready")
    progress.progress(stand_in).end("ready")
    assert capsys.readouterr() == ("", "") and stand_in.getvalue() == ""
