"""One run of a playbook through ansible-runner; nothing leaks from it and nothing outlives it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from provision import notebook, paths
from provision.engine import events, host_keys, launch, lock, logbook
from provision.engine.hung import Hung
from provision.engine.inventory import Inventory
from provision.engine.inventory import hosts as inventory_hosts
from provision.errors import OptionError, ProvisionError
from provision.machine import failures, interrupts
from provision.words import as_keywords

# How long a run may take to stop before it is killed.
_GRACE_SECONDS = 10.0
# How long its children may continue after that: a package manager ignores signals while it unpacks and sets up.
_REST_SECONDS = 120.0
# How much of a host's progress is read, in bytes.
_LARGEST_PROGRESS = 4096


# Playbooks that change nothing.
_LOOKS = ("status.yml",)


@dataclass
class Outcome:
    """The outcome of a run."""

    changed: int  # tasks that changed something, over all hosts
    seconds: float
    hosts: dict  # what the roles reported, {host: {role: {...}}}
    log: Path | None  # all that Ansible said, secrets taken out; None where it could not be written
    notes: tuple[str, ...] = ()  # what went less well than it could, though nothing failed
    wanted: dict = field(default_factory=dict)  # what each role wanted, as the play's own look was asked for it
    # Of an inventory: {host: {"changed": tasks, "seconds": until done, "failed": whether it failed}}.
    per_host: dict = field(default_factory=dict)


@dataclass
class _Seen:
    """What is known from the events of a run so far."""

    pid: int = 0
    stats: dict = field(default_factory=dict)
    wanted: dict = field(default_factory=dict)
    failures: list[events.Failure] = field(default_factory=list)
    begin: float = field(default_factory=time.monotonic)
    last: dict[str, float] = field(default_factory=dict)  # after how many seconds the last task of each host ended
    error: BaseException | None = None


class _Stop:
    """Stops a run once a signal has arrived: gently at first, by force after the grace period."""

    def __init__(self, seen: _Seen):
        self.seen = seen
        self.signal = 0
        self.count = 0
        self._since = 0.0
        self._asked = False

    def __call__(self, number: int, _frame: object = None) -> None:
        self.signal = self.signal or number
        self.count += 1

    def give_up(self) -> None:
        """Interrupt ansible-playbook directly; ansible-runner no longer waits for it."""
        _kill([self.seen.pid] if self.seen.pid else [], signal.SIGINT)

    def overdue(self) -> bool:
        """Pass the signal on as soon as ansible-playbook runs; return whether the grace period is over."""
        if not self.signal:
            return False
        self._since = self._since or time.monotonic()
        # runner's own way of stopping kills ansible-playbook but not its workers: those have sessions of their own.
        if self.seen.pid and not self._asked:
            self._asked = True
            self.give_up()
        return time.monotonic() - self._since > _GRACE_SECONDS


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _rest(private: Path) -> dict[int, str]:
    """Return the names of the processes that a run left behind, by pid; they carry its environment."""
    mark = f"ANSIBLE_LOCAL_TEMP={private / 'local'}".encode()
    found = {}
    for environment in Path("/proc").glob("[0-9]*/environ"):
        # Another user's, or one that has just ended.
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                found[int(environment.parent.name)] = environment.with_name("comm").read_text().strip()
    return found


def _end_rest(private: Path, stop: _Stop, tell: Callable[[str], None]) -> None:
    """Wait until everything that a stopped run started has ended; kill it on another signal, or after a while."""
    signals, end = stop.count, time.monotonic() + _REST_SECONDS
    announced = False
    if not stop.signal:  # ansible-playbook, which would have passed it on, has been killed
        _kill(_rest(private), signal.SIGINT)
    while rest := _rest(private):
        if not announced:
            names = ", ".join(sorted(set(rest.values())))
            tell(f"Waiting for {names} to finish; interrupt again to kill")
            announced = True
        if stop.count > signals or time.monotonic() > end:
            _kill(rest, signal.SIGKILL)
        time.sleep(0.1)


def _kill(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def run(
    roles: Sequence[str],
    variables: dict,
    *,
    inventory: Inventory | None = None,
    check: bool = False,
    playbook: str = "site.yml",
    secrets: Sequence[str] = (),
    on_step: Callable[[events.Step], None] = lambda step: None,
    on_line: Callable[[str], None] | None = None,
) -> Outcome:
    """Run a playbook for some roles, on this machine or those of an inventory, and return the outcome."""
    seen = _Seen()
    stop = _Stop(seen)
    folder = paths.for_ansible(paths.working_folder())
    with launch.private_folder() as private:
        progress = private / "progress"
        extra = {
            "provision_roles": list(roles),
            # Of several hosts, each has a file of its own in the folder.
            "provision_progress": str(progress if inventory else progress / "now.json"),
            "provision_python": sys.executable,
            "provision_folder": folder,
            "provision_lock": lock.held_here(),
            # The kernel of a notebook learns by itself where the commands are.
            "provision_kernel": inventory is None and notebook.in_notebook(),
        }
        watcher = _Watcher(seen, on_step, on_line, progress, secrets, hosts=inventory is not None)
        with interrupts.handled(stop):
            try:
                with launch.variables_file(private, {**variables, **extra}) as file:
                    chosen = inventory.arguments(private) if inventory else []
                    arguments = [f"-e@{file}", *(["--check"] if check else []), *chosen, playbook]
                    code, said = _start(private, arguments, inventory, watcher, stop)
            finally:
                # Processes on other machines cannot be seen, and the ssh connections here end by themselves.
                if (stop.signal or not seen.stats) and not inventory:
                    _end_rest(private, stop, watcher.tell)
        said = _without(secrets, said)
    # Of looks that went well the logs would push out those of runs.
    log, problem = None, ""
    if playbook not in _LOOKS or code != 0:
        log, problem = logbook.write(said, roles if playbook == "site.yml" else [Path(playbook).stem, *roles])
    if stop.signal:
        raise KeyboardInterrupt
    if seen.error:
        raise seen.error
    if code != 0 or not seen.stats:
        raise _error(seen, said, log, code, inventory)
    if not events.hosts(seen.stats):
        raise _no_hosts(inventory, log)
    found, seconds = events.report(seen.stats) or {}, round(time.monotonic() - seen.begin, 1)
    changed = sum(events.changes(seen.stats).values())
    notes = (problem,) if problem else ()
    return Outcome(changed, seconds, found, log, notes, seen.wanted, _per_host(seen) if inventory else {})


def _per_host(seen: _Seen) -> dict[str, dict[str, Any]]:
    changed, failed = events.changes(seen.stats), events.failed_hosts(seen.stats)
    return {
        host: {
            "changed": changed.get(host, 0),
            "seconds": round(seen.last.get(host, 0.0), 1),
            "failed": host in failed,
        }
        for host in sorted(events.hosts(seen.stats))
    }


class _Watcher:
    """Takes the events of a run and passes on what people want to see, without secrets."""

    def __init__(
        self,
        seen: _Seen,
        on_step: Callable,
        on_line: Callable | None,
        progress: Path,
        secrets: Sequence[str],
        hosts: bool = False,
    ):
        self.hosts = hosts
        self.seen, self.on_step, self.on_line, self.secrets = seen, on_step, on_line, secrets
        self._progress: Path = progress
        self._said: dict[str, bytes] = {}
        self._running: dict[str, tuple[str, str]] = {}  # the role and the task of each host, "" for this machine
        self.tools = events.ToolNames()

    def event(self, event: dict) -> bool:
        """Take one event; False keeps runner from writing it to disk."""
        with self._keeping_errors():
            self._take(event)
        return False

    @contextlib.contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        """Keep an error for the end: it would make runner leave ansible-playbook alone with its work."""
        try:
            yield
        except Exception as error:
            self.seen.error = self.seen.error or error

    def _take(self, event: dict) -> None:
        seen = self.seen
        if event.get("event") == "playbook_on_start":
            seen.pid = event.get("pid", 0)
        elif event.get("event") == "playbook_on_stats":
            seen.stats = event
        seen.wanted = seen.wanted or events.wanted(event)
        self.tools.put(event)
        failure = events.failure(event)
        if failure:
            message, hint = (_without(self.secrets, text) for text in (failure.message, failure.hint))
            said = tuple(_without(self.secrets, line) for line in failure.said)
            seen.failures.append(replace(failure, message=message, hint=hint, said=said))
        if self.on_line and event.get("stdout"):
            self.on_line(_without(self.secrets, event["stdout"]))
        step = events.step(event)
        # On this machine alone, a task that starts on it is one that starts.
        if step and (self.hosts or event["event"] != "runner_on_start"):
            if step.kind == "done" and step.host:
                seen.last[step.host] = time.monotonic() - seen.begin
                self._running.pop(step.host, None)
            if step.kind == "task":
                self._running[step.host] = step.role, step.task
            self.on_step(step)

    def tell(self, what: str) -> None:
        """Show what is happening at the end, as if it were a task."""
        with self._keeping_errors():
            self.on_step(events.Step("task", task=what))
            if self.on_line:
                self.on_line(what)

    def tick(self) -> None:
        """Read how far long tasks are from the files that they write; called twice a second."""
        for path in self._progress.glob("*.json"):
            host = unquote(path.stem) if self.hosts else ""
            said = _beginning(path)
            work = events.work(said)
            if work and host in self._running and said != self._said.get(host):
                self._said[host] = said
                role, task = self._running[host]
                with self._keeping_errors():
                    self.on_step(events.Step("work", role=role, task=task, host=host, **work))


def _beginning(path: Path) -> bytes:
    """Return the beginning of a file, nothing if it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(_LARGEST_PROGRESS)
    return b""


