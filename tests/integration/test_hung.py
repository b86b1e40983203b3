"""A run whose worker was killed at a bad moment is noticed, whichever of its processes waits for ever."""

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import wait_until

from provision.engine import hung

IDLE = "exec tail -f /dev/null"


@contextmanager
def running(script):
    process = subprocess.Popen(["bash", "-c", script], start_new_session=True)
    try:
        yield process.pid
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)])
        process.wait()


def is_noticed(pid, seconds=2.5):
    is_hung, end = hung.Hung(), time.monotonic() + seconds
    while time.monotonic() < end:
        if is_hung(pid):
            return True
        time.sleep(0.05)
    return False


def children(pid):
    """Return the processes that one has started and that are there."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(hung, "SECONDS", 1.0)


def test_one_that_waits_itself_is_noticed():
    with running(IDLE) as pid:
        assert is_noticed(pid, seconds=60)


def test_one_whose_worker_waits_is_noticed_though_it_polls():
    with running(f"({IDLE}) & while :; do :; done") as pid:
        assert is_noticed(pid, seconds=60)


def test_one_whose_worker_runs_a_module_is_left_alone():
    with running("bash -c 'sleep 60; :' & wait") as pid:
        wait_until(lambda: any(map(children, children(pid))))
        assert not is_noticed(pid)


def test_one_that_works_is_left_alone():
    with running("while :; do :; done") as pid:
        assert not is_noticed(pid)
    with running("bash -c 'while :; do :; done' & wait") as pid:
        wait_until(lambda: children(pid))
        assert not is_noticed(pid)


def test_one_that_has_ended_is_left_alone():
    with running("exit 0") as pid:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert not is_noticed(pid)
