"""What tests of several actions stand on."""

import contextlib

import pytest

from provision import notebook
from provision.display import progress


@pytest.fixture
def shown(monkeypatch):
    """Have this be a notebook; return what its displays are told."""
    told = []

    class Display:
        step = staticmethod(told.append)
        end = staticmethod(told.append)

    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "progress", lambda: contextlib.nullcontext(Display()))
    return told
