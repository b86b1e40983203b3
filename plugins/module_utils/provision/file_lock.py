"""Locks on files, which the kernel releases when their holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager, suppress

from .files import make_folder


class Locked(BlockingIOError):
    """A lock that another process holds for too long; the message is for people."""

    hint = "Wait for it to finish, then run it again."

    def __init__(self, message):
        super().__init__(errno.EWOULDBLOCK, message)

    def __str__(self):
        """Return only the sentence."""
        return str(self.strerror)


def try_lock(path):
    """Return an open file with an exclusive lock on it, None while another process holds the lock."""
    # Only its owner can open it, so nobody else can hold the lock. O_NONBLOCK is for a pipe of that name.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder has deleted it: the next attempt makes another.
        if os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
            return file
    except BlockingIOError:
        _drop_open_lock(file, path)
    except FileNotFoundError:
        pass
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _drop_open_lock(file, path):
    """Delete a held lock that other users can open, since they could hold it for good."""
    found = os.fstat(file.fileno())
    with suppress(OSError):
        if found.st_uid == os.geteuid() and found.st_mode & 0o066 and os.path.samestat(found, os.lstat(path)):
            os.unlink(path)


def lock_holder(path):
    """Return who holds the lock of a file, as ``process 1234 (sleep 9)``, else ``another process``."""
    # proc_locks(5): "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF". The device may differ from that of stat(2).
    with suppress(OSError, ValueError):
        inode = str(os.lstat(path).st_ino)
        with open("/proc/locks", encoding="ascii") as file:
            for words in map(str.split, file):
                if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode and int(words[4]) > 0:
                    with open(f"/proc/{words[4]}/comm", encoding="utf-8", errors="replace") as name:
                        return f"process {words[4]} ({name.read().strip()})"
    return "another process"


@contextmanager
def locked(path, seconds=0):
    """Hold an exclusive lock on a file while the block runs; raise Locked after waiting `seconds` for it."""
    make_folder(os.path.dirname(path))
    end = time.monotonic() + seconds
    while True:
        file = try_lock(path)
        if file is not None:
            break
        if time.monotonic() >= end:
            raise Locked(f"{path} is locked by {lock_holder(path)}.")
        time.sleep(0.2)
    with file:
        yield file


@contextmanager
def fail_when_locked(module):
    """Let an Ansible module fail with one sentence when the block raises Locked."""
    try:
        yield
    except Locked as error:
        module.fail_json(msg=str(error), hint=error.hint, code="locked")
