"""What the tests of pictures share."""

import os
import tempfile

import pytest

from .standin import mrtrix  # noqa: F401


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, to see what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def nothing_stays(temporary):
    """Nothing may stay in the folder for temporary files."""
    yield
    assert os.listdir(temporary) == []
