"""What a terminal shows of a run."""

import io
import re

import pytest
from rich.console import Console

from provision.display.progress import progress
from provision.display.terminal import TerminalProgress
from provision.engine.events import Step

from .steps import LOST, compile_, on_hosts, run


@pytest.fixture
def terminal(clock, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(force_terminal=True, file=io.StringIO(), width=100, color_system="standard", legacy_windows=False)
    return TerminalProgress(console)


def written(terminal):
    return terminal._console.file.getvalue()


def running(terminal):
    """Return the lines that the live display has now, without its spinner and colours."""
    console = Console(file=io.StringIO(), width=terminal._console.width, force_terminal=True, color_system=None)
    console.print(terminal._lines)
    return [" ".join(line[1:].split()) for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_note_has_a_line_of_its_own_however_short_the_task_was(terminal, clock):
    run(terminal, clock, 0, task="Tell", note=LOST)
    run(terminal, clock, 0, task="Tell", host="node1", note=LOST)
    assert re.sub(r"\x1b\[[0-9;]*m", "", written(terminal)) == f"{LOST}\nnode1: {LOST}\n"


def test_a_terminal_shows_a_running_task_with_its_time(terminal, clock):
    terminal.step(Step("task", "mrtrix3", "Unpack"))
    clock.sleep(75)
    assert running(terminal) == ["mrtrix3: Unpacking 1 min 15 s"]


def test_a_terminal_shows_how_far_a_long_task_is_and_when_it_ends(terminal, clock):
    compile_(terminal, clock, total=401, seconds=2.8, upto=145)
    (line,) = running(terminal)
    assert line.startswith("mrtrix3: Compiling 6 min 46 s ━")
    assert line.endswith("145/401 steps, about 12 min left")


@pytest.mark.parametrize("task", ["Compile", "Compile the commands of MRtrix3 for this processor"])
@pytest.mark.parametrize("width", [60, 70, 80, 120, 200])
def test_a_running_task_stays_on_one_line(terminal, clock, width, task):
    compile_(terminal, clock, total=401, seconds=2.8, upto=145)
    terminal._tasks.running[0].task = task
    terminal._console.width = width
    (line,) = running(terminal)
    assert line.endswith("145/401 steps, about 12 min left")


def test_a_wide_terminal_has_a_bar_and_the_time_gone_and_a_narrow_one_the_time_where_there_is_no_amount(
    terminal, clock
):
    compile_(terminal, clock, total=401, seconds=2.8, upto=145)
    terminal.step(Step("task", "mrtrix3", "Fetch", "node1"))
    clock.sleep(7)
    shown = {}
    for width in (80, 60, 40):
        terminal._console.width = width
        shown[width] = running(terminal)
    assert ["━" in line and "6 min 53 s" in line for line, _ in shown.values()] == [True, False, False]
    assert all(line.endswith(" 7.0 s") for _, line in shown.values())


@pytest.mark.parametrize("width", [40, 50])
def test_a_narrow_terminal_keeps_the_time_left_and_something_of_the_title(terminal, clock, width):
    compile_(terminal, clock, total=401, seconds=2.8, upto=145)
    terminal._console.width = width
    (line,) = running(terminal)
    assert line.startswith("mrtrix3: Com") and line.endswith("about 12 min left") and len(line) <= width - 2


def test_a_narrow_terminal_keeps_what_came_of_a_task(terminal, clock):
    terminal._console.width = 40
    with terminal:
        run(terminal, clock, 14, role="deps", task="Install packages of the distribution", changed=True)
    assert re.search(r"deps: Install packag\w*… changed in 14 s\n", written(terminal))


def test_a_terminal_keeps_a_line_with_a_tick_for_what_changed(terminal, clock):
    with terminal:
        run(terminal, clock, 14, task="Install", changed=True)
    assert "✓\x1b[0m mrtrix3: Install changed in 14 s" in written(terminal)
    assert running(terminal) == []


def test_quick_tasks_that_change_nothing_vanish_from_a_terminal(terminal, clock):
    with terminal:
        run(terminal, clock, 0.2, task="Look")
        run(terminal, clock, 9, task="Skip", skipped=True)
        terminal.step(Step("task", "mrtrix3", "Look again"))
    assert written(terminal).endswith("\x1b[1A\x1b[2K")
    assert "Look" not in written(terminal).rpartition("\x1b[2K")[2]
    assert "changed" not in written(terminal) and "took" not in written(terminal)


def test_a_terminal_gets_its_cursor_back_when_a_run_fails(terminal):
    with pytest.raises(RuntimeError), terminal:
        raise RuntimeError
    assert written(terminal).rindex("\x1b[?25h") > written(terminal).rindex("\x1b[?25l")


@pytest.mark.parametrize("evil", ["[red]all[/red] :tada:", "\x1b[31m\x1b]0;title\x07x", "a\r\nb"])
def test_nothing_that_a_machine_says_is_markup_or_steers_a_terminal(terminal, evil):
    terminal._console.width = 200
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in evil).split())
    terminal.step(Step("work", evil, evil, evil, number=1, unit=evil))
    assert running(terminal) == [f"{shown}: {shown} on {shown} 0.0 s 1 {shown}"]
    terminal.step(Step("done", evil, evil, evil, changed=True))
    terminal.step(Step("done", note=evil))
    assert evil.isprintable() or evil not in written(terminal)
    assert " ".join(re.sub(r"\x1b\[[0-9;]*m", "", written(terminal)).split()) == (
        f"✓ {shown}: {shown} on {shown} changed in 0.0 s {shown}"
    )


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_is_respected(monkeypatch, clock, stand_in, no_color):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    with progress(stand_in) as terminal:
        run(terminal, clock, 1, changed=True)
    assert ("\x1b[32m" in written(terminal)) != bool(no_color)


def test_entering_twice_is_harmless(terminal, clock):
    with terminal, terminal:
        run(terminal, clock, 1, changed=True)
    assert "Unpack changed in 1.0 s" in written(terminal)


def test_tasks_on_several_hosts_have_a_line_each(terminal, clock):
    for host in ("node1", "node2"):
        terminal.step(Step("task", "mrtrix3", "Unpack", host))
    assert running(terminal) == ["mrtrix3: Unpacking on node1 0.0 s", "mrtrix3: Unpacking on node2 0.0 s"]
    terminal.step(Step("done", "mrtrix3", "Unpack", "node1"))
    assert running(terminal) == ["mrtrix3: Unpacking on node2 0.0 s"]


def test_a_task_that_runs_on_several_hosts_tells_on_how_many_it_is_done(terminal):
    terminal.step(Step("task", "mrtrix3", "Unpack"))
    terminal.step(Step("done", "mrtrix3", "Unpack", "node1"))
    assert running(terminal) == ["mrtrix3: Unpacking 0.0 s done on 1 host"]
    terminal.step(Step("done", "mrtrix3", "Unpack", "node2"))
    assert running(terminal) == ["mrtrix3: Unpacking 0.0 s done on 2 hosts"]


def test_the_line_of_each_host_has_how_far_that_one_is(terminal, clock):
    on_hosts(terminal)
    first, second = running(terminal)
    assert first == "mrtrix3: Compiling on node1 0.0 s"
    assert second.startswith("mrtrix3: Compiling on node2 ") and second.endswith("145/401 steps")
