"""Showing how far a run is: a live display in a terminal and in a notebook, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, TextIO

from provision.display.output import Output, leave
from provision.engine.events import Step
from provision.notebook import in_notebook
from provision.words import format_bytes, format_seconds, printable

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table
    from rich.text import Text

# A task that takes this many seconds is worth a line even when it changes nothing.
LONG_TASK = 5.0

# Plain text tells of a long task again after this share of its work or this time, whichever comes first.
AGAIN_AFTER_SHARE = 0.1
AGAIN_AFTER_SECONDS = 30.0

# No time left is told before this share of the work is done and this time has passed: a guess from less is worthless.
ESTIMATE_AFTER_SHARE = 0.05
ESTIMATE_AFTER_SECONDS = 10.0
ESTIMATE_SMOOTHING_SECONDS = 30.0

# Widths in a terminal, in columns.
SHORTEST_TITLE = 12
SHORTEST_BAR = 4
LONGEST_BAR = 24

# How often plain text looks whether there is something to tell of.
LOOK_EVERY_SECONDS = 1.0

# A notebook's page is drawn anew when something has happened, but never sooner than this after the last time.
SHORTEST_PAUSE_SECONDS = 0.2

# As many lines of what is done does a notebook show while a run goes on.
LINES_OF_DONE = 8

Clock = Callable[[], float]


def progress(
    stream: TextIO | None = None, verbose: bool = False
) -> PlainProgress | TerminalProgress | NotebookProgress:
    """Return what shows a run's steps in the way that suits where they go.

    Parameters
    ----------
    stream : file object, optional
        Where to write. When not given, below the cell of a notebook, else standard error.
    verbose : bool, optional
        Whether to keep a line of quick tasks that changed nothing, too.

    Returns
    -------
    PlainProgress, TerminalProgress or NotebookProgress
        A context manager with ``step(step)`` and ``end(line)``.

    Examples
    --------
    >>> with progress() as shown:
    ...     shown.step(Step("task", role="mrtrix3", task="Compile"))
    """
    if stream is None and in_notebook():
        return NotebookProgress(Output(), verbose)
    stream = stream or sys.stderr
    if not _is_live_terminal(stream):
        return PlainProgress(stream, verbose)
    from rich.console import Console

    return TerminalProgress(Console(file=stream), verbose)


class PlainProgress:
    """Plain lines without control characters, for pipes, files and continuous integration.

    Parameters
    ----------
    stream : file object
        Where the lines go.
    verbose : bool, optional
        Whether to give a line to quick tasks that changed nothing, too.
    clock : callable, optional
        Gives the time in seconds.

    Examples
    --------
    >>> with PlainProgress(sys.stdout) as shown:
    ...     shown.step(Step("task", "mrtrix3", "Unpack"))
    ...     shown.step(Step("done", "mrtrix3", "Unpack", changed=True))
    mrtrix3: Unpack - changed in 0.0 s
    """

    def __init__(self, stream: TextIO, verbose: bool = False, clock: Clock = time.monotonic):
        self._stream, self._verbose, self._clock = stream, verbose, clock
        self._tasks = _Tasks(clock)
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __enter__(self) -> PlainProgress:
        self._ended.clear()
        threading.Thread(target=self._watch, name="provision-progress", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()

    def step(self, step: Step) -> None:
        """Tell of one step, if it is worth a line.

        Parameters
        ----------
        step : provision.engine.events.Step
            What has happened.
        """
        with self._lock:
            task = self._tasks.follow(step)
            if step.note:
                self._write(_note(step))
            elif step.kind == "done" and (self._verbose or _is_worth_a_line(step, task.elapsed)):
                self._write(f"{task.label} - {_outcome(step, task.elapsed)}")
            self.look()

    def look(self) -> None:
        """Tell of the long tasks that have not been told of lately."""
        with self._lock:
            for task in self._tasks.running:
                if task.is_due():
                    task.was_told()
                    self._write(f"{task.label} - {task.amount or 'still running'}")

    def end(self, line: str) -> None:
        """Write the closing line.

        Parameters
        ----------
        line : str
            What the run came to.
        """
        self._ended.set()
        self._write(line)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_SECONDS):
            self.look()

    def _write(self, line: str) -> None:
        # That nobody reads any more is no reason to stop a run halfway.
        with contextlib.suppress(OSError):
            self._stream.write(f"{printable(line)}\n")
            self._stream.flush()


class TerminalProgress:
    """A live display: a line for each task that is running, above them those that did something.

    Parameters
    ----------
    console : rich.console.Console
        Where to show it.
    verbose : bool, optional
        Whether to keep a line of quick tasks that changed nothing, too.
    clock : callable, optional
        Gives the time in seconds.

    Examples
    --------
    >>> from rich.console import Console
    >>> with TerminalProgress(Console(stderr=True)) as shown:
    ...     shown.step(Step("task", "mrtrix3", "Compile"))
    ...     shown.step(Step("work", "mrtrix3", "Compile", number=145, total=401, unit="steps"))
    """

    def __init__(self, console: Console, verbose: bool = False, clock: Clock = time.monotonic):
        from rich.live import Live
        from rich.spinner import Spinner

        self._console, self._verbose = console, verbose
        self._tasks = _Tasks(clock)
        self._spinner = Spinner("dots", style="cyan")
        # Standard output stays as it is: with --json it is another program's input.
        self._live = Live(
            console=console, get_renderable=self.__rich__, refresh_per_second=8, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> TerminalProgress:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def __rich__(self) -> Group:
        """Return the lines of the tasks that are running."""
        from rich.console import Group

        return Group(*(self._line(task) for task in self._tasks.running))

    def step(self, step: Step) -> None:
        """Show one step.

        Parameters
        ----------
        step : provision.engine.events.Step
            What has happened.
        """
        task = self._tasks.follow(step)
        if step.note:
            self._console.print(printable(_note(step)), style="yellow", markup=False, highlight=False, soft_wrap=True)
        elif step.kind == "done" and (self._verbose or _is_worth_a_line(step, task.elapsed)):
            self._print(_sign(step), _title(task), _outcome(step, task.elapsed))

    def end(self, line: str) -> None:
        """Take the display away and leave the closing line.

        Parameters
        ----------
        line : str
            What the run came to.
        """
        self._live.stop()
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _line(self, task: _Task) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Column, Table
        from rich.text import Text

        title, amount = _title(task), task.amount
        elapsed = Text(format_seconds(task.elapsed), style="dim")
        # What a narrow terminal has no room for is taken from the bar first, then from the title, then from the rest.
        for told in ([elapsed, Text(amount)], [Text(amount)], [Text(task.left or amount)]):
            room = self._room(title, *told)
            if room >= 0 or len(title) + room >= SHORTEST_TITLE:
                break
        title.truncate(max(SHORTEST_TITLE, len(title) + room), overflow="ellipsis")
        cells: list[RenderableType] = [self._spinner, title, *told]
        if task.total and room >= SHORTEST_BAR:
            width = min(room, LONGEST_BAR)
            bar = ProgressBar(task.total, task.number, width=width, complete_style="cyan", finished_style="cyan")
            cells.insert(-1, bar)
        line = Table.grid(*[Column(no_wrap=True) for _ in cells], padding=(0, 1, 0, 0))
        line.add_row(*cells)
        return line

    def _print(self, sign: Text, title: Text, outcome: str) -> None:
        from rich.text import Text

        title.truncate(max(SHORTEST_TITLE, len(title) + self._room(title, outcome)), overflow="ellipsis")
        self._console.print(Text(" ").join([sign, title, Text(outcome)]), no_wrap=True, overflow="ellipsis")

    def _room(self, *parts: str | Text) -> int:
        """Return how many columns are left in a line of a sign and these parts."""
        return self._console.width - sum(len(part) + 1 for part in (" ", *parts))


class NotebookProgress:
    """A live display below a notebook's cell: a line for each task that is running, above them what was done.

    It is plain HTML that is shown anew in its place, so that it needs no widgets. A thread of its own does that: a step
    costs the run next to nothing, and the time goes on between two steps.

    Parameters
    ----------
    output : provision.display.output.Output
        Where to show it.
    verbose : bool, optional
        Whether to keep a line of quick tasks that changed nothing, too.
    clock : callable, optional
        Gives the time in seconds.

    Examples
    --------
    >>> with NotebookProgress(Output()) as shown:  # doctest: +SKIP
    ...     shown.step(Step("task", "mrtrix3", "Compile"))
    ...     shown.step(Step("work", "mrtrix3", "Compile", number=145, total=401, unit="steps"))
    """

    def __init__(self, output: Output, verbose: bool = False, clock: Clock = time.monotonic):
        self._output, self._verbose = output, verbose
        self._tasks = _Tasks(clock)
        # What was last seen to run stays in sight until the next task starts: the page would jump otherwise.
        self._running = [_Task("", "Starting", "", clock)]
        self._done: list[_Line] = []
        self._notes: list[_Line] = []
        self._shown: list[_Line] | None = None
        self._lock = threading.RLock()
        self._news, self._ended = threading.Event(), threading.Event()
        self._painter: threading.Thread | None = None

    def __enter__(self) -> NotebookProgress:
        self.look()
        self._painter = threading.Thread(target=self._paint, name="provision-progress", daemon=True)
        self._painter.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._ended.is_set():
            self._stop()
            self._running = []
            self.look()

    def step(self, step: Step) -> None:
        """Show one step.

        Parameters
        ----------
        step : provision.engine.events.Step
            What has happened.
        """
        with self._lock:
            task = self._tasks.follow(step)
            self._running = self._tasks.running or self._running
            if step.note:
                self._notes.append(_Line.of_text(_note(step)))
            elif step.kind == "done" and (self._verbose or _is_worth_a_line(step, task.elapsed)):
                self._done.append(_Line.of_done(step, task))
        self._news.set()

    def look(self) -> None:
        """Show the page anew if it would be another."""
        with self._lock:
            lines = [*self._notes, *self._last_done(), *map(_Line.of_running, self._running)]
            if lines != self._shown:
                self._shown = lines
                self._output.show("".join(line.html for line in lines), "\n".join(line.text for line in lines))

    def end(self, line: str) -> None:
        """Leave the closing line in the place of the display.

        Parameters
        ----------
        line : str
            What the run came to; it may be several lines.
        """
        self._stop()
        lines = [_Line.of_text(part) for part in line.splitlines()]
        self._output.show("".join(part.html for part in lines), "\n".join(part.text for part in lines))
        leave(line, self._output)

    def _last_done(self) -> list[_Line]:
        hidden = len(self._done) - LINES_OF_DONE
        if hidden <= 1:  # one line says no less than that there is one
            return self._done
        return [_Line.of_text(f"{hidden} more before"), *self._done[-LINES_OF_DONE:]]

    def _paint(self) -> None:
        while not self._ended.is_set():
            self._news.wait(LOOK_EVERY_SECONDS - SHORTEST_PAUSE_SECONDS)
            self._news.clear()
            self.look()
            self._ended.wait(SHORTEST_PAUSE_SECONDS)

    def _stop(self) -> None:
        # When the cell has ended nothing may come from it any more.
        self._ended.set()
        self._news.set()
        if self._painter:
            self._painter.join()


@dataclass(frozen=True)
class _Line:
    """A line of a notebook's display, for pages and for what shows plain text only."""

    html: str
    text: str

    @classmethod
    def of_text(cls, text: str) -> _Line:
        text = printable(text)
        # What begins with spaces is set out in columns.
        style = "white-space:pre-wrap" + (";font-family:monospace" if text.startswith(" ") else "")
        return cls(f"<div style='{style}'>{escape(text)}</div>", text)

    @classmethod
    def of_done(cls, step: Step, task: _Task) -> _Line:
        letter, colour = ("✗", _RED) if step.failed else ("✓", _GREEN) if step.changed else ("·", "inherit")
        outcome = _outcome(step, task.elapsed)
        sign = f"<span style='color:{colour}'>{letter}</span>"
        return cls(_html_line(sign, _html_title(task), _dim(outcome)), f"{letter} {printable(task.label)} - {outcome}")

    @classmethod
    def of_running(cls, task: _Task) -> _Line:
        elapsed, amount = format_seconds(task.elapsed), printable(task.amount)
        bar = _html_bar(task.number / task.total) if task.total else ""
        text = f"{printable(task.label)} - {', '.join(filter(None, (elapsed, amount)))}"
        return cls(_html_line(_html_title(task), _dim(elapsed), bar, escape(amount)), text)


