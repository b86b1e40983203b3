"""Where the logs of runs are kept, and for whom."""

from __future__ import annotations

import os

import pytest

from provision.checkup import doctor
from provision.engine import logbook
from provision.machine import places


@pytest.fixture
def folder(state_place):
    return state_place / "logs"


def test_a_log_is_its_owners_alone_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        path, _ = logbook.write("x", ["deps"])
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("home", ["gone", "file"])
def test_where_there_is_no_home_no_log_is_kept_and_no_home_is_made(monkeypatch, tmp_path, home):
    (tmp_path / "file").touch()
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(places, "home", lambda: str(tmp_path / home))
    path, problem = logbook.write("x", ["deps"])
    assert path is None and str(tmp_path / home) in problem and not (tmp_path / "gone").exists()
    assert doctor.check_logs().verdict == "warn"
