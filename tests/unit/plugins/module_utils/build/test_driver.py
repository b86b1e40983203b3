"""What a build says while it runs and when it fails, and the time that it has taken."""

import signal
from types import SimpleNamespace

import pytest

from plugins.module_utils.provision.build import driver
from plugins.module_utils.provision.build.driver import BuildError, Clock
from plugins.module_utils.provision.build.tree import build

from .source_tree import compile_


def test_progress_tells_step_and_total(source):
    told = []
    compile_(source, tell=lambda *step: told.append(step))
    assert told[-1] == (2, 2, "[LB] bin/tckgen") or told[-1][:2] == (2, 2)


def test_progress_tells_the_share_of_the_time_that_is_over(source):
    shares = []
    compile_(source, tell=lambda *step: shares.append(step[3]))
    assert 0 == shares[0] < shares[1] < 1


@pytest.mark.parametrize(
    ("said", "code", "value"),
    [
        ("cc1plus: error writing to /tmp: No space left on device", "disk-full", ""),
        ("g++: fatal error: Killed signal terminated program cc1plus", "out-of-memory", ""),
        ("core/x.cpp:1:2: error: 'y' was not declared", "build-failed", "'y' was not declared"),
    ],
)
def test_a_failed_build_says_why_in_one_sentence(source, said, code, value):
    (source / "say").write_text(said)
    with pytest.raises(BuildError) as caught:
        compile_(source)
    assert caught.value.code == code and value in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("write failed: No space left on device", "disk-full"),
        ("g++: fatal error: Killed signal terminated program cc1plus", "out-of-memory"),
        ("cc1plus: out of memory allocating 65536 bytes", "out-of-memory"),
        ("c++: internal compiler error: Killed (program cc1plus)", "out-of-memory"),
        ("x.cpp:1: error: no", "build-failed"),
    ],
)
@pytest.mark.parametrize("jobs", [1, 4])
def test_a_build_short_of_memory_is_told_to_use_fewer_jobs_where_there_are_fewer(source, said, code, jobs):
    (source / "say").write_text(said)
    with pytest.raises(BuildError) as caught:
        build(str(source), [], "", jobs, lambda *_: None, print)
    assert caught.value.code == code
    if code == "out-of-memory":
        assert ("mrtrix3_jobs=2" in caught.value.hint) is (jobs == 4)
        assert "jobs" not in caught.value.hint or jobs > 1


def test_a_build_that_is_killed_without_a_word_ran_out_of_memory(source):
    (source / "build").write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(BuildError) as caught:
        compile_(source)
    assert caught.value.code == "out-of-memory"


def test_an_interrupt_while_the_compiler_is_being_started_ends_it(tmp_path, interrupted_start):
    with (tmp_path / "lock").open("w") as lock, pytest.raises(KeyboardInterrupt):
        driver.Build(str(tmp_path), "", 1, print, lock).call(["sleep", "60"])
    assert interrupted_start[0].poll() == -signal.SIGTERM


@pytest.fixture
def now(monkeypatch):
    """The time, which passes when it is told to."""
    now = [5000.0]
    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_the_time_of_all_runs_is_added_up(tmp_path, now):
    clock = Clock(str(tmp_path))
    clock.note()
    now[0] += 30.0
    clock.note()
    assert clock.seconds() == 30.0
    now[0] += 5000.0  # in which nothing was built
    clock = Clock(str(tmp_path))
    assert clock.seconds() == 30.0
    now[0] += 12.0
    clock.note()
    assert clock.seconds() == 42.0
    assert Clock(str(tmp_path)).seconds() == 42.0


def test_a_run_that_is_killed_has_spent_all_but_ten_seconds(tmp_path, now):
    clock = Clock(str(tmp_path))
    for _ in range(100):
        clock.note()
        now[0] += 1.0
    assert 90.0 <= Clock(str(tmp_path)).seconds() <= 100.0


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_time_that_was_half_written_counts_as_none(tmp_path, now, text):
    (tmp_path / ".provision-spent.json").write_text(text)
    assert Clock(str(tmp_path)).seconds() == 0
