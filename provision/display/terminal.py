"""Progress in a terminal: a live line for each running task, below finished ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, SpinnerColumn, TaskID
from rich.progress import Task as Row
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from provision.display.tasks import Display, Task
from provision.engine.events import Step

# From these widths on a terminal has room for the amount beside the title, and for the time gone and a bar besides.
_WIDE, _WIDEST = 60, 80


class TerminalProgress(Display):
    """A live display that leaves a line for each task that changed something or took long."""

    def __init__(self, console: Console):
        super().__init__()
        self._console, self._lines = console, _Lines(console)
        self._rows: dict[Task, TaskID] = {}

    def step(self, step: Step) -> None:
        """Show one step."""
        with self._lock:
            super().step(step)
            running = self._tasks.running
            for task in self._rows.keys() - running:
                self._lines.remove_task(self._rows.pop(task))
            for task in running:
                if task not in self._rows:
                    self._rows[task] = self._lines.add_task("", total=None, task=task)

    def _start(self) -> None:
        self._lines.start()

    def _stop(self) -> None:
        self._lines.stop()

    def _say(self, text: str) -> None:
        self._console.print(Text(text, "yellow"), soft_wrap=True)

    def _done(self, task: Task, step: Step) -> None:
        sign = ("✗", "red") if step.failed else ("✓", "green") if step.changed else ("·", "dim")
        line = Table.grid(Column(no_wrap=True), Column(), Column(no_wrap=True), padding=(0, 1))
        line.add_row(Text(*sign), _title(task.label), task.outcome(step))
        self._console.print(line)


class _Lines(Progress):
    """A line for each task, with as many columns as the terminal has room for."""

    def __init__(self, console: Console):
        self._terminal, spinner = console, SpinnerColumn(style="cyan")
        title = _Column(lambda task: _title(task.running_label), cut=True)
        time, bar = _Column(lambda task: Text(task.time, "dim")), _Column(_bar, cut=True)
        self._columns: dict[int, tuple[ProgressColumn, ...]] = {
            _WIDEST: (spinner, title, time, bar, _Column(lambda task: Text(task.progress))),
            _WIDE: (spinner, title, _Column(lambda task: Text(task.progress or task.time))),
            0: (spinner, title, _Column(lambda task: Text(task.left or task.amount or task.time))),
        }
        # Standard output stays as it is: with --json it is another program's input.
        super().__init__(console=console, transient=True, redirect_stdout=False)

    def get_renderables(self) -> Iterable[RenderableType]:
        self.columns = next(columns for width, columns in self._columns.items() if self._terminal.width >= width)
        yield self.make_tasks_table(self.tasks)


class _Column(ProgressColumn):
    """A column that shows a function of a task; columns that may be cut share the room that the others leave."""

    def __init__(self, show: Callable[[Task], RenderableType], cut: bool = False):
        super().__init__(Column(no_wrap=not cut))
        self._show = show

    def render(self, row: Row) -> RenderableType:
        return self._show(row.fields["task"])


def _title(label: str) -> Text:
    return Text(label, no_wrap=True, overflow="ellipsis")


def _bar(task: Task) -> RenderableType:
    return ProgressBar(task.total, task.number, 24, complete_style="cyan", finished_style="cyan") if task.total else ""
