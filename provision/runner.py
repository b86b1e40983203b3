"""One run of a playbook through ansible-runner: nothing leaks from it and nothing outlives it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from provision import content, events, paths
from provision.consent import TOKEN_VARIABLE
from provision.errors import ProvisionError

# How long a run that was asked to stop may take before it is killed.
_GRACE_SECONDS = 10.0
# How long what it had started may go on after that: a package manager takes no signal while it unpacks and sets up.
_REST_SECONDS = 120.0
_LOGS_KEPT = 20
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Outcome:
    """What came of a run.

    Attributes
    ----------
    changed : int
        Tasks that changed something, over all hosts.
    seconds : float
        Wall time.
    hosts : dict
        What the roles reported, ``{host: {role: {...}}}``.
    log : pathlib.Path
        All that Ansible said, secrets taken out.
    """

    changed: int
    seconds: float
    hosts: dict
    log: Path


@dataclass
class _Seen:
    """What the events of one run have told so far."""

    pid: int = 0
    stats: dict = field(default_factory=dict)
    failures: list[events.Failure] = field(default_factory=list)
    error: BaseException | None = None


class _Stop:
    """Asks a run to stop, once a signal has come: gently first, by force after the grace period."""

    def __init__(self, seen: _Seen):
        self.seen = seen
        self.signal = 0
        self.count = 0
        self._since = 0.0
        self._asked = False

    def __call__(self, number: int, _frame: object = None) -> None:
        self.signal = self.signal or number
        self.count += 1

    def overdue(self) -> bool:
        """Pass the signal on as soon as there is somebody to take it; tell whether the grace period is over."""
        if not self.signal:
            return False
        self._since = self._since or time.monotonic()
        # runner's own way of stopping kills ansible-playbook but not its workers: those have sessions of their own.
        if self.seen.pid and not self._asked:
            self._asked = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.seen.pid, signal.SIGINT)
        return time.monotonic() - self._since > _GRACE_SECONDS


@contextlib.contextmanager
def _signals(stop: _Stop) -> Iterator[None]:
    """Send signals to `stop` while the block runs and put back what handled them before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may do this; a notebook's cells run there
        return
    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def logs_place() -> Path:
    """Return where the logs of past runs are; nothing needs to be there."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "provision" / "logs"


def logs_folder() -> Path:
    """Return the folder of the logs of past runs, made when missing and readable by its owner alone."""
    folder = logs_place()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _write_log(text: str, roles: Sequence[str]) -> Path:
    """Keep what Ansible said, and drop the oldest logs."""
    folder = logs_folder()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    path = folder / f"{stamp}-{'+'.join(roles)}.log"
    path.touch(0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")
    for old in sorted(folder.glob("*.log"))[:-_LOGS_KEPT]:
        old.unlink(missing_ok=True)
    return path


def left_behind(temporary: Path) -> list[Path]:
    """Return the folders that killed runs of this user have left.

    Parameters
    ----------
    temporary : pathlib.Path
        The folder for temporary files.

    Returns
    -------
    list of pathlib.Path
        The folders; none of them is in use.
    """
    return [path.parent for path in sorted(temporary.glob("provision-*/alive")) if _is_left(path)]


def _is_left(path: Path) -> bool:
    """Tell whether nobody holds the lock: the kernel drops that of a run which is killed."""
    try:
        with path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Give a folder that only this user can read, deleted at the end, and delete those that killed runs left."""
    for left in left_behind(Path(tempfile.gettempdir())):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="provision-"))
    try:
        with (folder / "new").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "new").rename(folder / "alive")  # locked before anybody can find it
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# Starts ansible-playbook so that the kernel interrupts it when this process dies, even of SIGKILL: otherwise it would
# go on compiling for nobody. 1 is PR_SET_PDEATHSIG of prctl(2), which survives exec.
_LAUNCHER = """#!{python} -IS
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, {signal})
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


def _write_launcher(folder: Path, search: str) -> None:
    real = shutil.which("ansible-playbook", path=search)
    if real is None:
        raise ProvisionError(
            "ansible-playbook is not installed in this Python.",
            hint='Install it with `pip install "ansible-core>=2.19"`.',
        )
    folder.mkdir()
    launcher = folder / "ansible-playbook"
    launcher.write_text(_LAUNCHER.format(python=sys.executable, signal=int(signal.SIGINT), real=real))
    launcher.chmod(0o700)


def _environment(private: Path, root: Path) -> dict[str, str]:
    """Return what Ansible's environment needs besides the caller's: no settings or litter in the user's home."""
    path = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    search = os.pathsep.join(path)
    _write_launcher(private / "bin", search)
    return {
        # What this process was given for itself, its children need not carry where others can read it.
        **dict.fromkeys({TOKEN_VARIABLE} & set(os.environ), ""),
        "PATH": os.pathsep.join([str(private / "bin"), search]),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "ANSIBLE_HOME": str(private / "home"),
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        # Plain lines for the log, whatever is installed here; from 3.13 on Python colours its tracebacks, too.
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "PYTHON_COLORS": "0",
    }


