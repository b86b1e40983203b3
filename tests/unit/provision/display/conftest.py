"""What tests of several displays stand on."""

import io

import pytest

from provision.display import tasks


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    """Have time go on only when the clock is told to sleep."""
    clock = Clock()
    monkeypatch.setattr(tasks, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def stand_in():
    """Return a stream that says it is a terminal."""
    return Terminal()
