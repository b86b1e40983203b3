"""Places of its own for each test that runs here: conftest.py takes them from here."""

import pytest

from provision.engine import lock


@pytest.fixture(autouse=True)
def state_place(tmp_path_factory, monkeypatch):
    """Have each test keep its notes and logs in a folder of its own, and none in this user's home."""
    folder = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder / "provision"


@pytest.fixture(autouse=True)
def lock_place(state_place, monkeypatch):
    """Have each test change a machine of its own: none waits for another, or for a run on the real one."""
    place = state_place.with_name("lock")
    monkeypatch.setattr(lock._lock, "places", lambda: [str(place)])
    return place
