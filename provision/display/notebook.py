"""Progress below a notebook cell: plain HTML that is updated in place, so that no widgets are needed."""

from __future__ import annotations

import threading
from typing import NamedTuple

from provision.display.output import Output, leave
from provision.display.tables import escaped, span
from provision.display.tasks import LOOK_EVERY_SECONDS, Display, Task
from provision.engine.events import Step
from provision.words import printable

# The page is redrawn when something has happened, but never sooner than this after the last time.
SHORTEST_PAUSE_SECONDS = 0.2

# How many lines about finished tasks, and about running ones, are shown during a run.
LINES_OF_DONE = 8
LINES_OF_RUNNING = 16


class NotebookProgress(Display):
    """A line for each running task, above them finished ones, and at the end the result.

    It is drawn in a thread of its own, so that steps cost the run next to nothing and the clock ticks between them.
    """

    def __init__(self, output: Output):
        super().__init__()
        self._output = output
        # The last running task stays visible until the next one starts: otherwise the page would jump.
        self._running = [Task("", "Starting", "")]
        self._notes: list[_Line] = []
        self._lines_done: list[_Line] = []
        self._shown: list[_Line] = []
        self._news, self._ended = threading.Event(), threading.Event()
        self._painter = threading.Thread(target=self._paint, name="provision-progress", daemon=True)

    def step(self, step: Step) -> None:
        """Show one step."""
        with self._lock:
            super().step(step)
            self._running = self._tasks.running or self._running
        self._news.set()

    def look(self) -> None:
        """Update the page if it has changed."""
        with self._lock:
            self._show([*self._notes, *self._last_done(), *self._first_running()])

    def end(self, text: str) -> None:
        """Replace the display by the result."""
        self._halt()
        self._show([_line_of(line) for line in text.splitlines()])
        leave(text, self._output)

    def _start(self) -> None:
        self.look()
        self._painter.start()

    def _paint(self) -> None:
        while not self._ended.is_set():
            self._news.wait(LOOK_EVERY_SECONDS - SHORTEST_PAUSE_SECONDS)
            self._news.clear()
            self.look()
            self._ended.wait(SHORTEST_PAUSE_SECONDS)

    def _stop(self) -> None:
        if not self._ended.is_set():
            self._halt()
            self._running = []
            self.look()

    def _halt(self) -> None:
        # When the cell has ended nothing may come from it any more.
        self._ended.set()
        self._news.set()
        if self._painter.is_alive():
            self._painter.join()

    def _say(self, text: str) -> None:
        self._notes.append(_line_of(text))

    def _done(self, task: Task, step: Step) -> None:
        letter, style = ("✗", "bad") if step.failed else ("✓", "good") if step.changed else ("·", "dim")
        outcome = task.outcome(step)
        html = _html_line(span(letter, style), escaped(task.label), span(outcome, "dim"))
        self._lines_done.append(_Line(html, f"{letter} {task.label} - {outcome}"))

    def _last_done(self) -> list[_Line]:
        hidden = len(self._lines_done) - LINES_OF_DONE
        if hidden <= 1:  # the line itself takes no more room
            return self._lines_done
        return [_line_of(f"{hidden} earlier steps"), *self._lines_done[-LINES_OF_DONE:]]

    def _first_running(self) -> list[_Line]:
        more = len(self._running) - LINES_OF_RUNNING
        lines = [_line_of_running(task) for task in self._running[:LINES_OF_RUNNING]]
        return [*lines, _line_of(f"and on {more} more")] if more > 0 else lines

    def _show(self, lines: list[_Line]) -> None:
        if lines != self._shown:
            self._shown = lines
            self._output.show("".join(line.html for line in lines), "\n".join(line.text for line in lines))


class _Line(NamedTuple):
    """A line as HTML and as plain text."""

    html: str
    text: str


def _line_of(text: str) -> _Line:
    # What has more than one space between words is set out in columns.
    style = "white-space:pre-wrap" + (";font-family:monospace" if "  " in text else "")
    return _Line(f"<div style='{style}'>{escaped(text)}</div>", printable(text))


def _line_of_running(task: Task) -> _Line:
    bar = f"<progress value='{task.number}' max='{task.total}'></progress>" if task.total else ""
    label = task.running_label
    html = _html_line(escaped(label), span(task.time, "dim"), bar, escaped(task.progress))
    return _Line(html, f"{label} - {', '.join(filter(None, (task.time, task.progress)))}")


def _html_line(*parts: str) -> str:
    return f"<div>{' '.join(filter(None, parts))}</div>"