class _Tasks:
    """The tasks that are running, kept up to date by steps."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._running: dict[tuple[str, str, str], _Task] = {}

    @property
    def running(self) -> list[_Task]:
        """Return a copy, so that a display's own thread can go through it while a step comes in."""
        return list(self._running.values())

    def follow(self, step: Step) -> _Task:
        """Take a step in and return the task that it belongs to."""
        key = (step.role, step.task, "" if step.host == "localhost" else step.host)
        if step.kind == "task":
            return self._start(key)
        task = self._running.get(key) or self._on_one_host(key)
        if step.kind == "work":
            task.work(step)
            self._running[key] = task
        else:
            self._running.pop(key, None)
            everywhere = self._running.get((*key[:2], ""))
            if everywhere:
                everywhere.hosts_done += 1
        return task

    def _start(self, key: tuple[str, str, str]) -> _Task:
        # A task that names no host starts on all of them at once, after the one before has ended on all of them.
        if not key[2]:
            self._running.clear()
        task = self._running[key] = _Task(*key, clock=self._clock)
        return task

    def _on_one_host(self, key: tuple[str, str, str]) -> _Task:
        task = _Task(*key, clock=self._clock)
        everywhere = self._running.get((*key[:2], ""))
        if everywhere:
            task.started = everywhere.started
        return task


