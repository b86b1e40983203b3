"""Which task is due and which is next: what is done stays, what failed blocks what follows from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.study.plan import Task
from provision.study.records import CLAIM, Records
from provision.study.steps import OWN

_PATH = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
OWN_PATH = {"PYTHONPATH": os.pathsep.join(filter(None, _PATH))}
"""With which another Python process finds this package, wherever it is started."""

TRIES = 3
"""How often a task is started whose worker goes away."""

PATIENCE = 600.0
"""Seconds for which a worker waits for an output folder that is gone."""

# How much memory a step takes that has not been run yet: MRtrix3 holds an image as 32-bit numbers, more than once.
_BASE, _TIMES = 300 << 20, 3.0
_CHECK_EVERY = 10.0  # seconds
_MARGIN = 1.1  # of what a step has taken before


@dataclass(frozen=True)
class Settings:
    """How the tasks are run.

    Attributes
    ----------
    base, key : str
        Where scratch folders are, empty for a machine's folder for temporary files; and the name of the study's.
    nthreads : int or None
        How many threads each command uses; None to share the cores among the jobs.
    retry_failed : bool
        Whether what failed before is tried again.
    redo : frozenset of str
        The steps that are done again although their records hold.
    level : {"participant", "group"}
        Whether only what series have in common is computed.
    whole : bool
        Whether the series are all of the dataset; otherwise what they have in common is not computed.
    scrub : bool
        Whether names, dates of birth and paths are taken out of headers.
    """

    base: str
    key: str
    nthreads: int | None = None
    retry_failed: bool = False
    redo: frozenset[str] = frozenset()
    level: str = "participant"
    whole: bool = True
    scrub: bool = False


@dataclass
class Scheduler:
    """Runs tasks on a pool of workers.

    Attributes
    ----------
    out : pathlib.Path
        The output folder.
    tasks : list of Task
        Each after those that it waits for.
    settings : Settings
        How they are run.
    on_task : callable
        Called with each task whose state has changed.
    """

    out: Path
    tasks: list[Task]
    settings: Settings
    on_task: Callable[[Task], None] = lambda _: None
    records: Records = field(init=False)

    def __post_init__(self):
        self.records = Records(self.out)
        self._memory: dict[str, int] = {}
        self._seconds: dict[str, tuple[float, int]] = {}
        self._open = list(self.tasks)
        for task in self.tasks:
            task.record = self.records.read(task.record_path)
            self._learn(task.record, task.step.name)

    def settle(self) -> list[Task]:
        """Find out what is due: return the tasks that can be started."""
        while True:
            self._open = [task for task in self._open if not task.settled]
            ready, settled = [], False
            for task in self._open:
                if task.state == "running":
                    continue
                # What is due stays due: nothing that was looked at for that changes while it waits to be started.
                if not task.reason and (self._is_frozen(task) or all(one.settled for one in task.parents)):
                    self._judge(task)
                    settled = settled or task.settled
                if task.reason and not task.settled:
                    ready.append(task)
            if not settled:
                return ready

    def _is_frozen(self, task: Task) -> bool:
        """Return whether a group's step has been done, and is used as it is whatever its inputs are now."""
        done = task.series is None and task.record.get("state") == "done"
        return done and task.step.name not in self.settings.redo and not self._reason(task)

    def _reason(self, task: Task) -> str:
        """Return why a task is due by its record, an empty string if that holds."""
        frozen = task.series is None and task.record.get("state") == "done"
        return self.records.reason(task.record, task.step.definition, None if frozen else task.inputs)

    def _judge(self, task: Task) -> None:
        """Settle a task that need not be started; else note why it is due."""
        found = self._judge_group(task) if task.series is None else self._judge_own(task)
        if isinstance(found, str):
            task.reason = found
        else:
            self._settle(task, *found)

    def _judge_group(self, task: Task) -> str | tuple[str, str]:
        """Return why a group's step is due, or its state and why it is in it."""
        if self._is_frozen(task):
            return "kept", ""
        if late := [one.owner for one in task.parents if one.state == "waiting"]:
            return "waiting", f"these series have not got so far: {', '.join(dict.fromkeys(late))}"
        usable = {
            name: [(path, one) for path, one in zip(paths, task.sources[name], strict=True) if not one or one.good]
            for name, paths in task.inputs.items()
        }
        task.inputs = {name: [path for path, _ in pairs] for name, pairs in usable.items()}
        task.sources = {name: [one for _, one in pairs] for name, pairs in usable.items()}
        if not all(task.inputs.values()):
            return "blocked", "no series has got so far"
        if not self.settings.whole:
            return "waiting", "it is computed from all series, by the level group"
        if task.step.name in self.settings.redo:
            return "asked for"
        return self._reason(task) or self._again(task)

    def _judge_own(self, task: Task) -> str | tuple[str, str]:
        """Return why a step of a series is due, or its state and why it is in it."""
        if bad := next((one for one in task.parents if not one.good), None):
            return "waiting" if bad.state == "waiting" else "blocked", f"{bad.step.name} is missing"
        if task.lacks:
            return "failed", f"it has no {task.lacks}"
        due = next((one for one in task.parents if one.state == "due"), None)
        reason = f"it follows from {due.step.name}" if due else self._reason(task)
        if task.step.name in self.settings.redo:
            reason = "asked for"
        if not reason and task.record["state"] == "done":
            return "kept", ""
        if self.settings.level == "group":
            return "waiting", "it is a step of the level participant"
        return reason or self._again(task)

    def _again(self, task: Task) -> str | tuple[str, str]:
        """Return what is to be done with a task that has failed before."""
        return "it failed before" if self.settings.retry_failed else ("failed", task.record.get("error", ""))

    def _settle(self, task: Task, state: str, reason: str = "") -> None:
        task.state, task.reason = state, reason
        self.on_task(task)

    def foresee(self) -> None:
        """Find out what would be run: it gets the state ``"due"``."""
        self.records.writes = False  # another run may be at work
        while ready := self.settle():
            for task in ready:
                self._settle(task, "due", task.reason)

    def run(self, pool: Any, check: Callable[[], None] = lambda: None) -> None:
        """Run all tasks that are due; `check` is called now and then and may stop it with an error."""
        while True:
            check()
            ready = self.settle()
            self._start(pool, ready)
            if not pool.running():
                break
            for task, answer in pool.wait(_CHECK_EVERY):
                self._take(task, answer)
        if ready:
            names = f": {', '.join(dict.fromkeys(pool.lost))} went away" if pool.lost else ""
            message = f"No machine is left to work on{names}."
            raise ProvisionError(message, hint="Run the same command to resume.", code="no-worker")

    def _start(self, pool: Any, ready: Iterable[Task]) -> None:
        ready = list(ready)
        for task in ready:
            for worker in pool.free():
                if not worker.host.takes(task.step.here):
                    continue
                running = pool.running(worker.host)
                taken = sum(map(self.expected, running))
                # A step that no machine has room for gets one of its own.
                if not running or taken + self.expected(task) <= worker.host.memory:
                    self._launch(pool, worker, task)
                    break

    def _launch(self, pool: Any, worker: Any, task: Task) -> None:
        task.state = "running"
        task.tries += 1
        self.on_task(task)
        pool.start(worker, task, self._message(task, worker.host, self._threads(pool, worker.host)))

    def _threads(self, pool: Any, host: Any) -> int:
        if self.settings.nthreads:
            return self.settings.nthreads
        jobs = sum(worker.host is host for worker in pool.workers)
        at_once = len({task.owner for task in self._open})
        return max(1, host.cores // max(1, min(jobs, at_once)))

    def _message(self, task: Task, host: Any, threads: int) -> dict[str, Any]:
        """Return what a worker needs to know of a task."""
        series = task.series
        about = {
            "series": task.owner,
            "subject": series.subject if series else "",
            "session": series.session if series else "",
        }
        inputs = {name: [self.records.known(path) for path in paths] for name, paths in task.inputs.items()}
        environment = dict.fromkeys(
            ("MRTRIX_NTHREADS", "OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), str(threads)
        )
        commands: list[list[str]] = [list(command) for command in task.step.commands]
        if task.step.here:
            commands = [_started(command) for command in commands]
            environment |= OWN_PATH
        return {
            "call": "run", "id": f"{task.owner}/{task.step.name}", "out": str(self.out), "marker": CLAIM,
            "base": self.settings.base, "key": self.settings.key,
            "inputs": inputs, "outputs": task.outputs, "commands": commands,
            "names": [command[0] for command in task.step.commands], "threads": threads,
            "memory": max(1, host.memory // max(1, host.cores // threads) >> 20), "environment": environment,
            "scrub": self.settings.scrub, "patience": PATIENCE, "record_path": task.record_path,
            "record": {
                "step": task.step.name, **about, "definition": task.step.definition,
                "scrubbed": self.settings.scrub, "versions": host.versions,
                "log": f"logs/{task.owner}_{task.step.name}.log",
            },
        }  # fmt: skip

    def _take(self, task: Task, answer: Mapping[str, Any]) -> None:
        """Take in how a task ended."""
        if not answer:
            if task.tries < TRIES:
                task.state = ""
                return None
            return self._settle(task, "failed", f"its worker went away {TRIES} times")
        if answer["state"] == "full":
            hint = "Free some space, or choose another --scratch folder; then run the same command to resume."
            raise ProvisionError(f"{answer['error']}.", hint=hint, code="disk-full")
        if answer["state"] == "broken":
            raise ProvisionError(f"{answer['error']}.", hint="Choose another --scratch folder.", code="study-scratch")
        if answer["state"] == "unwritable":
            hint = "Make it writable for you; then run the same command to resume."
            raise ProvisionError(f"{answer['error']}.", hint=hint, code="study-folder")
        if answer["state"] == "gone":
            raise ProvisionError(
                f"{answer['error']}.", hint="When it is there again, run the same command to resume.", code="study-gone"
            )
        task.record = answer["record"]
        self.records.learn(task.record)
        self._learn(task.record, task.step.name)
        return self._settle(task, answer["state"], task.record.get("error", ""))

    def _learn(self, record: Mapping[str, Any], step: str) -> None:
        if record.get("state") == "done":
            self._memory[step] = max(self._memory.get(step, 0), record.get("memory", 0))
            seconds, times = self._seconds.get(step, (0.0, 0))
            self._seconds[step] = (seconds + record.get("seconds", 0.0), times + 1)

    def expected(self, task: Task) -> int:
        """Return how many bytes of memory a task is expected to take."""
        if found := self._memory.get(task.step.name):
            return int(found * _MARGIN)
        return int(_BASE + _TIMES * sum(self._volume(path) for paths in task.inputs.values() for path in paths))

    def _volume(self, path: str) -> int:
        """Return about how large a file is in memory."""
        try:
            size = os.stat(self.out / path).st_size  # noqa: PTH116
        except OSError:
            return 0
        return size * (4 if path.endswith(".gz") else 2)

    def seconds(self, step: str) -> float:
        """Return how many seconds a step is expected to take; 0 if that is not known."""
        seconds, times = self._seconds.get(step, (0.0, 1))
        return seconds / times


def _started(command: Sequence[str]) -> list[str]:
    """Return the words that start a command, which may be a module of this package."""
    return [sys.executable, "-m", OWN[command[0]], *command[1:]] if command[0] in OWN else list(command)
