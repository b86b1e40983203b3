"""What a person sees while a run goes on."""

import io
import itertools
import re
import threading
import time
from html.parser import HTMLParser

import pytest
from rich.console import Console

from provision.display import progress
from provision.display.progress import NotebookProgress, PlainProgress, TerminalProgress
from provision.engine.events import Step


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Output(list):
    """Keeps the pages that are shown, in the place of a notebook."""

    def show(self, html, text):
        self.append((html, text))

    @property
    def html(self):
        return self[-1][0]

    @property
    def text(self):
        return self[-1][1]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def plain(clock):
    return PlainProgress(io.StringIO(), clock=clock)


@pytest.fixture
def output():
    return Output()


@pytest.fixture
def page(clock, output):
    """Return a notebook's display whose thread has not been started, so that it draws when it is told to."""
    return NotebookProgress(output, clock=clock)


@pytest.fixture
def terminal(clock, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(force_terminal=True, file=io.StringIO(), width=100, color_system="standard", legacy_windows=False)
    return TerminalProgress(console, clock=clock)


def written(shown):
    return (shown._stream if isinstance(shown, PlainProgress) else shown._console.file).getvalue()


def running(terminal):
    """Return the lines that the live display has now, without its spinner and colours."""
    console = Console(file=io.StringIO(), width=terminal._console.width, force_terminal=True, color_system=None)
    console.print(terminal)
    return [line[1:].strip() for line in console.file.getvalue().splitlines() if line.strip()]


def run(shown, clock, seconds, role="mrtrix3", task="Unpack", host="localhost", **done):
    shown.step(Step("task", role, task))
    clock.sleep(seconds)
    shown.step(Step("done", role, task, host, **done))


def compile_(shown, clock, total=400, seconds=2.0, upto=None):
    """Start a long task and take it some steps on."""
    shown.step(Step("task", "mrtrix3", "Compile"))
    for number in range(1, (total if upto is None else upto) + 1):
        clock.sleep(seconds)
        shown.step(Step("work", "mrtrix3", "Compile", number=number, total=total, unit="steps"))


# Notes


LOST = "Note: " + "The store is gone, and this build will not be kept. " * 4


def test_a_note_has_lines_of_its_own_however_short_the_task_was(plain, terminal, clock):
    for shown in (plain, terminal):
        run(shown, clock, 0, task="Tell", note=LOST)
        run(shown, clock, 0, task="Tell", host="node1", note=LOST)
        text = re.sub(r"\x1b\[[0-9;]*m", "", written(shown))
        assert f"{LOST}\n" in text and f"node1: {LOST}\n" in text and "Tell" not in text


def test_a_note_stays_in_sight_in_a_notebook_whatever_is_done_after_it(page, output, clock):
    run(page, clock, 0, task="Tell", note=LOST)
    for number in range(50):
        run(page, clock, 1, task=f"Step {number}", changed=True)
    page.look()
    assert output.text.splitlines()[0] == LOST and LOST in output.html


# Plain text


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
    assert written(plain) == "deps: Install packages - still running\n"


def test_plain_text_looks_by_itself_and_stops_with_the_run(clock, monkeypatch):
    looked = threading.Event()
    monkeypatch.setattr(PlainProgress, "look", lambda self: looked.set())
    monkeypatch.setattr(progress, "LOOK_EVERY_SECONDS", 0.01)
    with PlainProgress(io.StringIO(), clock=clock):
        assert looked.wait(5)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "provision-progress"]
    thread.join(5)
    assert not thread.is_alive()


def test_verbose_plain_text_has_a_line_for_every_task(clock):
    plain = PlainProgress(io.StringIO(), verbose=True, clock=clock)
    run(plain, clock, 0.2, task="Look")
    run(plain, clock, 0.0, task="Skip", skipped=True)
    assert written(plain) == "mrtrix3: Look - took 0.2 s\nmrtrix3: Skip - skipped\n"


