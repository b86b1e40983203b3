"""What all progress displays share: which tasks run, how far they are, and which deserve a line when done."""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from time import monotonic
from typing import Self

from provision.engine.events import Step
from provision.words import format_bytes, format_left, format_seconds, printable

# The verbs that task names begin with, and those of them that double their last letter.
_VERBS = re.compile(
    "Add|Build|Check|Clone|Close|Compile|Configure|Copy|Create|Delete|Download|Fetch|Find|Get|Hold|Install|Keep|Make|Mark|"
    "Move|Open|Prepare|Read|Record|Remove|Report|Restore|Run|Save|Send|Set|Skip|Start|Stop|Test|Try|Undo|Unpack|Update|Use|"
    "Verify|Warn|Write"
)
_DOUBLED = ("Get", "Run", "Set", "Skip", "Stop")

# A task that takes this many seconds is worth a line even if it changes nothing.
LONG_TASK = 5.0

# How often a display checks whether time alone has changed what it shows.
LOOK_EVERY_SECONDS = 1.0

# The time left is shown once this share of the work is done and this time has passed: earlier guesses are worthless.
ESTIMATE_AFTER_SHARE = 0.05
ESTIMATE_AFTER_SHARE_OF_TIME = 0.02  # where it is known how long the units take
ESTIMATE_AFTER_SECONDS = 10.0
ESTIMATE_SMOOTHING_SECONDS = 30.0

# How fast it was longer ago counts for less and less: other programs on the machine come and go.
ESTIMATE_FORGETTING_SECONDS = 300.0


class Display:
    """A context manager that shows the steps of a run."""

    def __init__(self):
        self._tasks = Tasks()
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def step(self, step: Step) -> None:
        """Show a step."""
        with self._lock:
            task = self._tasks.follow(step)
            if step.note:
                here = step.host in ("", "localhost")
                self._say(printable(step.note if here else f"{step.host}: {step.note}"))
            elif step.kind == "done" and (step.changed or (task.elapsed >= LONG_TASK and not step.skipped)):
                self._done(task, step)

    def end(self, text: str) -> None:
        """Show the result of the run where nothing else does: in a terminal the command prints it."""

    def _start(self) -> None:
        """Start the display."""

    def _stop(self) -> None:
        """Stop the display."""

    def _say(self, text: str) -> None:
        """Show a note of a task."""

    def _done(self, task: Task, step: Step) -> None:
        """Show a finished task."""


class Tasks:
    """The running tasks, kept up to date by steps."""

    def __init__(self):
        self._running: dict[tuple[str, str, str], Task] = {}

    @property
    def running(self) -> list[Task]:
        """A copy, so that a display's own thread can go through it while steps arrive."""
        return list(self._running.values())

    def follow(self, step: Step) -> Task:
        """Take in a step, and return the task that it belongs to."""
        key = (step.role, step.task, "" if step.host == "localhost" else step.host)
        everywhere = self._running.get((*key[:2], "")) if key[2] else None
        if step.kind == "task":
            # A task that names no host starts on all of them at once, after the one before has ended on all of them.
            if not key[2]:
                self._running.clear()
            self._running.pop((*key[:2], ""), None)  # from the first host that is named on, each has its own line
            self._running[key] = task = Task(*key)
            return task
        task = self._running.get(key) or Task(*key, everywhere.started if everywhere else 0.0)
        if step.kind == "work":
            task.work(step)
            self._running[key] = task
        else:
            self._running.pop(key, None)
            if everywhere:
                everywhere.hosts_done += 1
        return task


