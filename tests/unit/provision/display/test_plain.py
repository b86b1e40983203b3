"""What a pipe, a file or continuous integration gets of a run."""

import io
import threading

import pytest

from provision.display import plain as module
from provision.display.plain import PlainProgress
from provision.engine.events import Step

from .steps import LOST, compile_, on_hosts, run


@pytest.fixture
def plain(clock):
    return PlainProgress(io.StringIO())


def written(plain):
    return plain._stream.getvalue()


def test_a_note_has_a_line_of_its_own_however_short_the_task_was(plain, clock):
    run(plain, clock, 0, task="Tell", note=LOST)
    run(plain, clock, 0, task="Tell", host="node1", note=LOST)
    assert written(plain) == f"{LOST}\nnode1: {LOST}\n"


def test_plain_text_has_a_line_for_what_changed_and_none_for_quick_tasks_that_did_not(plain, clock):
    run(plain, clock, 0.2, task="Look")
    run(plain, clock, 0.0, task="Skip", skipped=True)
    run(plain, clock, 0.4, task="Unpack", changed=True)
    assert written(plain) == "mrtrix3: Unpack - changed in 0.4 s\n"


def test_plain_text_has_a_line_for_what_takes_long(plain, clock):
    run(plain, clock, 7, task="Test")
    assert written(plain) == "mrtrix3: Test - took 7.0 s\n"


def test_plain_text_tells_of_a_long_task_while_it_runs_and_tells_it_once(plain, clock):
    plain.step(Step("task", "deps", "Install packages"))
    for _ in range(100):
        plain.look()
        clock.sleep(1)
    assert written(plain) == "deps: Installing packages - still running\n"


def test_plain_text_looks_by_itself_and_stops_with_the_run(clock, monkeypatch):
    looked, before = threading.Event(), set(threading.enumerate())
    monkeypatch.setattr(PlainProgress, "look", lambda self: looked.set())
    monkeypatch.setattr(module, "LOOK_EVERY_SECONDS", 0.01)
    with PlainProgress(io.StringIO()):
        assert looked.wait(30)
        new = set(threading.enumerate()) - before  # that of an earlier test may be on its way out
        (thread,) = [thread for thread in new if thread.name == "provision-progress"]
    thread.join(60)
    assert not thread.is_alive()


def test_plain_text_tells_of_work_at_most_every_tenth_when_it_is_quick(plain, clock):
    compile_(plain, clock, total=400, seconds=0.1)
    assert len(written(plain).splitlines()) == 9  # the first after 5 s, then at every tenth


def test_plain_text_tells_of_work_every_30_seconds_when_it_is_slow(plain, clock):
    compile_(plain, clock, total=400, seconds=10, upto=31)
    lines = written(plain).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "mrtrix3: Compiling - 31/400 steps, about 1 h 10 min left"


def test_plain_text_of_work_of_unknown_size_tells_what_is_done(plain, clock):
    plain.step(Step("task", "mrtrix3", "Fetch"))
    clock.sleep(6)
    plain.step(Step("work", "mrtrix3", "Fetch", number=3_000_000, unit="bytes"))
    assert written(plain) == "mrtrix3: Fetching - 3.0 MB\n"


def test_plain_text_has_no_control_characters(plain, clock):
    run(plain, clock, 1, task="Un\x1b[31mpack\r\nall", changed=True)
    run(plain, clock, 1, task="Look", note="ready\x07")
    assert all(line.isprintable() for line in written(plain).splitlines())
    assert len(written(plain).splitlines()) == 2


def test_every_plain_line_is_flushed(clock):
    class Buffered(io.StringIO):
        seen = ""

        def flush(self):
            self.seen = self.getvalue()

    stream = Buffered()
    run(PlainProgress(stream), clock, 1, changed=True)
    assert stream.seen == "mrtrix3: Unpack - changed in 1.0 s\n"


def test_a_run_goes_on_when_nobody_reads(clock):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    run(PlainProgress(Closed()), clock, 1, changed=True)


def test_hosts_of_a_fleet_are_told_apart(plain, clock):
    plain.step(Step("task", "mrtrix3", "Unpack"))
    for host in ("node1", "node2"):
        clock.sleep(1)
        plain.step(Step("done", "mrtrix3", "Unpack", host, changed=True))
    assert written(plain) == (
        "mrtrix3: Unpack on node1 - changed in 1.0 s\nmrtrix3: Unpack on node2 - changed in 2.0 s\n"
    )


def test_a_task_outside_roles_has_no_empty_role(plain, clock):
    run(plain, clock, 1, role="", task="Look at the machine", changed=True)
    assert written(plain) == "Look at the machine - changed in 1.0 s\n"


def test_the_line_of_each_host_has_how_far_that_one_is(plain, clock):
    on_hosts(plain)
    clock.sleep(7)
    plain.look()
    assert written(plain) == (
        "mrtrix3: Compiling on node1 - still running\nmrtrix3: Compiling on node2 - 145/401 steps\n"
    )