def _local_environment(private: Path, inventory: Path | None) -> dict[str, str]:
    """Return what keeps Ansible from leaving a folder in this user's home; on other machines it needs one there."""
    return {} if inventory else {"ANSIBLE_REMOTE_TEMP": str(private / "modules")}


def _rest(private: Path) -> dict[int, str]:
    """Return the processes of a run that go on without it: their names by number. All carry its environment."""
    mark = f"ANSIBLE_LOCAL_TEMP={private / 'tmp'}".encode()
    found = {}
    for environment in Path("/proc").glob("[0-9]*/environ"):
        # Another user's, or one that has just ended.
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                found[int(environment.parent.name)] = environment.with_name("comm").read_text().strip()
    return found


def _end_rest(private: Path, stop: _Stop, tell: Callable[[str], None]) -> None:
    """Return when all that a stopped run had started has ended; kill it when another signal comes, or after a time."""
    signals, end = stop.count, time.monotonic() + _REST_SECONDS
    told = False
    while rest := _rest(private):
        if not told:
            names = ", ".join(sorted(set(rest.values())))
            tell(f"Stopping: {names} may finish, interrupt again to kill")
            told = True
        if stop.count > signals or time.monotonic() > end:
            for pid in rest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _work_reader(path: Path, tell: Callable[[events.Step], None], current: dict) -> Callable[[], None]:
    """Return a function that tells how far a long task is whenever its progress file has changed."""
    last = [""]

    def read() -> None:
        try:
            text = path.read_text()
            work = json.loads(text)
        except (OSError, ValueError):
            return
        if text != last[0]:
            last[0] = text
            tell(events.Step("work", **current, number=work["number"], total=work["total"], unit=work["unit"]))

    return read


def run(
    roles: Sequence[str],
    variables: dict,
    *,
    inventory: Path | None = None,
    check: bool = False,
    playbook: str = "site.yml",
    secrets: Sequence[str] = (),
    on_step: Callable[[events.Step], None] = lambda step: None,
    on_line: Callable[[str], None] | None = None,
) -> Outcome:
    """Run a playbook for some roles and return what came of it.

    Parameters
    ----------
    roles : sequence of str
        The roles to run, in the playbook's order.
    variables : dict
        Their variables. They reach Ansible in a file that only this user can read, deleted at the end.
    inventory : pathlib.Path, optional
        The machines; by default this one.
    check : bool
        Only say what would change.
    playbook : str
        A file of ``playbooks/``.
    secrets : sequence of str
        Values that must not stand in the log.
    on_step : callable
        Called with each :class:`provision.events.Step`.
    on_line : callable, optional
        Called with each line that Ansible prints.

    Returns
    -------
    Outcome

    Raises
    ------
    ProvisionError
        When a task failed or Ansible could not be started.
    KeyboardInterrupt
        When the run was interrupted; everything it had started has ended.

    Examples
    --------
    >>> run(["mrtrix3"], {"mrtrix3_version": "any"}).hosts  # doctest: +SKIP
    {'localhost': {'mrtrix3': {'version': '3.0.3', ...}}}
    """
    root = content.root()
    seen = _Seen()
    stop = _Stop(seen)
    begin = time.monotonic()
    with _private_folder() as private:
        progress = private / "progress" / "now.json"
        progress.parent.mkdir()
        extra = {
            "provision_roles": list(roles), "provision_progress": str(progress), "provision_python": sys.executable,
            "provision_folder": paths.working_folder(),
        }
        with _signals(stop), paths.somewhere(private):
            watcher = _Watcher(seen, on_step, on_line, progress, secrets)
            finished = _start(private, root, {**variables, **extra}, inventory, check, playbook, watcher, stop)
            # On other machines nothing can be seen, and what ssh keeps open here ends by itself.
            if stop.signal and not inventory:
                _end_rest(private, stop, watcher.tell)
        said = _without(secrets, finished.stdout.read())
    log = _write_log(said, roles if playbook == "site.yml" else [Path(playbook).stem, *roles])
    if stop.signal:
        raise KeyboardInterrupt
    if seen.error:
        raise seen.error
    if finished.rc != 0 or not seen.stats:
        raise _error(seen, said, log)
    return Outcome(
        events.changed(seen.stats), round(time.monotonic() - begin, 1), events.report(seen.stats) or {}, log
    )


