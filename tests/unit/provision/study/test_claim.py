"""What the claim of an output folder promises: one run at a time."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from waiting import wait_until

from provision.errors import ProvisionError
from provision.machine import alive
from provision.study import claim
from provision.study.claim import LEASE, Claim, held

from .builders import write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / ".provision" / "claim.json"


@pytest.fixture
def left(path):
    """Leave a claim: of a process that has ended on this machine, or of another machine; some seconds ago."""

    def leave(seconds=0.0, **fields):
        mine = Claim(path)._mine
        write(path, json.dumps({**mine, "id": "other", "host": "node7", "pid": 4321, "since": "noon", **fields}))
        then = time.time() - seconds
        os.utime(path, (then, then))

    return leave


ELSEWHERE = {"boot": "of another machine"}


def refused(path):
    with pytest.raises(ProvisionError) as raised:
        Claim(path).take()
    assert raised.value.code == "study-busy"
    return str(raised.value)


def owner(path):
    return json.loads(path.read_text())["id"]


def test_a_claim_is_held_during_the_block_and_given_back(path):
    with held(path) as mine:
        assert owner(path) == mine._mine["id"]
        mine.check()
    assert not path.exists()


def test_a_claim_is_given_back_after_an_error(path):
    with pytest.raises(KeyboardInterrupt), held(path):
        raise KeyboardInterrupt
    assert not path.exists()


def test_a_second_run_is_refused_with_who_has_the_folder_and_where(path):
    with held(path) as mine:
        said = refused(path)
        assert owner(path) == mine._mine["id"]
    assert [word for word in (str(os.getpid()), socket.gethostname(), str(path.parents[1])) if word not in said] == []


def test_a_claim_of_a_process_that_has_ended_is_taken_at_once(path, left):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = {"pid": process.pid, "start": alive.process(process.pid)["start"]}
    left(**found)
    assert str(process.pid) in refused(path)
    process.communicate()
    with held(path) as mine:
        assert owner(path) == mine._mine["id"]


def test_a_later_process_with_the_number_of_the_owner_is_not_taken_for_it(path, left):
    left(pid=os.getppid(), start=1)
    with held(path) as mine:
        assert owner(path) == mine._mine["id"]


def test_a_claim_that_this_process_could_not_give_back_is_taken(path, left):
    left(pid=os.getpid())
    with held(path) as mine:
        assert owner(path) == mine._mine["id"]


@pytest.mark.parametrize("fields", [ELSEWHERE, {"space": "pid:[1]"}])
def test_a_claim_from_elsewhere_holds_for_its_lease(path, left, fields):
    left(LEASE / 2, **fields)
    assert "node7" in refused(path) and "4321" in refused(path)
    left(LEASE + 5, **fields)
    with held(path) as mine:
        assert owner(path) == mine._mine["id"]


def test_the_clock_of_this_machine_does_not_matter(path, left, monkeypatch):
    left(LEASE / 2, **ELSEWHERE)
    monkeypatch.setattr(claim.time, "time", lambda: 4e9)
    refused(path)


def test_a_claim_from_the_future_holds_no_longer_than_its_lease(path, left):
    left(-LEASE / 2, **ELSEWHERE)
    refused(path)
    left(-LEASE - 5, **ELSEWHERE)
    with held(path) as mine:
        assert owner(path) == mine._mine["id"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_claim_holds_for_its_lease_too(path, text):
    write(path, text)
    refused(path)
    os.utime(path, (0, 0))
    with held(path) as mine:
        assert owner(path) == mine._mine["id"]


def test_a_claim_that_cannot_be_written_is_none(path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(claim.json, "dump", full)
        with pytest.raises(ProvisionError) as raised, held(path):
            pass
    assert raised.value.code == "study-folder" and not path.exists()
    with held(path):
        pass


def test_a_claim_leaves_nothing_beside_it(path, left):
    left(LEASE / 2, **ELSEWHERE)
    refused(path)
    left(LEASE + 5, **ELSEWHERE)
    with held(path):
        pass
    assert [file.name for file in path.parent.iterdir() if file.name != "claim.lock"] == []


def taken_at_once(path, number):
    """Have so many threads take the claim at once; return those that have it."""
    have, start = [], threading.Barrier(number)

    def take():
        mine = Claim(path)
        start.wait()
        try:
            mine.take()
        except ProvisionError:
            return
        have.append(mine)

    threads = [threading.Thread(target=take) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return have


@pytest.mark.parametrize("old", [True, False])
def test_of_several_that_take_a_claim_at_once_one_has_it(path, left, old):
    for _ in range(10):
        if old:
            left(LEASE + 5, **ELSEWHERE)
        (winner,) = taken_at_once(path, 8)
        assert owner(path) == winner._mine["id"]
        winner.leave()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(claim, "LEASE", 0.06)


def test_a_claim_is_renewed_while_the_block_runs(path, quick):
    with held(path):
        os.utime(path, (0, 0))
        wait_until(lambda: path.stat().st_mtime > 0)


def test_a_run_whose_claim_was_taken_is_stopped_and_leaves_it_alone(path, left, quick):
    with held(path) as mine:
        left(**ELSEWHERE)
        wait_until(lambda: mine.lost)
        with pytest.raises(ProvisionError, match="node7") as raised:
            mine.check()
        assert raised.value.code == "study-busy"
    assert owner(path) == "other"


def test_a_folder_that_is_away_for_a_while_does_not_end_a_run(path, quick):
    with held(path) as mine:
        path.parent.rename(path.parent.with_name("away"))
        time.sleep(0.05)
        path.parent.with_name("away").rename(path.parent)
        os.utime(path, (0, 0))
        wait_until(lambda: path.stat().st_mtime > 0)
        mine.check()
