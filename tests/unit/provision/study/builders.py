"""A study of small files, and a pool that makes up what its steps write."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from provision.machine.reading import sha256_of
from provision.study.plan import Task, plan
from provision.study.pool import Host
from provision.study.records import Records
from provision.study.scheduler import Scheduler, Settings
from provision.study.series import Series
from provision.study.steps import Step


def step(name, inputs, outputs="", **other):
    """A step; its only output has its name unless others are given."""
    files = {output: f"{output}.txt" for output in (outputs or name).split()}
    rest = {"level": "participant", "data": "any", "commands": ((name,),), "roles": (), **other}
    return Step(name, inputs=tuple(inputs.split()), outputs=files, **rest)


RESPONSE = step("response", "dwi")
MEAN = step("mean", "response", level="group")
FOD = step("fod", "response mean")
STEPS = (RESPONSE, MEAN, FOD)


class Lab:
    """A dataset and its output folder."""

    def __init__(self, folder: Path):
        self.data, self.out = folder / "data", folder / "out"
        self.data.mkdir()
        self.series: list[Series] = []
        self.steps = STEPS

    def add(self, *subjects: str, shells=(0, 1000, 2000), **fields) -> None:
        """Add a series of each of these subjects."""
        for subject in subjects:
            image = self.data / f"sub-{subject}_dwi.nii.gz"
            image.write_text(f"image of {subject}")
            gradients = {"bval": self.data / "bval", "bvec": self.data / "bvec", **fields}
            self.series.append(Series(subject, "", f"sub-{subject}", image, shells=shells, **gradients))

    def image(self, subject: str) -> Path:
        return self.data / f"sub-{subject}_dwi.nii.gz"

    def scheduler(self, **settings) -> Scheduler:
        return Scheduler(self.out, plan(self.series, self.steps), Settings("", "key", **settings))

    def run(self, pool: Pool | None = None, **settings) -> list[Task]:
        """Run what is due."""
        scheduler = self.scheduler(**settings)
        scheduler.run(pool or Pool(self.out))
        return scheduler.tasks

    def ran(self, pool: Pool | None = None, **settings) -> list[str]:
        """Run what is due; return what that was."""
        pool = pool or Pool(self.out)
        self.run(pool, **settings)
        return pool.started


def states(tasks) -> dict[str, str]:
    return {f"{task.owner}/{task.step.name}": task.state for task in tasks}


class Pool:
    """Has the interface of `provision.study.pool.Pool`; each step writes the content of its inputs.

    `fails` holds errors by task, such as ``sub-01/fod``; `goes_away` how often the worker of a task goes away.
    """

    def __init__(self, out: Path, jobs=1, cores=1, memory=1 << 50, hosts=1):
        self._out = out
        found = [Host(str(number), (), cores, memory) for number in range(hosts)]
        self.workers = [SimpleNamespace(host=host, busy=None) for host in found for _ in range(jobs)]
        self.lost: list[str] = []
        self.fails: dict[str, str] = {}
        self.goes_away: Counter[str] = Counter()
        self.takes: dict[str, int] = {}
        self.started: list[str] = []
        self.messages: dict[str, dict] = {}
        self.ran_on: dict[str, str] = {}
        self.at_once: list[set[str]] = []
        self._queue: list = []

    def free(self):
        return [worker for worker in self.workers if worker.busy is None]

    def running(self, host=None):
        return [worker.busy for worker in self.workers if worker.busy is not None and host in (None, worker.host)]

    def start(self, worker, task, message):
        worker.busy = task
        self._queue.append((worker, task, json.loads(json.dumps(message))))
        self.started.append(message["id"])
        self.messages[message["id"]] = message
        self.ran_on[message["id"]] = worker.host.name
        self.at_once.append({message["id"] for _, _, message in self._queue})

    def wait(self, seconds=None):
        """Let the step that was started first end."""
        worker, task, message = self._queue.pop(0)
        worker.busy = None
        if self.goes_away[message["id"]] > 0:
            self.goes_away[message["id"]] -= 1
            return [(task, {})]
        return [(task, self._done(message))]

    def _done(self, message):
        inputs = {name: [self._described(file["path"]) for file in files] for name, files in message["inputs"].items()}
        record = {**message["record"], "inputs": inputs, "seconds": 2.0, "memory": self.takes.get(message["id"], 1)}
        if error := self.fails.get(message["id"]):
            record |= {"state": "failed", "outputs": {}, "error": error, "command": "fail"}
        else:
            text = "".join(Path(self._out, file["path"]).read_text() for files in inputs.values() for file in files)
            for path in message["outputs"].values():
                write(self._out / path, text)
            outputs = {name: [self._described(path)] for name, path in message["outputs"].items()}
            record |= {"state": "done", "outputs": outputs}
        write(self._out / message["record_path"], json.dumps(record))
        return {"state": record["state"], "record": record}

    def _described(self, path):
        return {**Records(self._out).known(path), "sha256": sha256_of(str(self._out / path))}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
