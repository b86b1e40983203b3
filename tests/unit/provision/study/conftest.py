"""A study for tests."""

import pytest

from .builders import Lab


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)
