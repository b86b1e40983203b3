"""A working folder that is gone."""

from __future__ import annotations

import pytest


@pytest.fixture
def gone(tmp_path, monkeypatch):
    """Be in a folder that has been deleted."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    folder.rmdir()
    return folder