def test_plain_text_tells_of_work_at_most_every_tenth_when_it_is_quick(plain, clock):
    compile_(plain, clock, total=400, seconds=0.1)
    assert len(written(plain).splitlines()) == 9  # the first after 5 s, then at every tenth


def test_plain_text_tells_of_work_every_30_seconds_when_it_is_slow(plain, clock):
    compile_(plain, clock, total=400, seconds=10, upto=31)
    lines = written(plain).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "mrtrix3: Compile - 31/400 steps, about 1 h 10 min left"


def test_plain_text_of_work_of_unknown_size_tells_what_is_done(plain, clock):
    plain.step(Step("task", "mrtrix3", "Fetch"))
    clock.sleep(6)
    plain.step(Step("work", "mrtrix3", "Fetch", number=3_000_000, unit="bytes"))
    assert written(plain) == "mrtrix3: Fetch - 3.0 MB\n"


def test_plain_text_has_no_control_characters(plain, clock):
    run(plain, clock, 1, task="Un\x1b[31mpack\r\nall", changed=True)
    plain.end("ready\x07")
    assert all(line.isprintable() for line in written(plain).splitlines())
    assert len(written(plain).splitlines()) == 2


def test_every_plain_line_is_flushed(clock):
    class Buffered(io.StringIO):
        seen = ""

        def flush(self):
            self.seen = self.getvalue()

    stream = Buffered()
    PlainProgress(stream, clock=clock).end("mrtrix3 3.0.8 ready")
    assert stream.seen == "mrtrix3 3.0.8 ready\n"


def test_a_run_goes_on_when_nobody_reads(clock):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    run(PlainProgress(Closed(), clock=clock), clock, 1, changed=True)


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


# A terminal


def test_a_terminal_shows_a_running_task_with_its_time(terminal, clock):
    terminal.step(Step("task", "mrtrix3", "Unpack"))
    clock.sleep(75)
    assert running(terminal) == ["mrtrix3 Unpack 1 min 15 s"]


def test_a_terminal_shows_how_far_a_long_task_is_and_when_it_ends(terminal, clock):
    compile_(terminal, clock, total=401, seconds=2.8, upto=145)
    (line,) = running(terminal)
    assert line.startswith("mrtrix3 Compile 6 min 46 s ━")
    assert line.endswith("145/401 steps, about 12 min left")


@pytest.mark.parametrize("task", ["Compile", "Compile the commands of MRtrix3 for this processor"])
@pytest.mark.parametrize("width", [60, 70, 80, 120, 200])
def test_a_running_task_stays_on_one_line(terminal, clock, width, task):
    compile_(terminal, clock, total=401, seconds=2.8, upto=145)
    terminal._tasks.running[0].task = task
    terminal._console.width = width
    (line,) = running(terminal)
    assert line.endswith("145/401 steps, about 12 min left")


@pytest.mark.parametrize("width", [40, 50])
def test_a_narrow_terminal_keeps_the_time_left_and_something_of_the_title(terminal, clock, width):
    compile_(terminal, clock, total=401, seconds=2.8, upto=145)
    terminal._console.width = width
    (line,) = running(terminal)
    assert line.startswith("mrtrix3 Com") and line.endswith("about 12 min left") and len(line) <= width - 2


def test_a_narrow_terminal_keeps_what_came_of_a_task(terminal, clock):
    terminal._console.width = 40
    with terminal:
        run(terminal, clock, 14, role="deps", task="Install packages of the distribution", changed=True)
    assert "Install package… changed in 14 s" in written(terminal)


def test_a_terminal_keeps_a_line_with_a_tick_for_what_changed(terminal, clock):
    with terminal:
        run(terminal, clock, 14, task="Install", changed=True)
    assert "✓\x1b[0m \x1b[1mmrtrix3\x1b[0m Install changed in 14 s" in written(terminal)
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


def test_a_terminal_ends_with_the_closing_line(terminal):
    with terminal:
        terminal.step(Step("task", "mrtrix3", "Unpack"))
        terminal.end("mrtrix3 [red] ready")
    assert written(terminal).endswith("mrtrix3 [red] ready\n")