def _start(private, arguments, inventory, watcher, stop):
    """Run ansible-playbook through ansible-runner; return its exit code, None if it was killed, and its output."""
    import ansible_runner
    import pexpect

    is_hung = Hung()

    def cancel() -> bool:
        watcher.tick()
        return stop.overdue() or (bool(watcher.seen.pid) and is_hung(watcher.seen.pid))

    ours = launch.environment(private, local=inventory is None)
    settings = {
        "private_data_dir": str(private / "runner"),
        "project_dir": str(private / "content" / "playbooks"),
        "playbook": arguments[-1],
        "inventory": inventory.source(private)
        if inventory
        else str(private / "content" / "inventory" / "localhost.yml"),
        "envvars": ours,
        "settings": {"pexpect_timeout": 0.5},
        "quiet": True,
        "event_handler": watcher.event,
        "cancel_callback": cancel,
        "verbosity": 1 if watcher.on_line else None,
    }
    try:
        runner = ansible_runner.interface.init_runner(**settings)
        _program, *rest, playbook = runner.config.command
        runner.config.command = launch.command([*arguments[:-1], *rest, playbook])
        runner.config.env = launch.cleaned(runner.config.env, ours, local=inventory is None)
        runner.run()
        return runner.rc, Path(runner.config.artifact_dir, "stdout").read_text("utf-8", "replace")
    except pexpect.TIMEOUT as error:
        # ansible-runner#1343: a busy machine can make it give up reading.
        raise ProvisionError(
            "This machine was too busy to read Ansible's output.", hint="Run it again.", code="busy"
        ) from error
    except OSError as error:
        # Its own files failed, for example on a full disk; the caller ends what it started.
        stop.give_up()
        message, hint = failures.explain(error)
        raise ProvisionError(message, hint=hint, code="temporary") from error