@dataclass(eq=False)
class Task:
    """A running task; its texts are safe to print in a terminal."""

    role: str
    task: str
    host: str
    started: float = 0.0
    number: int = 0
    total: int = 0
    unit: str = ""
    hosts_done: int = 0

    def __post_init__(self):
        self.role, self.task, self.host = map(printable, (self.role, self.task, self.host))
        self.started, self._estimate = self.started or monotonic(), Estimate()

    @property
    def label(self) -> str:
        """The role and the name, and the host unless that is this machine."""
        return self._labelled(self.task)

    @property
    def running_label(self) -> str:
        """The same while the task is running: Checking what is installed."""
        return self._labelled(under_way(self.task))

    def _labelled(self, name: str) -> str:
        title = f"{self.role}: {name}" if self.role else name
        return f"{title} on {self.host}" if self.host else title

    @property
    def elapsed(self) -> float:
        """How many seconds it has been running."""
        return monotonic() - self.started

    @property
    def time(self) -> str:
        """The same in words."""
        return format_seconds(self.elapsed)

    @property
    def amount(self) -> str:
        """How much is done; empty if the task does not report it."""
        if not self.unit:
            hosts = f"{self.hosts_done} host{'s' if self.hosts_done > 1 else ''}"
            return f"done on {hosts}" if self.hosts_done else ""
        if self.unit == "bytes":
            return format_bytes(self.number) + (f" of {format_bytes(self.total)}" if self.total else "")
        return f"{self.number}{f'/{self.total}' if self.total else ''} {self.unit}"

    @property
    def left(self) -> str:
        """A rough guess of how long the rest will take; empty if it is too early to say."""
        left = self._estimate.left
        return "" if left is None else format_left(left)

    @property
    def progress(self) -> str:
        """How much is done and how long the rest may take."""
        return ", ".join(filter(None, (self.amount, self.left)))

    def work(self, step: Step) -> None:
        """Take in how much is done by now."""
        self.number, self.total, self.unit = int(step.number), int(step.total), printable(step.unit)
        if step.share is None:
            self._estimate.update(self.number, self.total)
        else:
            self._estimate.update(step.share, 1.0, ESTIMATE_AFTER_SHARE_OF_TIME)

    def outcome(self, step: Step) -> str:
        """Return how the task ended, and after how long."""
        verb = "failed after" if step.failed else "changed in" if step.changed else "took"
        return f"{verb} {self.time if step.seconds is None else format_seconds(step.seconds)}"


def under_way(name: str) -> str:
    """Return the name of a task as it reads while the task is running: Fetch the archive, Fetching the archive."""
    verb, space, rest = name.partition(" ")
    if not _VERBS.fullmatch(verb):
        return name
    return f"{verb + verb[-1] if verb in _DOUBLED else verb.removesuffix('e')}ing{space}{rest}"


class Estimate:
    """An estimate of when a long task will be done."""

    # The mean speed of the last minutes gives an end. It is taken from the first number seen on, not from zero, because
    # a build that was interrupted resumes where it stopped. What is smoothed is that end: between two steps the time
    # left runs down with the clock, and a slow step moves it up gently. rich's estimate is shown from the second step
    # on, jumps with every slow one, and is there in one of the three displays alone.

    def __init__(self):
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._seconds = self._done = 0.0  # the last minutes, and what was done in them
        self._end: float | None = None
        self._updated = 0.0

    def update(self, number: float, total: float, least: float = ESTIMATE_AFTER_SHARE) -> None:
        """Take in how much is done by now."""
        now = monotonic()
        if self._first is None:
            self._first = self._last = (now, number)
        keep = math.exp((self._last[0] - now) / ESTIMATE_FORGETTING_SECONDS)
        self._seconds = keep * self._seconds + now - self._last[0]
        self._done = keep * self._done + number - self._last[1]
        self._last = (now, number)
        elapsed, done = now - self._first[0], number - self._first[1]
        if elapsed < ESTIMATE_AFTER_SECONDS or self._done <= 0 or done < least * (total - self._first[1]):
            return
        end = now + (total - number) * self._seconds / self._done
        weight = 1 - math.exp((self._updated - now) / ESTIMATE_SMOOTHING_SECONDS)
        self._end = end if self._end is None else self._end + weight * (end - self._end)
        self._updated = now

    @property
    def left(self) -> float | None:
        """The seconds left, or None if it is too early to say."""
        return None if self._end is None else max(0.0, self._end - monotonic())