@dataclass
class _Task:
    role: str
    task: str
    host: str
    clock: Clock
    started: float = field(init=False)
    number: int = 0
    total: int = 0
    unit: str = ""
    hosts_done: int = 0
    told_at: float | None = None
    told_number: int = 0

    def __post_init__(self):
        self.started = self.clock()
        self._estimate = _Estimate()

    @property
    def label(self) -> str:
        title = f"{self.role}: {self.task}" if self.role else self.task
        return f"{title} on {self.host}" if self.host else title

    @property
    def elapsed(self) -> float:
        return self.clock() - self.started

    @property
    def amount(self) -> str:
        """Return how much is done and how long the rest may take, empty when the task does not tell."""
        if not self.unit:
            hosts = f"{self.hosts_done} host{'s' if self.hosts_done > 1 else ''}"
            return f"done on {hosts}" if self.hosts_done else ""
        return ", ".join(filter(None, (_amount(self.number, self.total, self.unit), self.left)))

    @property
    def left(self) -> str:
        """Return how long the rest may take, empty when it is too early to tell."""
        left = self._estimate.left(self.clock())
        return "" if left is None else _about(left)

    def work(self, step: Step) -> None:
        self.number, self.total, self.unit = step.number, step.total, step.unit
        self._estimate.update(self.clock(), step.number, step.total)

    def is_due(self) -> bool:
        """Return whether plain text should tell of this task now."""
        if self.elapsed < LONG_TASK or self.told_at is None:
            return self.elapsed >= LONG_TASK
        if self.number == self.told_number:
            return False
        share = (self.number - self.told_number) / self.total if self.total else 0.0
        return share >= AGAIN_AFTER_SHARE or self.clock() - self.told_at >= AGAIN_AFTER_SECONDS

    def was_told(self) -> None:
        self.told_at, self.told_number = self.clock(), self.number


