"""Where the logs of runs are kept, and how they are written."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from provision.machine import places

# Their numbers give their order: a clock can be set back.
NAME = re.compile(r"(?:(?P<number>\d{6,})-)?(?P<when>\d{8}T\d{6}\.\d{6})-(?P<roles>.+)\.log")
_KEPT = 20


def place() -> Path:
    """Return the folder of the logs; it may not exist."""
    # Not of platformdirs, which takes HOME as it is: after sudo -E that is another user's.
    return Path(places.users_state_folder(), "logs")


def files() -> list[Path]:
    """Return the logs of past runs, oldest first; none if the folder is missing or cannot be read."""
    try:
        found = [path for path in place().iterdir() if NAME.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(found, key=_order)


def _order(path: Path) -> tuple[int, str]:
    number, when, _roles = NAME.findall(path.name)[0]
    return int(number or 0), when


def write(text: str, words: Sequence[str]) -> tuple[Path | None, str]:
    """Save the output of a run, readable by its owner only; return the file, or why there is none."""
    folder = place()
    if problem():
        return None, f"The log of this run was not saved: {problem()}."
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True, mode=0o700)
        before = files()
        number = _order(before[-1])[0] + 1 if before else 1
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = folder / f"{number:06d}-{stamp}-{'+'.join(words)}.log"
        path.touch(0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8", errors="replace")
        for old in before[: max(0, len(before) + 1 - _KEPT)]:
            old.unlink(missing_ok=True)
    except OSError as error:
        return None, f"The log of this run was not saved: {folder} is not writable: {error.strerror or error}."
    return path, ""


def problem() -> str:
    """Return why no log can be saved, as a clause; an empty string if it can."""
    there = place()
    while not there.is_dir() and there not in (Path(places.home()), there.parent):
        there = there.parent
    if not there.is_dir():
        return f"there is no home folder {there}"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} is not writable"
