"""The workers of a Dask scheduler: each runs one step at a time in each of its threads."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from provision import extras
from provision.errors import ProvisionError
from provision.study.pool import LAST, WORKER, Answer, Host, Worker, Workers, this_machine

_CONNECT = 15.0  # seconds
_JOIN = 600.0  # seconds in which a first worker joins: a cluster may have to start one


def run(source: str, message: dict[str, Any]) -> dict[str, Any]:
    """Run a step in a process of its own, which ends with this one; it is sent to the workers as it is."""
    process = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    with process:
        process.stdin.write((json.dumps(message) + "\n").encode())
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline() or "{}") for _ in range(2)]
        process.stdin.close()
        return answers[1]


@dataclass(eq=False)
class Slot:
    """A thread of a worker."""

    host: Host
    busy: Any = None


class DaskPool(Workers):
    """The workers of a scheduler, with the interface of `provision.study.pool.Pool`.

    Parameters
    ----------
    address : str
        The address of the scheduler.
    """

    def __init__(self, address: str):
        super().__init__()
        extras.require("study", "Dask executors", "distributed")
        import cloudpickle
        import distributed

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        try:
            self._client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
            self._client.wait_for_workers(1, timeout=_JOIN)
        except (OSError, TimeoutError) as error:
            hint = "Check the address, and that the scheduler has workers."
            raise ProvisionError(f"No worker answers at {address}.", hint=hint, code="no-worker") from error
        self._source = WORKER.read_text("utf-8")
        self._here = Worker(this_machine(own=True))
        self._here.greet()
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self.workers = [self._here]
        self._look()

    def _look(self) -> None:
        """Take in workers that have joined; forget those that have left and have nothing to do here."""
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        known = {slot.host.name for slot in self.workers}
        for address, about in found.items():
            if address not in known:
                cores = about["nthreads"]
                host = Host(address, (), cores, about["memory_limit"] or 1 << 60, own=False)
                self.workers += [Slot(host) for _ in range(cores)]
        gone = [slot for slot in self.workers if slot is not self._here and slot.host.name not in found]
        self.lost += [slot.host.name for slot in gone]
        self.workers = [slot for slot in self.workers if slot.busy is not None or slot not in gone]

    def ask(self, **message: Any) -> list[tuple[Host, Answer]]:
        """Have something done on all workers at once, and wait for the answers."""
        message = {"id": "", **message}
        asked = [(host, self._submit(host, message)) for host in self.hosts if host is not self._here.host]
        return [(self._here.host, self._here.ask(**message)), *((host, future.result()) for host, future in asked)]

    def start(self, slot: Any, what: Any, message: dict[str, Any]) -> None:
        """Give a worker something to do; if it is lost, another one does it."""
        slot.busy = what
        if slot is self._here:
            threading.Thread(target=lambda: self._done.put((slot, what, self._here.ask(**message)))).start()
            return
        future = self._submit(slot.host, message)
        future.add_done_callback(lambda done: self._done.put((slot, what, done)))

    def _submit(self, host: Host, message: dict[str, Any]) -> Any:
        return self._client.submit(
            run, self._source, message, workers=[host.name], allow_other_workers=True, pure=False
        )

    def wait(self, seconds: float | None = None) -> list[tuple[Any, Answer]]:
        """Wait for an answer; return what was done with it. An empty answer is that of workers that have gone."""
        found = []
        try:
            slot, what, future = self._done.get(timeout=seconds)
        except queue.Empty:
            pass
        else:
            slot.busy = None
            found.append((what, future if isinstance(future, dict) else _result(future)))
        self._look()
        return found

    def close(self, **last: Any) -> None:
        """Cancel what runs, have something done on all workers that answer in time, and leave the scheduler."""
        self._here.release()
        self._here.reap()
        if last:
            # Not as a task, which would wait for those that run.
            finish = threading.Thread(target=self._finish, args=({"id": "", **last},), daemon=True)
            finish.start()
            finish.join(LAST)
        self._client.close()

    def _finish(self, message: dict[str, Any]) -> None:
        with suppress(Exception):
            self._client.run(run, self._source, message, on_error="ignore")


def _result(future: Any) -> Answer:
    return future.result() if future.status == "finished" else {}
