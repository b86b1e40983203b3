"""One lock per machine and user: the run that changes this machine holds it, and all others wait."""

# It is flock(2) on a file in a folder that only its user can enter: the kernel releases it when its holder dies, nobody
# else can hold it, and containers that share the folder share the lock. The file names its holder.

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import stat
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

from .alive import process
from .file_lock import Locked, try_lock
from .places import state_folder
from .reading import read_json

SECONDS = 3600.0
"""How long a second run waits by default."""

_STEP = 0.2  # seconds between two attempts
_MOMENT = 0.5  # seconds for a holder that is just ending; until then no message is shown
_NAME = "held"
# Errors that make a folder unusable for good; all others are temporary.
_UNUSABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENOSYS, errno.ENOLCK,
    errno.ENOTSUP,
)  # fmt: skip


def places():
    """Return the folders that may hold the lock, the best first."""
    # They are the same for every login and outlive it: two runs of a user must find the same lock.
    first = "/run/provision" if os.getuid() == 0 else os.path.join(state_folder(), "lock")
    return [first, f"/tmp/.provision-{os.getuid()}"]


def _make(folder, mode=0o755):
    """Make a folder and its missing parents, none writable by others, whatever the umask."""
    if not os.path.isdir(os.path.dirname(folder)):
        _make(os.path.dirname(folder))
    with suppress(FileExistsError):
        os.mkdir(folder, mode)


def _own_folder(folder):
    """Make a folder that only its user can enter; raise OSError if that name is taken by anything else."""
    _make(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NotADirectoryError(errno.ENOTDIR, "it is not a folder owned by this user", folder)
    if stat.S_IMODE(found.st_mode) != 0o700:
        os.chmod(folder, 0o700)


def _attempt():
    """Return (the path of the lock, the open file if the lock was free, else None)."""
    problem = None
    for folder in places():
        path = os.path.join(folder, _NAME)
        try:
            _own_folder(folder)
            return path, try_lock(path)
        except OSError as error:
            problem = problem or error
            if error.errno not in _UNUSABLE:
                break
    raise problem


def _noted(path):
    """Return the holder that the lock's file names, an empty dict if it names none."""
    noted = read_json(path)
    known = isinstance(noted.get("command"), str) and isinstance(noted.get("since"), float) and noted["since"] < 1e11
    return noted if known else {}


def _note(file, command, pid):
    """Note in the file who holds the lock."""
    noted = {
        "command": "".join(letter if letter.isprintable() else " " for letter in command), "pid": pid,
        "start": process(pid).get("start"), "host": platform.node(), "since": round(time.time(), 1),
    }  # fmt: skip
    with suppress(OSError):  # the lock works on a full disk as well
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), json.dumps(noted).encode(), 0)


def in_words(holder):
    """Return who holds the lock: ``provision run sshd (process 1234, since 14:03:22)``."""
    if not holder:
        return "another run"
    since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
    where = "" if holder.get("host") == platform.node() else f" on {holder.get('host')}"
    return f"{holder['command']} (process {holder.get('pid')}{where}, since {since})"


def holder():
    """Return the lock's holder, with ``command``, ``pid``, ``host`` and ``since``; None if it is free."""
    for folder in places():
        path = os.path.join(folder, _NAME)
        if _is_held(path):
            return _noted(path)
    return None


def _is_held(path):
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Shared, and released at once: a run that wants the lock tries again for a moment.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _take(command, pid, seconds, tell, is_ours=lambda found: False):
    """Return (the path of the lock, the file that holds it, or None if `is_ours` says that it is held already)."""
    begin, told = time.monotonic(), None
    while True:
        path, file = _attempt()
        if file is not None:
            _note(file, command, pid)
            return path, file
        found, waited = _noted(path), time.monotonic() - begin
        if is_ours(found):
            return path, None
        if waited >= max(seconds, _MOMENT):
            raise Locked(f"This machine is being changed by {in_words(found)}.")
        if waited >= _MOMENT and in_words(found) != told:
            told = in_words(found)
            tell(f"Waiting for {told}, which is changing this machine. Ctrl-C stops waiting.")
        time.sleep(_STEP)


@contextmanager
def held(command, seconds=SECONDS, tell=lambda line: None):
    """Hold the lock for `command` while the block runs; `tell` reports what it waits for, Locked after `seconds`."""
    path, file = _take(command, os.getpid(), seconds, tell)
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)  # a child forked meanwhile may keep the file open
        file.close()


def keep(pid, command, seconds=SECONDS, tell=lambda line: None):
    """Take the lock for another process, until that ends; do nothing if it holds the lock already."""
    # For ansible-playbook: our code in it runs in processes that end with each task.
    start = process(pid).get("start")

    def is_its(found):
        return (found.get("pid"), found.get("start"), found.get("host")) == (pid, start, platform.node())

    path, file = _take(command, pid, seconds, tell, is_its)
    if file is None:
        return
    keeper = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lock_keeper.py")
    with file:
        subprocess.Popen(
            [sys.executable, "-IS", keeper, str(pid), str(start), path], pass_fds=[file.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/", env={},
        )  # fmt: skip
