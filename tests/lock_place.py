"""The lock of a machine of its own, for each test that runs here: conftest.py takes it from here."""

import pytest

from provision.engine import lock


@pytest.fixture(autouse=True)
def lock_place(tmp_path_factory, monkeypatch):
    """Have each test change a machine of its own: none waits for another, or for a run on the real one."""
    place = tmp_path_factory.mktemp("lock") / "lock"
    monkeypatch.setattr(lock._lock, "places", lambda: [str(place)])
    return place