class _Estimate:
    """When a long task will be done.

    The mean speed since the first number seen gives an end; the first number and not zero, because a build that was
    interrupted goes on where it stopped. That end, and not the speed, is what is smoothed, over
    ``ESTIMATE_SMOOTHING_SECONDS``: between two steps the time left just runs down with the clock, and a slow step moves
    it up gently instead of making it jump.
    """

    def __init__(self):
        self._first: tuple[float, int] | None = None
        self._end: float | None = None
        self._updated = 0.0

    def update(self, now: float, number: int, total: int) -> None:
        """Take in how much is done by now."""
        if self._first is None:
            self._first = (now, number)
        elapsed, done = now - self._first[0], number - self._first[1]
        if elapsed < ESTIMATE_AFTER_SECONDS or done <= 0 or done < ESTIMATE_AFTER_SHARE * (total - self._first[1]):
            return
        end = now + (total - number) * elapsed / done
        weight = 1 - math.exp((self._updated - now) / ESTIMATE_SMOOTHING_SECONDS)
        self._end = end if self._end is None else self._end + weight * (end - self._end)
        self._updated = now

    def left(self, now: float) -> float | None:
        """Return the seconds left, or None when it is too early to tell."""
        return None if self._end is None else max(0.0, self._end - now)


def _is_live_terminal(stream: TextIO) -> bool:
    """Return whether lines can be drawn anew there, and with more signs than ASCII has."""
    utf = (stream.encoding or "").lower().startswith("utf")
    return utf and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def _is_worth_a_line(step: Step, elapsed: float) -> bool:
    return step.changed or (elapsed >= LONG_TASK and not step.skipped)


