"""The demo's commands, interrupted, killed, and run again."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from waiting import wait_until

from provision.demo import pipeline
from provision.demo.pipeline import run_command
from provision.errors import ProvisionError

from ..unit.provision.demo.stand_ins import (
    commands,  # noqa: F401
    run,
    shell,
)


def test_rerun_overwrites_its_own_files_and_nothing_else(tmp_path, commands):
    run(tmp_path, commands, seed=1)
    mine = tmp_path / "demo" / "notes.txt"
    mine.write_text("mine")
    first = {path.name: path.read_bytes() for path in mine.parent.iterdir()}
    run(tmp_path, commands, seed=2)
    second = {path.name: path.read_bytes() for path in mine.parent.iterdir()}
    assert set(first) == set(second)
    assert mine.read_text() == "mine"
    assert first["dwi.nii.gz"] != second["dwi.nii.gz"]
    assert second["demo.log"].count(b"$ sh2peaks") == 1


def test_failed_rerun_leaves_no_results_of_the_run_before(tmp_path, commands):
    run(tmp_path, commands)
    names = ("results.json", "fod.png", "report.html", "glyphs.png", "peek.png")
    for name in names[3:]:
        (tmp_path / "demo" / name).write_bytes(b"of a run before")
    with pytest.raises(ProvisionError):
        run(tmp_path, commands, told={"FAILING": "dwi2fod"})
    assert not [name for name in names if (tmp_path / "demo" / name).exists()]


def test_command_that_is_killed_says_so_and_that_memory_may_be_the_cause(tmp_path):
    with pytest.raises(ProvisionError) as caught:
        run_command(["command"], **shell(tmp_path, "kill -9 $$"))
    assert caught.value.code == "killed" and " 9 " in caught.value.message
    assert "memory" in caught.value.hint


def alive(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be noted as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def interrupt_once_written(path: Path) -> None:
    """Send this process a Ctrl-C when the file has a line in it."""

    def wait_and_send() -> None:
        for _ in range(6000):
            if path.exists() and path.read_text().endswith("\n"):
                break
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell that starts the tests in its background has them ignore the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=wait_and_send, daemon=True).start()


@pytest.mark.parametrize("deaf", ["", "trap '' TERM; "], ids=["at once", "by force"])
def test_interrupt_ends_the_command_and_all_that_it_started(tmp_path, monkeypatch, deaf):
    monkeypatch.setattr(pipeline, "_GRACE", 0.3)
    options = shell(tmp_path, f"{deaf}sleep 60 & echo $$ $! > pids; wait; sleep 60")
    interrupt_once_written(tmp_path / "pids")
    with pytest.raises(KeyboardInterrupt):
        run_command(["command"], **options)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_until(lambda: not any(map(alive, pids)), seconds=50)  # what is killed may still be on its way out


def test_interrupt_while_the_command_is_being_started_ends_it(tmp_path, interrupted_start):
    with pytest.raises(KeyboardInterrupt):
        run_command(["command"], **shell(tmp_path, "sleep 60"))
    assert not alive(interrupted_start[0].pid)


def test_interrupted_command_may_clean_up(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "_GRACE", 60.0)
    options = shell(tmp_path, "trap 'rm scratch; exit 1' TERM; touch scratch; echo > ready; sleep 60 & wait")
    interrupt_once_written(tmp_path / "ready")
    with pytest.raises(KeyboardInterrupt):
        run_command(["command"], **options)
    assert not (tmp_path / "scratch").exists()
