"""Processes that outlive what started them, and are stopped through their pid file."""

# A process has its own session, environment and private log, and outlives the run, login or cell that started it. Its
# pid file holds its start time, so that a later process of the same number is not mistaken for it. Others can see its
# arguments and environment: secrets go into files.

from __future__ import annotations

import os
import secrets
import signal
import time
from contextlib import contextmanager, suppress

from . import interrupts
from .alive import alive, answers, boot_id, process, running
from .file_lock import locked
from .files import write_json
from .reading import read_json

# A variable in the environment of the process and its children. When the first has ended, it distinguishes the others
# from later processes that were given the number of its session.
_MARK = "PROVISION_PROCESS"
_LINES = 20  # of the log, in an error
_LARGE = 1 << 20  # bytes after which a new log is begun
_STEP = 0.05  # seconds between two checks
_PATIENCE = 60.0  # seconds to wait while another run starts or stops the same process


class ProcessError(Exception):
    """A process that could not be started or stopped: one sentence, a code, and the last lines of its log."""

    def __init__(self, message, code="process-not-started"):
        super().__init__(message)
        self.code, self.lines = code, []


def start(argv, *, pid_file, log, environment, ready, deadline=30.0):
    """Start a command that outlives us and wait until it is `ready`, else stop it; return False if it runs already."""
    with _alone(pid_file), interrupts.held() as signals:
        if running(pid_file):
            return False
        _end(read_json(pid_file), grace=0)  # what a killed one has left running
        file = _open_log(log)
        try:
            begin = os.fstat(file).st_size
            _launch(argv, pid_file, file, environment)
        finally:
            os.close(file)
        try:
            _await(argv, pid_file, ready, deadline, signals)
        except BaseException as error:
            _end(read_json(pid_file), grace=0)
            os.unlink(pid_file)
            if isinstance(error, ProcessError):
                error.lines = last_lines(log, begin)
            raise
        return True


def stop(pid_file, grace=10.0):
    """Stop the process in a pid file, with its session, and delete the file; return whether it was running."""
    if not os.path.isdir(os.path.dirname(pid_file)):
        return False
    with _alone(pid_file):
        ended = _end(read_json(pid_file), grace)
        for path in (pid_file, f"{pid_file}.lock"):
            with suppress(FileNotFoundError):
                os.unlink(path)
        return ended


def accepting(host, port, banner=""):
    """Return a condition for `start`: a TCP port accepts connections, and sends the banner if one is given."""
    return lambda: answers(host, port, banner, seconds=1.0)


def lasting(seconds):
    """Return a condition for `start`: the process has lived for so many seconds."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def last_lines(log, begin=0):
    """Return the last lines of a log, from the byte `begin` on."""
    with open(log, encoding="utf-8", errors="replace") as file:
        file.seek(begin)
        return [line for line in file.read().splitlines() if line.strip()][-_LINES:]


@contextmanager
def _alone(pid_file):
    """Hold the lock of a pid file while the block runs."""
    os.makedirs(os.path.dirname(pid_file), mode=0o700, exist_ok=True)
    with locked(f"{pid_file}.lock", _PATIENCE):
        yield


def _open_log(log):
    with suppress(FileNotFoundError):
        if os.lstat(log).st_size > _LARGE:
            os.replace(log, f"{log}.1")
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.fchmod(file, 0o600)
    return file


def _launch(argv, pid_file, log, environment):
    """Start the command and write its pid file."""
    # It waits for the pid file before it begins: if we are killed in between, it sees the pipe closed and ends.
    gate, opener = os.pipe()
    mark = secrets.token_hex(8)
    pid = os.fork()
    if pid == 0:
        _become(argv, gate, opener, log, {**environment, _MARK: mark})
    os.close(gate)
    try:
        noted = {"pid": pid, "start": process(pid)["start"], "boot": boot_id(), "mark": mark}
        write_json(pid_file, noted, mode=0o600)
        os.write(opener, b"1")
    finally:
        os.close(opener)


def _become(argv, gate, opener, log, environment):
    """Turn this process, a fork, into the command; never return."""
    try:
        os.close(opener)
        os.setsid()
        # Ansible and nohup ignore signals, and the program would inherit that.
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.umask(0o022)
        os.chdir("/")
        if os.read(gate, 1):
            for name in os.listdir("/proc/self/fd"):
                if int(name) > 2:
                    with suppress(OSError):  # the descriptor of the listing is closed by now
                        os.close(int(name))
            os.execvpe(argv[0], argv, environment)
    except BaseException as error:
        os.write(2, f"{argv[0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(127)


def _await(argv, pid_file, ready, deadline, signals):
    """Wait until the process is ready; raise ProcessError if it has ended, takes too long, or we are to end."""
    end = time.monotonic() + deadline
    name = os.path.basename(argv[0])
    while True:
        # In this order: what answers in place of a process that has just ended is another one.
        done = ready()
        if not running(pid_file):
            raise ProcessError(f"{name} ended right after it was started.")
        if signals:
            raise ProcessError(f"{name} was stopped before it was ready: there was an interrupt.")
        if done:
            return
        if time.monotonic() >= end:
            raise ProcessError(f"{name} was not ready after {deadline:g} s.", code="process-not-ready")
        time.sleep(_STEP)


def _members(noted):
    """Return a session's processes as (number, start); none if its number belongs to another process by now."""
    # While any of them lives, the kernel does not reuse the number of their session.
    if not noted or noted.get("boot") != boot_id():
        return []
    first = process(noted["pid"])
    if first and first["start"] != noted["start"]:
        return []
    found = []
    for name in os.listdir("/proc"):
        one = process(name) if name.isdigit() and int(name) != os.getpid() else {}
        # A process forked just now may not have its own session yet.
        if not alive(one) or noted["pid"] not in (int(name), one["session"]):
            continue
        if first or _carries(name, noted.get("mark")):
            found.append((int(name), one["start"]))
    return found


def _carries(pid, mark):
    # While a process becomes another program, it has no environment for a moment.
    for _look in range(5):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                said = file.read()
        except OSError:
            return False
        if said:
            return f"{_MARK}={mark}".encode() in said.split(b"\0")
        time.sleep(_STEP / 5)
    return False


def _end(noted, grace):
    """Stop all processes of a session; return whether there were any."""
    members = _members(noted)
    if not members:
        return False
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        end = time.monotonic() + patience
        _signal(members, number)
        while True:
            _reap(noted["pid"])
            members = _members(noted)
            if not members:
                return True
            if time.monotonic() >= end:
                break
            time.sleep(_STEP)
    raise ProcessError(f"Process {noted['pid']} could not be stopped.", code="process-not-ended")


def _signal(members, number):
    for pid, start in members:
        # Numbers are assigned in turn, so none is reused between this check and the signal.
        if process(pid).get("start") == start:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
            except PermissionError as error:
                problem = f"Process {pid} belongs to another user."
                raise ProcessError(problem, code="process-not-ended") from error


def _reap(pid):
    """Reap a process that we have started ourselves."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
