"""Progress as plain lines without control characters, for pipes, files and continuous integration."""

from __future__ import annotations

import contextlib
import threading
from typing import TextIO

from provision.display.tasks import LONG_TASK, LOOK_EVERY_SECONDS, Display, Task
from provision.engine.events import Step

# A long task gets another line after this share of its work or this time, whichever comes first.
AGAIN_AFTER_SHARE = 0.1
AGAIN_AFTER_SECONDS = 30.0


class PlainProgress(Display):
    """A line for each task that changed something or took long, and now and then one for a long one that is running."""

    def __init__(self, stream: TextIO):
        super().__init__()
        self._stream = stream
        self._shown: dict[Task, tuple[float, int]] = {}
        self._ended = threading.Event()

    def step(self, step: Step) -> None:
        """Show one step, if it is worth a line."""
        with self._lock:
            super().step(step)
            self.look()

    def look(self) -> None:
        """Show long tasks that have not had a line for a while."""
        with self._lock:
            for task in self._tasks.running:
                if self._is_due(task):
                    self._shown[task] = task.elapsed, task.number
                    self._say(f"{task.running_label} - {task.progress or 'still running'}")

    def _is_due(self, task: Task) -> bool:
        if task not in self._shown:
            return task.elapsed >= LONG_TASK
        elapsed, number = self._shown[task]
        done = task.number - number
        share = done / task.total if task.total else 0.0
        return done != 0 and (share >= AGAIN_AFTER_SHARE or task.elapsed - elapsed >= AGAIN_AFTER_SECONDS)

    def _start(self) -> None:
        self._ended.clear()
        threading.Thread(target=self._watch, name="provision-progress", daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_SECONDS):
            self.look()

    def _stop(self) -> None:
        self._ended.set()

    def _done(self, task: Task, step: Step) -> None:
        self._say(f"{task.label} - {task.outcome(step)}")

    def _say(self, text: str) -> None:
        # A reader that has gone must not stop a run halfway.
        with contextlib.suppress(OSError):
            self._stream.write(f"{text}\n")
            self._stream.flush()
