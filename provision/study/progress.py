"""Progress of a study: a line for each series that is worked on, and one for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from provision.engine.events import Step
from provision.study.plan import by_owner
from provision.words import format_left

if TYPE_CHECKING:
    from provision.study.plan import Task
    from provision.study.scheduler import Scheduler

_ALL = "All series"


class Progress:
    """Turns tasks whose state has changed into steps for a display.

    Parameters
    ----------
    on_step : callable
        Takes `provision.engine.events.Step`.
    """

    def __init__(self, on_step: Callable[[Step], Any]):
        self._on_step = on_step

    def follow(self, scheduler: Scheduler) -> None:
        """Show the tasks of a scheduler from now on."""
        self._scheduler, self._of = scheduler, by_owner(scheduler.tasks)
        self._all = Counter(task.step.name for task in scheduler.tasks)
        self._settled: Counter[str] = Counter()
        scheduler.on_task = self._show

    def _show(self, task: Task) -> None:
        tasks = self._of[task.owner]
        if task.state == "failed":
            self._on_step(Step("done", note=f"{task.owner}: {task.step.name} failed: {task.reason}"))
        if all(each.settled for each in tasks):
            if any(each.tries for each in tasks):
                self._end(task.owner, tasks)
        elif task.state == "running":
            number, unit = sum(each.settled for each in tasks), f"steps: {task.step.name}{self._left(tasks)}"
            self._on_step(Step("work", task=task.owner, number=number, total=len(tasks), unit=unit, share=0.0))
        elif task.tries and not any(each.state == "running" for each in tasks):
            self._on_step(Step("done", task=task.owner, skipped=True))  # its next step has to wait
        self._settled[task.step.name] += task.settled
        self._show_all()

    def _show_all(self) -> None:
        """Show how far all series are."""
        number, total = self._settled.total(), self._all.total()
        if number == total:
            self._on_step(Step("done", task=_ALL, skipped=True))
            return
        weights = {name: self._scheduler.seconds(name) or 1.0 for name in self._all}
        done = sum(weights[name] * times for name, times in self._settled.items())
        share = done / sum(weights[name] * times for name, times in self._all.items())
        self._on_step(Step("work", task=_ALL, number=number, total=total, unit="steps", share=share))

    def _end(self, owner: str, tasks: list[Task]) -> None:
        failed = any(each.state == "failed" for each in tasks)
        seconds = sum(each.record.get("seconds", 0.0) for each in tasks if each.tries)
        self._on_step(Step("done", task=owner, changed=True, failed=failed, seconds=seconds))

    def _left(self, tasks: list[Task]) -> str:
        """Return about how long the rest of a series takes, if the same has been done for another one."""
        seconds = [self._scheduler.seconds(each.step.name) for each in tasks if not each.settled]
        return f", {format_left(sum(seconds))}" if all(seconds) else ""
