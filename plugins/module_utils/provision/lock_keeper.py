"""A program that inherits a lock as an open file, holds it until a process ends, and then deletes the file."""

from __future__ import annotations

import os
import select
import sys
import time


def lives(pid, start):
    """Return whether the process that started at `start` is still alive (proc_pid_stat(5), fields 3 and 22)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[19] == start and fields[0] not in "ZX"


def wait_for(pid, start):
    """Wait until a process has ended."""
    try:
        handle = os.pidfd_open(int(pid))
    except (AttributeError, OSError):  # it has ended, the kernel is old, or a container forbids it
        handle = None
    while lives(pid, start):
        if handle is None:
            time.sleep(0.2)
        else:
            select.select([handle], [], [], 5)


if __name__ == "__main__":
    _program, process, began, path = sys.argv
    wait_for(process, began)
    os.unlink(path)
