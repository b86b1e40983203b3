"""Whether ansible-playbook is waiting for something that will never happen.

An Ansible worker that is killed, for example because memory runs out, may hold the lock of the queue through which
workers report. ansible-playbook then notices that it died, and waits for the lock for ever.
"""

from __future__ import annotations

import time
from pathlib import Path

SECONDS = 30.0
"""How long a process must be idle, without children, to count as hung."""


class Hung:
    """Detects that a process has been idle, without children, for too long."""

    def __init__(self):
        self._since, self._used = 0.0, ""

    def __call__(self, pid: int) -> bool:
        """Return whether a process hangs; call this every few seconds."""
        used = _used(pid)
        if not used or used != self._used or _has_children(pid):
            self._since, self._used = time.monotonic(), used
        return time.monotonic() - self._since > SECONDS


def _stat(pid: int | str) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the state onwards; none if it cannot be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def _used(pid: int) -> str:
    """Return the processor time that a process has used."""
    return " ".join(_stat(pid)[11:13])


def _has_children(pid: int) -> bool:
    """Return whether a process has running children."""
    stats = (_stat(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return any(fields[1] == str(pid) and fields[0] != "Z" for fields in stats if fields)
