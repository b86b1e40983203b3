"""What all tests share: those that need a program are skipped where it is not installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program, ...): is skipped where a program is not installed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [name for mark in item.iter_markers("needs") for name in mark.args if not shutil.which(name)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")


@pytest.fixture
def interrupted_start(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    """Have an interrupt come before whoever starts a process has it in hand; give those that were started."""
    started: list[subprocess.Popen] = []

    def start(*arguments, start=subprocess.Popen, **options):
        started.append(start(*arguments, **options))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever started the tests may ignore
    monkeypatch.setattr(subprocess, "Popen", start)
    return started
