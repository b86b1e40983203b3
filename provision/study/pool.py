"""Worker processes, on this machine or on others over SSH, that run one step at a time each."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.engine import events, host_keys
from provision.errors import ProvisionError

WORKER = Path(__file__).with_name("worker.py")

# A host that has gone is noticed after a minute.
_KEEP_ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "-o", "ConnectTimeout=15")
_GRACE = 15.0  # seconds in which workers end their commands and delete their scratch folders
_HELLO = 120.0  # seconds in which a worker answers for the first time: a login may be slow, or hang
LAST = 15.0
"""Seconds in which hosts do what is left at the end."""

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
    login : tuple of str
        What a person types after `ssh` to log in there; empty for this machine.
    """

    name: str
    argv: tuple[str, ...]
    cores: int = 1
    memory: int = 0
    own: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    login: tuple[str, ...] = ()

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
    plain = ("-T", "-o", "BatchMode=yes", "-o", "RemoteCommand=none")  # whatever ~/.ssh/config asks for
    argv = ("ssh", *plain, *_KEEP_ALIVE, *options, f"exec sh -lc {shlex.quote(script)}")
    return Host(name, argv, own=False, login=tuple(options))


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

    def greet(self, seconds: float | None = None) -> None:
        """Wait until it has started, and learn what its host has."""
        hello, host = self.wait(seconds).get("hello", {}), self.host
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

    def wait(self, seconds: float | None = None) -> Answer:
        """Wait for its answer; raise an error if it has gone, or says nothing for so many seconds."""
        answer = None
        with selectors.DefaultSelector() as selector:
            selector.register(self.stream, selectors.EVENT_READ)
            while answer is None:
                if b"\n" not in self._buffer and not selector.select(seconds):
                    self.kill()
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
        """Return why there is no worker."""
        said, name = self._last_words(), self.host.name
        last = said.splitlines()[-1].rstrip(".") if said else ""
        if "Host key verification failed" in last:
            message, hint, code = events.unreachable(name, last, said)
            if code == "host-key-unknown":
                message, hint = host_keys.of_host(name, list(self.host.login))
            return ProvisionError(message, hint=hint, host=name, code=code)
        message = f"No worker could be started on {name or 'this machine'}{f': {last}' if last else ''}."
        hint = "See the log of the machine."
        if name:
            hint = "Check that `ssh` reaches it without a password, and that it has Python 3.9 or newer."
        return ProvisionError(message, hint=hint, host=name, code="no-worker")

    def _last_words(self) -> str:
        """Return what it, or ssh, has said of its end."""
        if not self._process.stderr:
            return ""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        os.set_blocking(self._process.stderr.fileno(), False)
        return (self._process.stderr.read() or b"").decode(errors="replace").strip()

    def release(self) -> None:
        """Let it end: nobody waits for its answer."""
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once; over SSH, what is on the other side ends by itself."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

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
        self._known: set[Host] = set()
        try:
            self._fill(list(hosts), jobs, nthreads, most)
        except BaseException:
            self.close()
            raise

    def _fill(self, hosts: list[Host], jobs: int | None, nthreads: int | None, most: int) -> None:
        """Start the workers: on all hosts at once, but one after the other on each, as an SSH server drops more."""
        started = 0
        while hosts:
            hosts = self._start(hosts)
            self._check_left()
            started += 1
            wanted = [1 if host.own else min(jobs or host.cores // (nthreads or 1), most) for host in hosts]
            hosts = [host for host, number in zip(hosts, wanted, strict=True) if number > started]

    def _start(self, hosts: Iterable[Host]) -> list[Host]:
        """Start a worker on each of some hosts; return those that answer."""
        new = []
        for host in hosts:
            new.append(Worker(host))
            self.workers.append(new[-1])
        for worker in new:
            try:
                worker.greet(_HELLO)
                self._selector.register(worker.stream, selectors.EVENT_READ, worker)
                self._known.add(worker.host)
            except ProvisionError as error:
                self._drop([worker], error)
        return [worker.host for worker in new if worker in self.workers]

    def _drop(self, workers: Sequence[Worker], error: ProvisionError) -> None:
        """Forget workers; if they were the last of their host, keep why."""
        for worker in workers:
            with suppress(KeyError):
                self._selector.unregister(worker.stream)
            self.workers.remove(worker)
            worker.kill()
            worker.release()
            worker.reap()
        host = workers[0].host
        if host not in self.hosts:
            self._refusals.append(error)
            name, why = host.name or "this machine", error.message.partition(": ")[2].rstrip(".")
            self.lost.append(f"{name} ({why or 'no answer'})")

    def _check_left(self) -> None:
        """Raise an error if no host that runs steps is left."""
        if self._refusals and all(worker.host.own for worker in self.workers):
            raise self._refusals[-1]

    def ask(self, **message: Any) -> list[tuple[Host, Answer]]:
        """Have something done on all hosts at once, and wait; a host that goes away meanwhile is left out."""
        asked = {host: next(worker for worker in self.workers if worker.host is host) for host in self.hosts}
        for worker in asked.values():
            worker.tell({"id": "", **message})
        found = []
        for host, worker in asked.items():
            try:
                found.append((host, worker.wait()))
            except ProvisionError as error:
                self._drop([each for each in self.workers if each.host is host], error)
        self._check_left()
        return found

    def start(self, worker: Worker, what: Any, message: dict[str, Any]) -> None:
        """Give a worker something to do."""
        worker.busy = what
        worker.tell(message)

    def wait(self, seconds: float | None = None) -> list[tuple[Any, Answer]]:
        """Wait for answers; return what was done with each. An empty answer is that of a worker that has gone."""
        found, gone = [], []
        for key, _ in self._selector.select(seconds):
            worker = key.data
            answer = worker.take()
            if answer is None:
                continue
            if worker.busy is not None:
                found.append((worker.busy, answer))
            worker.busy = None
            if not answer:
                gone.append(worker)
        self._replace(gone)
        return found

    def _replace(self, workers: Sequence[Worker]) -> None:
        """Start others in the place of workers that have gone, on the hosts that still answer."""
        for worker in workers:
            self._selector.unregister(worker.stream)
            self.workers.remove(worker)
            worker.release()
            worker.reap()
        left = [worker.host for worker in workers]
        while left:
            hosts = list(dict.fromkeys(left))
            for host in hosts:
                left.remove(host)
            answering = self._start(hosts)
            left = [host for host in left if host in answering]

    def close(self, **last: Any) -> None:
        """End all workers and what they run; then have something done on the other hosts that answer in time."""
        for worker in self.workers:
            worker.release()
        for worker in self.workers:
            worker.reap()
        self.workers = []
        self._selector.close()
        if last:
            self._finish({"id": "", **last})

    def _finish(self, message: dict[str, Any]) -> None:
        """Have something done by a new worker on each host that has had one, also if that was lost."""
        end = time.monotonic() + LAST
        for host in self._known:
            if host.name:
                self.workers.append(Worker(host))
                self.workers[-1].tell(message)
        for worker in self.workers:
            with suppress(ProvisionError):
                for _ in ("hello", "answer"):
                    worker.wait(max(0.0, end - time.monotonic()))
        self.close()