def _no_hosts(inventory: Inventory | None, log: Path | None) -> ProvisionError:
    """Return the error for an inventory without hosts."""
    hint = "List the machines under `hosts:`; see inventory/fleet.example.yml."
    return OptionError(f"The inventory {inventory} has no hosts.", hint=hint, log=log, code="no-hosts")


def _error(seen: _Seen, said: str, log: Path | None, code: int | None, inventory: Inventory | None) -> ProvisionError:
    """Return the error for a failed run; with an inventory, it holds the outcome of each host."""
    failed = _failed(seen)
    if inventory:
        failed = _with_keys(failed, inventory)
    if failed:
        errors = {host: _as_error(failure, log) for host, failure in failed.items()}
        first = next(iter(errors.values()))
        if inventory:
            first.errors, first.hosts, first.per_host = errors, events.report(seen.stats) or {}, _per_host(seen)
        return first
    if code is None or (seen.pid and not seen.stats):
        return ProvisionError(
            "ansible-playbook was killed, perhaps because memory ran out.", hint="Run it again to resume.", log=log,
            code="killed",
        )  # fmt: skip
    # No task was started: the playbook or inventory cannot be read, or the program cannot be started.
    problem = re.findall(r"^\s*(?:\[?ERROR\]?!?:?|ERROR!)\s*(.+)$", said, re.M) or said.strip().splitlines()[-1:]
    why = problem[0].strip() if problem else "it printed nothing"
    if inventory and re.search("inventor|Unable to parse|parsed", why):
        return OptionError(f"The inventory {inventory} cannot be read: {why}", log=log, code="bad-inventory")
    return ProvisionError(f"Ansible could not start: {why}", hint="See the log.", log=log, code="not-started")


def _with_keys(failed: dict[str, events.Failure], inventory: Inventory) -> dict[str, events.Failure]:
    """Return failures with the fingerprints of the keys that are unknown."""
    unknown = [host for host, failure in failed.items() if failure.code == "host-key-unknown"]
    known = inventory_hosts(inventory) if unknown else {}
    said = host_keys.explained({host: known.get(host, {}) for host in unknown})
    found = {host: replace(failed[host], message=message, hint=hint) for host, (message, hint) in said.items()}
    return {**failed, **found}


def _failed(seen: _Seen) -> dict[str, events.Failure]:
    """Return the last failure of each host that failed, except those that were rescued."""
    hosts = events.failed_hosts(seen.stats)
    last = {failure.host: failure for failure in seen.failures}
    return {host: _origin(seen, failure) for host, failure in last.items() if host in hosts}


def _origin(seen: _Seen, last: events.Failure) -> events.Failure:
    """Return the original failure where a rescue only repeats its message, with the advice of the rescue."""
    found = next(one for one in seen.failures if (one.host, one.first) == (last.host, last.first))
    return replace(found, hint=last.hint or found.hint)


def _as_error(failure: events.Failure, log: Path | None) -> ProvisionError:
    hint = as_keywords(failure.hint, failure.role)
    return ProvisionError(
        failure.message, hint=hint, role=failure.role, task=failure.task, host=failure.host, log=log,
        said=failure.said, code=failure.code,
    )  # fmt: skip
