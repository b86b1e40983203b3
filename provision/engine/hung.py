"""Whether ansible-playbook waits for something that will not come.

A worker of Ansible's that is killed, as happens where memory runs out, may have held the lock of the queue in which the
workers report: then ansible-playbook sees that one has died, and waits for that lock for good.
"""

from __future__ import annotations

import time
from pathlib import Path

SECONDS = 30.0
"""For how long it has to have had no other process and done nothing at all."""


class Hung:
    """Tells that a process does nothing and has nothing started that could."""

    def __init__(self):
        self._since, self._used = 0.0, ""

    def __call__(self, pid: int) -> bool:
        """Look at a process; the answer is right when this is asked every few seconds."""
        used = _used(pid)
        if not used or used != self._used or _has_children(pid):
            self._since, self._used = time.monotonic(), used
        return time.monotonic() - self._since > SECONDS


def _stat(pid: int | str) -> list[str]:
    """Return the fields of a process from its state on, proc_pid_stat(5); none where it cannot be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def _used(pid: int) -> str:
    """Return the processor time that a process has used."""
    return " ".join(_stat(pid)[11:13])


def _has_children(pid: int) -> bool:
    """Tell whether a process has others that have not ended."""
    stats = (_stat(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return any(fields[1] == str(pid) and fields[0] != "Z" for fields in stats if fields)
