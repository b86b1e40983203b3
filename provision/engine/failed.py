"""Which hosts failed the last time that the same roles were run on the same machines: those to retry."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from provision.engine import inventory, logbook
from provision.errors import OptionError
from provision.machine import files


def keep(roles: Sequence[str], machines: inventory.Inventory, ran: Iterable[str], failed: Iterable[str]) -> None:
    """Keep which hosts of a run have failed, with those that failed before and were not part of it."""
    left = (set(_kept(roles, machines) or ()) - set(ran)) | set(failed)
    # Without it they can still be named with --limit.
    with contextlib.suppress(OSError):
        files.make_folder(_folder(), 0o700)
        files.write_json(str(_file(roles, machines)), sorted(left), 0o600)


def chosen(roles: Sequence[str], machines: inventory.Inventory) -> inventory.Inventory | None:
    """Return the machines that failed the last time; None if none did."""
    failed = _kept(roles, machines)
    if failed is None:
        message = f"No earlier run of {', '.join(roles)} on {machines.where} is known."
        raise OptionError(message, hint="Run it on all of them first.", code="no-earlier-run")
    only = tuple(name for name in inventory.hosts(machines) if name in failed) if failed else ()
    return replace(machines, only=only) if only else None


def _folder() -> Path:
    return logbook.place().with_name("failed")


def _file(roles: Sequence[str], machines: inventory.Inventory) -> Path:
    asked = json.dumps([sorted(roles), machines.key])
    return _folder() / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"


def _kept(roles: Sequence[str], machines: inventory.Inventory) -> list[str] | None:
    with contextlib.suppress(OSError, ValueError), _file(roles, machines).open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_uid == os.getuid():
            return list(map(str, json.load(file)))
    return None
