"""Worker processes, on this machine or on others over SSH, that run one step at a time each."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError

WORKER = Path(__file__).with_name("worker.py")

# A host that has gone is noticed after a minute.
_KEEP_ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "-o", "ConnectTimeout=15")
_GRACE = 15.0  # seconds in which workers end their commands and delete their scratch folders

Answer = dict[str, Any]


@dataclass(eq=False)
class Host:
    """A machine that runs steps.

    Attributes
    ----------
    name : str
        Its name; empty for this machine.
    argv : tuple of str
        The command that starts a worker there.
    cores : int
        How many cores it has.
    memory : int
        How many bytes of memory are free there.
    own : bool or None
        Whether it runs only the steps that need this package, or (None) all steps.
    versions : dict of str to str
        The versions of the programs.
    login : str
        What a person types to log in there; empty for this machine.
    """

    name: str
    argv: tuple[str, ...]
    cores: int = 1
    memory: int = 0
    own: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    login: str = ""

    def takes(self, here: bool) -> bool:
        """Return whether it runs a step that needs this package, or one that does not."""
        return self.own in (None, here)


def this_machine(own: bool | None = None) -> Host:
    """Return this machine as a host."""
    # Without the site's packages, which the worker does not need, it starts in half the time.
    return Host("", (sys.executable, "-S", "-E", str(WORKER)), own=own)


def by_ssh(name: str, options: Sequence[str], python: str = "python3") -> Host:
    """Return a host that is reached by SSH: the worker is sent along, and gets the environment of a login."""
    script = f"exec {shlex.quote(python)} -c {shlex.quote(WORKER.read_text('utf-8'))}"
    argv = ("ssh", "-o", "BatchMode=yes", *_KEEP_ALIVE, *options, f"exec sh -lc {shlex.quote(script)}")
    return Host(name, argv, own=False, login=shlex.join(["ssh", *options]))


class Worker:
    """A worker process; `busy` is what it is doing."""

    def __init__(self, host: Host):
        self.host, self._buffer = host, b""
        self.busy: Any = None
        self._process = subprocess.Popen(
            host.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            stderr=subprocess.PIPE if host.name else None,
        )  # fmt: skip
        assert self._process.stdout
        self.stream = self._process.stdout
        hello = self.wait().get("hello", {})
        host.cores, host.memory = hello.get("cores", 1), host.memory or hello.get("memory", 0)

    def tell(self, message: dict[str, Any]) -> None:
        """Give it something to do; if it is gone, whoever waits for the answer finds out."""
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.write((json.dumps(message) + "\n").encode())
            self._process.stdin.flush()

    def ask(self, **message: Any) -> Answer:
        """Give it something to do and wait for the answer."""
        self.tell({"id": "", **message})
        return self.wait()

    def wait(self) -> Answer:
        """Wait for its answer; raise an error if it has gone."""
        answer = None
        while answer is None:
            answer = self.take()
        if not answer:
            raise self._gone()
        return answer

    def take(self) -> Answer | None:
        """Read what has come: an answer, None if it is not complete, an empty one if the worker has gone."""
        if b"\n" not in self._buffer:
            more = os.read(self.stream.fileno(), 1 << 20)
            self._buffer += more
            if not more:
                return {}
        line, end, rest = self._buffer.partition(b"\n")
        if not end:
            return None
        self._buffer = rest
        with suppress(ValueError):
            return json.loads(line)
        return None  # what a login prints of its own

    def _gone(self) -> ProvisionError:
        where = self.host.name or "this machine"
        said = ""
        if self._process.stderr:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
            os.set_blocking(self._process.stderr.fileno(), False)
            said = (self._process.stderr.read() or b"").decode(errors="replace").strip()
        last = said.splitlines()[-1].rstrip(".") if said else ""
        hint = "See the log of the machine."
        if self.host.name:
            hint = "Check that `ssh` reaches it without a password, and that it has Python 3.9 or newer."
        if "Host key verification failed" in last:
            hint = f"Log in once with `{self.host.login}` and compare the fingerprint that it shows."
        message = f"No worker could be started on {where}{f': {last}' if last else ''}."
        return ProvisionError(message, hint=hint, host=self.host.name, code="no-worker")

    def release(self) -> None:
        """Let it end: nobody waits for its answer."""
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()

    def reap(self) -> None:
        """Wait until it has ended."""
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.stream.close()


class Workers:
    """What all kinds of workers have in common: each has a host, and `busy` is what it is doing, None for nothing."""

    def __init__(self) -> None:
        self.workers: list[Any] = []
        self.lost: list[str] = []

    @property
    def hosts(self) -> list[Host]:
        """The hosts that have workers."""
        return list(dict.fromkeys(worker.host for worker in self.workers))

    def free(self) -> list[Any]:
        """Return the workers that have nothing to do."""
        return [worker for worker in self.workers if worker.busy is None]

    def running(self, host: Host | None = None) -> list[Any]:
        """Return what the workers are doing."""
        return [worker.busy for worker in self.workers if worker.busy is not None and host in (None, worker.host)]


class Pool(Workers):
    """The workers of some hosts.

    Parameters
    ----------
    hosts : iterable of Host
        The machines.
    jobs, nthreads : int or None
        How many workers each has, and how many threads each of them uses (default: a worker for each core).
    most : int
        For how many workers there is work.
    """

    def __init__(self, hosts: Iterable[Host], jobs: int | None, nthreads: int | None, most: int):
        super().__init__()
        self._selector = selectors.DefaultSelector()
        self._refusals: list[ProvisionError] = []
        try:
            for host in hosts:
                self._fill(host, jobs, nthreads, most)
            if self._refusals and all(worker.host.own for worker in self.workers):
                raise self._refusals[-1]
        except BaseException:
            self.close()
            raise

    def _fill(self, host: Host, jobs: int | None, nthreads: int | None, most: int) -> None:
        """Start the workers of a host, unless it does not answer."""
        try:
            self._start(host)
        except ProvisionError as error:
            self._refusals.append(error)
            self.lost.append(f"{host.name} ({error.message.partition(': ')[2].rstrip('.') or 'no answer'})")
            return
        for _ in range(0 if host.own else min(jobs or max(1, host.cores // (nthreads or 1)), max(1, most)) - 1):
            self._start(host)

    def _start(self, host: Host) -> Worker:
        worker = Worker(host)
        self.workers.append(worker)
        self._selector.register(worker.stream, selectors.EVENT_READ, worker)
        return worker

    def ask(self, host: Host, **message: Any) -> Answer:
        """Have something done on a host, and wait for the answer."""
        return next(worker for worker in self.workers if worker.host is host).ask(**message)

    def start(self, worker: Worker, what: Any, message: dict[str, Any]) -> None:
        """Give a worker something to do."""
        worker.busy = what
        worker.tell(message)

    def wait(self, seconds: float | None = None) -> list[tuple[Any, Answer]]:
        """Wait for answers; return what was done with each. An empty answer is that of a worker that has gone."""
        found = []
        for key, _ in self._selector.select(seconds):
            worker = key.data
            answer = worker.take()
            if answer is None:
                continue
            if worker.busy is not None:
                found.append((worker.busy, answer))
            worker.busy = None
            if not answer:
                self._replace(worker)
        return found

    def _replace(self, worker: Worker) -> None:
        """Start another worker in the place of one that has gone, if its host still answers."""
        self._selector.unregister(worker.stream)
        self.workers.remove(worker)
        worker.release()
        worker.reap()
        try:
            self._start(worker.host)
        except ProvisionError:
            if worker.host not in self.hosts:
                self.lost.append(worker.host.name or "this machine")

    def close(self) -> None:
        """End all workers and what they run."""
        for worker in self.workers:
            worker.release()
        for worker in self.workers:
            worker.reap()
        self.workers = []
        self._selector.close()