def test_square_brackets_in_a_task_are_no_markup(terminal, clock):
    terminal.step(Step("task", "mrtrix3", "Unpack [red]all[/red]"))
    assert running(terminal) == ["mrtrix3 Unpack [red]all[/red] 0.0 s"]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_is_respected(monkeypatch, clock, no_color):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    with progress.progress(Terminal()) as terminal:
        run(terminal, clock, 1, changed=True)
    assert ("\x1b[32m" in written(terminal)) != bool(no_color)


def test_entering_twice_is_harmless(terminal, clock):
    with terminal, terminal:
        run(terminal, clock, 1, changed=True)
    assert "Unpack changed in 1.0 s" in written(terminal)


def test_tasks_on_several_hosts_have_a_line_each(terminal, clock):
    for host in ("node1", "node2"):
        terminal.step(Step("task", "mrtrix3", "Unpack", host))
    assert running(terminal) == ["mrtrix3 Unpack on node1 0.0 s", "mrtrix3 Unpack on node2 0.0 s"]
    terminal.step(Step("done", "mrtrix3", "Unpack", "node1"))
    assert running(terminal) == ["mrtrix3 Unpack on node2 0.0 s"]


def test_a_task_that_runs_on_several_hosts_tells_on_how_many_it_is_done(terminal):
    terminal.step(Step("task", "mrtrix3", "Unpack"))
    terminal.step(Step("done", "mrtrix3", "Unpack", "node1"))
    assert running(terminal) == ["mrtrix3 Unpack 0.0 s done on 1 host"]
    terminal.step(Step("done", "mrtrix3", "Unpack", "node2"))
    assert running(terminal) == ["mrtrix3 Unpack 0.0 s done on 2 hosts"]


# A notebook


class Elements(HTMLParser):
    """What there is in a page: its text, and the attributes of each element by its name."""

    def __init__(self, html):
        super().__init__()
        self.words, self.found = [], []
        self.feed(html)

    def handle_starttag(self, name, attributes):
        self.found.append((name, dict(attributes)))

    def handle_data(self, text):
        self.words.append(text)

    def handle_endtag(self, name):
        self.words.append(" " if name == "div" else "")

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def test_a_notebook_shows_at_once_that_something_begins(output, page):
    with page:
        assert Elements(output.html).text == "Starting 0.0 s"


def test_a_notebook_shows_role_and_task_and_the_time_gone(output, page, clock):
    page.step(Step("task", "mrtrix3", "Unpack"))
    clock.sleep(75)
    page.look()
    assert "<b>mrtrix3</b> Unpack" in output.html
    assert Elements(output.html).text == "mrtrix3 Unpack 1 min 15 s"
    assert output.text == "mrtrix3: Unpack - 1 min 15 s"


def test_a_notebook_shows_how_far_a_long_task_is_with_a_bar_and_when_it_ends(output, page, clock):
    compile_(page, clock, total=400, seconds=2.8, upto=145)
    page.look()
    assert Elements(output.html).text == "mrtrix3 Compile 6 min 46 s 145/400 steps, about 12 min left"
    (bar, filled) = [attributes for name, attributes in Elements(output.html).found if "height" in str(attributes)]
    assert (bar["role"], bar["aria-valuenow"]) == ("progressbar", "36.2")
    assert "width:36.2%" in filled["style"]


def test_a_notebook_has_no_bar_where_nobody_knows_how_much_there_is(output, page):
    page.step(Step("task", "mrtrix3", "Fetch"))
    page.step(Step("work", "mrtrix3", "Fetch", number=3_000_000, unit="bytes"))
    page.look()
    assert Elements(output.html).text == "mrtrix3 Fetch 0.0 s 3.0 MB"
    assert "progressbar" not in output.html


