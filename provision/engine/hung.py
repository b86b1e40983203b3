"""Whether ansible-playbook is waiting for something that will never happen.

An Ansible worker that is killed, for example because memory runs out, may hold the lock of the queue through which
workers report. Then ansible-playbook notices that it died, and waits for the lock for ever. Or it has the report,
and the next worker waits for the lock when its task is done.
"""

from __future__ import annotations

import time
from pathlib import Path

SECONDS = 30.0
"""How long nothing must have been done to count as hung."""

_LOOKS = 6  # in that time


class Hung:
    """Detects that a process and its workers have been idle for too long, with no module and no ssh running."""

    def __init__(self):
        self._since = self._next = 0.0
        self._used: str | None = None

    def __call__(self, pid: int) -> bool:
        """Return whether a process hangs; call this every few seconds."""
        now = time.monotonic()
        if now >= self._next:
            self._next, used = now + SECONDS / _LOOKS, _used(pid)
            if used is None or used != self._used:
                self._since, self._used = now, used
        return now - self._since > SECONDS


def _used(pid: int) -> str | None:
    """Return the processor time that the workers have used, or, without any, the process; None while a task runs."""
    stats = {entry.name: _stat(entry) for entry in Path("/proc").glob("[0-9]*")}
    alive = {name: fields for name, fields in stats.items() if fields and fields[0] != "Z"}
    workers = {name: fields for name, fields in alive.items() if fields[1] == str(pid)}
    if str(pid) not in alive or any(fields[1] in workers for fields in alive.values()):
        return None
    return " ".join(" ".join([name, *fields[11:13]]) for name, fields in (workers or {"": alive[str(pid)]}).items())


def _stat(entry: Path) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the state onwards; none if it cannot be read."""
    try:
        return (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []
