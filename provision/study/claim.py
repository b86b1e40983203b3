"""One run at a time on an output folder, on whichever machine: a file that its owner keeps touching."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from provision.errors import ProvisionError
from provision.machine import alive, failures
from provision.machine.reading import read_json

LEASE = 60.0
"""A claim that was not renewed for so many seconds has expired."""


# The claims of this process: one that it could not give back, since the folder was gone, holds no longer.
_ours: set[str] = set()


class Claim:
    """The claim of this process on a folder.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    """

    def __init__(self, path: Path):
        self._path, self._ended = path, threading.Event()
        self._mine = {
            "id": secrets.token_hex(8), "host": socket.gethostname(), "pid": os.getpid(), "boot": alive.boot_id(),
            "space": _space(), "start": alive.process(os.getpid()).get("start"),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }  # fmt: skip
        self.lost = False

    def take(self) -> None:
        """Take the claim, or raise an error that says who has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name("claim.lock").open("w") as lock:
            # Those who find an expired claim would move each other's new one away. Not every file system has locks.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            while not self._is_taken():
                self._give_way()

    def _is_taken(self) -> bool:
        """Write the claim and return True, unless there is one."""
        try:
            file = self._path.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        try:
            with file:
                json.dump(self._mine, file)
        except OSError:  # on a full disk; an empty claim would hold for its lease
            self._path.unlink(missing_ok=True)
            raise
        _ours.add(self._mine["id"])
        return True

    def _give_way(self) -> None:
        """Move an expired claim out of the way; raise an error for one that holds."""
        held = read_json(str(self._path))
        if not self._has_expired(held):
            raise busy(self._path.parent.parent, held)
        stale = self._path.with_name(f".stale-{self._mine['id']}")
        with suppress(FileNotFoundError):
            self._path.rename(stale)
            # Somebody quicker may have taken it in between.
            if read_json(str(stale)).get("id") != held.get("id"):
                stale.rename(self._path)
            stale.unlink(missing_ok=True)

    def _has_expired(self, held: dict[str, Any]) -> bool:
        if all(held.get(key) == self._mine[key] for key in ("boot", "space")):
            if held.get("pid") == self._mine["pid"] and held.get("id") not in _ours:
                return True
            found = alive.process(held.get("pid"))
            return not (alive.alive(found) and found["start"] == held.get("start"))
        # By the clock of the file system: those of two machines may differ.
        now = self._path.with_name(f".now-{self._mine['id']}")
        try:
            now.touch()
            # Of a clock that was set back, the claim would be from the future for as long.
            return abs(now.stat().st_mtime - self._path.stat().st_mtime) > LEASE
        except FileNotFoundError:
            return True
        finally:
            now.unlink(missing_ok=True)

    def keep(self) -> None:
        """Renew it until `leave`; `lost` becomes true if another run has taken it."""
        while not self._ended.wait(LEASE / 6):
            with suppress(OSError):
                if read_json(str(self._path)).get("id") not in (self._mine["id"], None):
                    self.lost = True
                    return
                os.utime(self._path)

    def check(self) -> None:
        """Raise an error if another run has taken it."""
        if self.lost:
            raise busy(self._path.parent.parent, read_json(str(self._path)))

    def leave(self) -> None:
        """Give it back."""
        self._ended.set()
        _ours.discard(self._mine["id"])
        with suppress(OSError):
            if read_json(str(self._path)).get("id") == self._mine["id"]:
                self._path.unlink()


def _space() -> str:
    """Return what tells apart the numbers of processes in two containers of one machine."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@contextmanager
def held(path: Path) -> Iterator[Claim]:
    """Hold the claim while the block runs, or fail with the code ``study-busy``."""
    claim = Claim(path)
    try:
        claim.take()
    except OSError as error:
        message, hint = failures.explain(error)
        raise ProvisionError(message, hint=hint, code="study-folder") from error
    threading.Thread(target=claim.keep, name="provision-claim", daemon=True).start()
    try:
        yield claim
    finally:
        claim.leave()


def busy(folder: Path, held: dict[str, Any]) -> ProvisionError:
    """Return the error for a folder on which another run is at work."""
    who = f"process {held.get('pid')} on {held.get('host')}, since {held.get('since')}"
    return ProvisionError(
        f"Another run is at work on {folder}: {who}.",
        hint="Wait until it has ended; if that machine is gone, try again in a minute.",
        code="study-busy",
    )
