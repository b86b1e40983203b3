"""Progress of a study: a line for each series that is worked on, and one for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from provision.engine.events import Step
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
        self._on_step, self._scheduler = on_step, None

    _scheduler: Scheduler | None

    def follow(self, scheduler: Scheduler) -> None:
        """Show the tasks of a scheduler from now on."""
        self._scheduler = scheduler
        self._of = {
            owner: [task for task in scheduler.tasks if task.owner == owner]
            for owner in Counter(task.owner for task in scheduler.tasks)
        }
        scheduler.on_task = self._show

    def _show(self, task: Task) -> None:
        tasks = self._of[task.owner]
        if task.state == "failed":
            self._on_step(Step("done", note=f"{task.owner}: {task.step.name} failed: {task.reason}"))
        if all(each.settled for each in tasks):
            if any(each.tries for each in tasks):
                self._end(task.owner, tasks)
        elif task.state == "running":
            self._work(task.owner, tasks, f"steps: {task.step.name}{self._left(tasks)}")
        elif task.tries and not any(each.state == "running" for each in tasks):
            self._on_step(Step("done", task=task.owner, skipped=True))  # its next step has to wait
        assert self._scheduler
        if all(each.settled for each in self._scheduler.tasks):
            self._on_step(Step("done", task=_ALL, skipped=True))
            return
        weights = {each: self._scheduler.seconds(each) or 1.0 for each in self._scheduler.tasks}
        done = sum(weight for each, weight in weights.items() if each.settled)
        self._work(_ALL, self._scheduler.tasks, "steps", done / sum(weights.values()))

    def _end(self, owner: str, tasks: list[Task]) -> None:
        failed = any(each.state == "failed" for each in tasks)
        seconds = sum(each.record.get("seconds", 0.0) for each in tasks if each.tries)
        self._on_step(Step("done", task=owner, changed=True, failed=failed, seconds=seconds))

    def _left(self, tasks: list[Task]) -> str:
        """Return about how long the rest of a series takes, if the same has been done for another one."""
        assert self._scheduler
        seconds = [self._scheduler.seconds(each) for each in tasks if not each.settled]
        return f", {format_left(sum(seconds))}" if all(seconds) else ""

    def _work(self, title: str, tasks: list[Task], unit: str, share: float = 0.0) -> None:
        number = sum(each.settled for each in tasks)
        self._on_step(Step("work", task=title, number=number, total=len(tasks), unit=unit, share=share))
