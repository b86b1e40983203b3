"""What one run keeps for later ones, beside the logs: its loss costs time or convenience, never a result."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from provision.engine import logbook
from provision.machine import files

_MOST = 50  # of a kind; each takes a few kB


def folder(kind: str) -> Path:
    """Return the folder of what is kept of a kind; it may not exist."""
    return logbook.place().with_name(kind)


def write(kind: str, name: str, value: Any) -> None:
    """Keep a value, readable by its owner only, and drop the oldest of its kind; do nothing where that cannot be."""
    with contextlib.suppress(OSError):
        files.make_folder(folder(kind), 0o700)
        files.write_json(str(folder(kind) / f"{name}.json"), value, 0o600)
        for old in sorted(folder(kind).iterdir(), key=lambda path: path.stat().st_mtime)[:-_MOST]:
            old.unlink(missing_ok=True)


def read(kind: str, name: str) -> Any:
    """Return what was kept; None if there is nothing, or it was not written by this user."""
    with contextlib.suppress(OSError, ValueError), (folder(kind) / f"{name}.json").open(encoding="utf-8") as file:
        # After `sudo -E` the folder may be another user's, who could have anything run.
        if os.fstat(file.fileno()).st_uid == os.getuid():
            return json.load(file)
    return None


def forget(kind: str) -> None:
    """Delete all that was kept of a kind."""
    with contextlib.suppress(OSError):
        for path in folder(kind).iterdir():
            path.unlink(missing_ok=True)
        folder(kind).rmdir()