def test_a_notebook_keeps_what_changed_or_failed_late_above_what_runs(output, page, clock):
    run(page, clock, 14, role="deps", task="Install", changed=True)
    run(page, clock, 0.2, task="Look")
    run(page, clock, 9, task="Fetch", failed=True)
    page.step(Step("task", "mrtrix3", "Compile"))
    page.look()
    assert output.text.splitlines() == [
        "✓ deps: Install - changed in 14 s", "✗ mrtrix3: Fetch - failed after 9.0 s", "mrtrix3: Compile - 0.0 s",
    ]  # fmt: skip
    text = "✓ deps Install changed in 14 s ✗ mrtrix3 Fetch failed after 9.0 s mrtrix3 Compile 0.0 s"
    assert Elements(output.html).text == text


def test_a_notebook_does_not_jump_between_two_tasks(output, page, clock):
    run(page, clock, 0.2, task="Look")
    page.look()
    assert Elements(output.html).text == "mrtrix3 Look 0.2 s"
    page.step(Step("task", "mrtrix3", "Unpack"))
    page.look()
    assert Elements(output.html).text == "mrtrix3 Unpack 0.0 s"


def test_a_notebook_does_not_grow_without_end(output, page, clock):
    for number in range(30):
        run(page, clock, 1, task=f"Task {number}", changed=True)
    page.look()
    lines = output.text.splitlines()
    assert lines[:2] == ["22 more before", "✓ mrtrix3: Task 22 - changed in 1.0 s"] and len(lines) == 10


def test_a_notebook_shows_each_host(output, page):
    page.step(Step("task", "mrtrix3", "Unpack"))
    page.step(Step("done", "mrtrix3", "Unpack", "node1", changed=True))
    page.look()
    assert output.text == "✓ mrtrix3: Unpack on node1 - changed in 0.0 s\nmrtrix3: Unpack - 0.0 s, done on 1 host"


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "'><img src=x>", "a\x1b[31mb\r\nc"])
def test_nothing_that_a_machine_says_becomes_markup_in_a_notebook(output, page, clock, evil):
    def shown():
        page.look()
        return Elements(output.html)

    page.step(Step("work", evil, evil, evil, number=1, total=2, unit=evil))
    seen = [shown()]
    page.step(Step("done", evil, evil, evil, changed=True))
    seen.append(shown())
    page.end(evil)
    seen.append(Elements(output.html))
    for elements in seen:
        assert {name for name, _ in elements.found} <= {"div", "span", "b"}
        assert {name for _, attributes in elements.found for name in attributes} <= {"style", "role", "aria-valuenow"}
        assert "".join(letter if letter.isprintable() else " " for letter in evil).split()[0] in elements.text
    assert all(line.isprintable() for _, text in output for line in text.splitlines())


def test_a_notebook_ends_with_the_closing_lines_alone(output, page, clock):
    with page:
        run(page, clock, 14, changed=True)
        page.end("sshd ready\n    from here  ssh root@127.0.0.1")
    assert output.text == "sshd ready\n    from here  ssh root@127.0.0.1"
    assert Elements(output.html).text == "sshd ready from here ssh root@127.0.0.1"
    assert "monospace" not in output.html.partition("</div>")[0]


def test_a_notebook_is_left_with_what_was_done_when_a_run_fails(output, page, clock):
    with pytest.raises(RuntimeError), page:
        run(page, clock, 14, changed=True)
        page.step(Step("task", "mrtrix3", "Compile"))
        raise RuntimeError
    assert output.text == "✓ mrtrix3: Unpack - changed in 14 s"


def test_a_notebook_draws_by_itself_but_not_more_often_than_people_can_see(output):
    with NotebookProgress(output) as page:
        begin = time.monotonic()
        for number in range(3000):
            page.step(Step("work", "mrtrix3", "Compile", number=number, total=3000, unit="steps"))
            time.sleep(0.0002)
        seconds = time.monotonic() - begin
    assert 2 <= len(output) <= 3 + seconds / progress.SHORTEST_PAUSE_SECONDS


