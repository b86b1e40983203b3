"""Google Colab for tests: a stand-in for its package `google.colab`, and the list of what its image has."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
RELEASE_TAG = "release-colab_20260909-060049_RC00"


@contextmanager
def on_colab(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Let this process pass for Colab's while the block runs, and give the page that answers it: see `_page.Page`."""
    monkeypatch.setenv("COLAB_RELEASE_TAG", RELEASE_TAG)
    monkeypatch.syspath_prepend(str(FOLDER))
    _forget()
    importlib.import_module("google.colab")
    try:
        yield importlib.import_module("google.colab._page").page
    finally:
        _forget()


def _forget() -> None:
    """Drop the modules, so that the next test begins with a page of its own."""
    for name in [name for name in sys.modules if name == "google" or name.startswith("google.")]:
        del sys.modules[name]