class _Watcher:
    """Takes the events of a run and passes on what people want to see, without the secrets."""

    def __init__(
        self, seen: _Seen, on_step: Callable, on_line: Callable | None, progress: Path, secrets: Sequence[str] = ()
    ):
        self.seen, self.on_step, self.on_line, self.secrets = seen, on_step, on_line, secrets
        self.current = {"role": "", "task": "", "host": ""}
        self.read_work = _work_reader(progress, on_step, self.current)

    def event(self, event: dict) -> bool:
        """Take one event; False tells runner to write nothing to disk."""
        # An exception in here would make runner leave ansible-playbook alone with its work.
        try:
            self._take(event)
        except Exception as error:
            self.seen.error = self.seen.error or error
        return False

    def _take(self, event: dict) -> None:
        seen = self.seen
        if event.get("event") == "playbook_on_start":
            seen.pid = event.get("pid", 0)
        elif event.get("event") == "playbook_on_stats":
            seen.stats = event
        failure = events.failure(event)
        if failure:
            message, hint = (_without(self.secrets, text) for text in (failure.message, failure.hint))
            said = tuple(_without(self.secrets, line) for line in failure.said)
            seen.failures.append(replace(failure, message=message, hint=hint, said=said))
        if self.on_line and event.get("stdout"):
            self.on_line(_without(self.secrets, event["stdout"]))
        step = events.step(event)
        if step:
            if step.kind == "task":
                self.current.update(role=step.role, task=step.task)
            self.on_step(step)

    def tell(self, what: str) -> None:
        """Say what is done at the end, as if it were a task."""
        try:
            self.on_step(events.Step("task", task=what))
            if self.on_line:
                self.on_line(what)
        except Exception as error:
            self.seen.error = self.seen.error or error

    def tick(self) -> None:
        """Look, twice a second, how far a long task is."""
        try:
            self.read_work()
        except Exception as error:
            self.seen.error = self.seen.error or error


def _start(private, root, variables, inventory, check, playbook, watcher, stop):
    """Call ansible-runner and return its Runner."""
    import ansible_runner
    import pexpect

    def cancel() -> bool:
        watcher.tick()
        return stop.overdue()

    arguments = {
        "private_data_dir": str(private),
        "project_dir": str(root / "playbooks"),
        "playbook": playbook,
        "inventory": str(inventory or root / "inventory" / "localhost.yml"),
        "extravars": variables,
        "envvars": _environment(private, root) | _local_environment(private, inventory),
        "settings": {"pexpect_timeout": 0.5},
        "quiet": True,
        "event_handler": watcher.event,
        "cancel_callback": cancel,
        "verbosity": 1 if watcher.on_line else None,
    }
    if check:
        arguments["cmdline"] = "--check"
    try:
        return ansible_runner.run(**arguments)
    except pexpect.TIMEOUT as error:
        # ansible-runner#1343: a busy machine can make it give up reading.
        raise ProvisionError("This machine was too busy to read what Ansible said.", hint="Run it again.") from error


def _error(seen: _Seen, said: str, log: Path) -> ProvisionError:
    """Return the error for a run that failed: the last failure, which no rescue took care of."""
    if seen.failures:
        last = seen.failures[-1]
        return ProvisionError(
            last.message, hint=last.hint, role=last.role, task=last.task, host=last.host, log=log, said=last.said,
            code=last.code,
        )
    # A playbook that cannot be read, or a program that cannot be started, ends without a task.
    problem = re.findall(r"^\s*(?:\[?ERROR\]?!?:?|ERROR!)\s*(.+)$", said, re.M) or said.strip().splitlines()[-1:]
    why = problem[0].strip() if problem else "it said nothing"
    return ProvisionError(f"Ansible could not start: {why}", hint="Its log says more.", log=log)