def test_the_time_goes_on_in_a_notebook_while_nothing_happens(output):
    with NotebookProgress(output) as page:
        page.step(Step("task", "mrtrix3", "Compile"))
        end = time.monotonic() + 10
        while not re.search(r"Compile [1-9]", Elements(output.html).text):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_nothing_comes_from_a_notebooks_display_after_its_end(output, monkeypatch):
    monkeypatch.setattr(progress, "LOOK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(progress, "SHORTEST_PAUSE_SECONDS", 0.01)
    with NotebookProgress(output) as page:
        page.step(Step("task", "mrtrix3", "Compile"))
        page.end("ready")
    shown = len(output)
    time.sleep(0.1)
    page.step(Step("task", "mrtrix3", "Late"))
    time.sleep(0.1)
    assert (len(output), output.text) == (shown, "ready")
    assert "provision-progress" not in {thread.name for thread in threading.enumerate()}


# Estimates


def left(shown):
    return shown._tasks.running[0].amount.partition(", ")[2]


def test_no_time_left_is_told_before_a_twentieth_is_done(plain, clock):
    compile_(plain, clock, total=400, seconds=10, upto=20)
    assert left(plain) == ""
    compile_(plain, clock, total=400, seconds=10, upto=21)
    assert left(plain) == "about 1 h 10 min left"


def test_no_time_left_is_told_before_10_seconds(plain, clock):
    compile_(plain, clock, total=10, seconds=2, upto=5)
    assert left(plain) == ""
    compile_(plain, clock, total=10, seconds=2, upto=6)
    assert left(plain) == "about 10 s left"


def test_a_build_that_goes_on_where_it_stopped_is_not_taken_for_a_quick_one(plain, clock):
    plain.step(Step("task", "mrtrix3", "Compile"))
    for number in range(300, 350):
        plain.step(Step("work", "mrtrix3", "Compile", number=number, total=400, unit="steps"))
        clock.sleep(6)
    assert left(plain) == "about 5 min left"


def test_the_time_left_runs_down_with_the_clock_between_two_steps(plain, clock):
    compile_(plain, clock, total=100, seconds=10, upto=50)
    assert left(plain) == "about 9 min left"
    clock.sleep(120)
    assert left(plain) == "about 7 min left"
    clock.sleep(1000)
    assert left(plain) == "almost done"


def test_the_time_left_hardly_rises_while_steps_are_uneven(plain, clock):
    plain.step(Step("task", "mrtrix3", "Compile"))
    estimate, told = plain._tasks.running[0]._estimate, []
    for number in range(400):
        clock.sleep(20 if number % 10 == 0 else 1)
        plain.step(Step("work", "mrtrix3", "Compile", number=number, total=400, unit="steps"))
        told.append(estimate.left(clock.now))
    told = [seconds for seconds in told if seconds is not None]
    assert max(after - before for before, after in itertools.pairwise(told)) < 0.05 * told[0]
    assert told[0] == pytest.approx(380 * 2.9, rel=0.2)
    assert told[-1] < 60


def test_the_time_left_follows_when_the_work_slows_down(plain, clock):
    compile_(plain, clock, total=400, seconds=1, upto=100)
    for number in range(101, 201):
        clock.sleep(5)
        plain.step(Step("work", "mrtrix3", "Compile", number=number, total=400, unit="steps"))
    assert left(plain) in ("about 9 min left", "about 10 min left")


# Which of them


def test_a_pipe_gets_plain_text():
    assert isinstance(progress.progress(io.StringIO()), PlainProgress)


def test_a_terminal_gets_the_live_display(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(progress.progress(Terminal()), TerminalProgress)


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_text(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.progress(Terminal()), PlainProgress)


def test_a_terminal_without_unicode_gets_plain_text(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Terminal, "encoding", "iso-8859-1")
    assert isinstance(progress.progress(Terminal()), PlainProgress)


def test_a_notebook_gets_the_display_below_its_cell(monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    assert isinstance(progress.progress(), NotebookProgress)
    assert isinstance(progress.progress(io.StringIO()), PlainProgress)


def test_progress_goes_to_standard_error(capsys):
    progress.progress().end("ready")
    assert capsys.readouterr() == ("", "ready\n")