def _note(step: Step) -> str:
    """Return what a task tells, with its host where that is another than this machine."""
    return step.note if step.host in ("", "localhost") else f"{step.host}: {step.note}"


def _outcome(step: Step, elapsed: float) -> str:
    if step.skipped:
        return "skipped"
    verb = "failed after" if step.failed else "changed in" if step.changed else "took"
    return f"{verb} {format_seconds(elapsed)}"


def _amount(number: int, total: int, unit: str) -> str:
    if unit == "bytes":
        return f"{format_bytes(number)} of {format_bytes(total)}" if total else format_bytes(number)
    return f"{number}/{total} {unit}" if total else f"{number} {unit}"


def _about(left: float) -> str:
    """Return a time left no finer than a guess can be: 10 s, from a minute on 1 min, from an hour on 10 min."""
    grain = 10 if left <= 60 else 60 if left <= 3600 else 600
    rounded = grain * math.ceil(left / grain)
    return f"about {format_seconds(rounded)} left" if rounded else "almost done"


def _title(task: _Task) -> Text:
    from rich.text import Text

    host = (f" on {task.host}", "dim") if task.host else ""
    return Text.assemble((task.role, "bold"), " " if task.role else "", printable(task.task), host)


def _sign(step: Step) -> Text:
    from rich.text import Text

    if step.failed:
        return Text("✗", style="red")
    return Text("✓", style="green") if step.changed else Text("·", style="dim")


# Their colours can be read on light and on dark pages, and all else has the page's own.
_GREEN, _RED, _BLUE = "#2e9e5b", "#d9534f", "#3b8ed0"
_ROUND = "height:.6em;border-radius:.3em"
_TROUGH = f"display:inline-block;width:12em;{_ROUND};overflow:hidden;background:rgba(128,128,128,.3)"


def _html_line(*parts: str) -> str:
    return f"<div>{' '.join(filter(None, parts))}</div>"


def _html_title(task: _Task) -> str:
    role = f"<b>{escape(printable(task.role))}</b> " if task.role else ""
    host = f" {_dim(f'on {printable(task.host)}')}" if task.host else ""
    return f"{role}{escape(printable(task.task))}{host}"


def _html_bar(share: float) -> str:
    percent = round(100 * min(1.0, share), 1)
    filled = f"<span style='display:block;height:100%;width:{percent}%;background:{_BLUE}'></span>"
    return f"<span role='progressbar' aria-valuenow='{percent}' style='{_TROUGH}'>{filled}</span>"


def _dim(text: str) -> str:
    return f"<span style='opacity:.7'>{escape(text)}</span>"
