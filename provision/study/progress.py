"""Progress of a study: a line for each series, and one for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from provision.engine.events import Step

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
        if all(each.settled for each in tasks):
            if any(each.state in ("done", "failed") for each in tasks):
                failed = next((each for each in tasks if each.state == "failed"), None)
                self._on_step(Step("done", task=task.owner, changed=True, failed=bool(failed)))
                if failed:
                    self._on_step(Step("done", note=f"{task.owner}: {failed.step.name} failed: {failed.reason}"))
        elif task.state == "running":
            self._work(task.owner, tasks, f"steps: {task.step.name}")
        assert self._scheduler
        self._work(_ALL, self._scheduler.tasks, "steps")

    def _work(self, title: str, tasks: list[Task], unit: str) -> None:
        assert self._scheduler
        weights = [self._scheduler.seconds(each) for each in tasks]
        share = sum(weight for weight, each in zip(weights, tasks, strict=True) if each.settled) / (sum(weights) or 1)
        number = sum(each.settled for each in tasks)
        self._on_step(Step("work", task=title, number=number, total=len(tasks), unit=unit, share=share))

    def end(self) -> None:
        """Take the line of all series away."""
        self._on_step(Step("done", task=_ALL, skipped=True))
