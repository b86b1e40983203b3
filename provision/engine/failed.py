"""Which hosts failed the last time that the same roles were run on the same machines: those to retry."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision.engine import inventory, logbook
from provision.errors import OptionError
from provision.machine import files


def question(roles: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
    """Return what is asked of machines: the roles, and the states that they are to have, if those are given."""
    return sorted([*roles, *(f"{name}={value}" for name, value in variables.items() if name.endswith("_state"))])


def keep(asked: Sequence[str], machines: inventory.Inventory, ran: Iterable[str], failed: Iterable[str]) -> None:
    """Keep which hosts of a run have failed, with those that failed before and were not part of it."""
    left = (set(_kept(asked, machines) or ()) - set(ran)) | set(failed)
    # Without it they can still be named with --limit.
    with contextlib.suppress(OSError):
        files.make_folder(_folder(), 0o700)
        files.write_json(str(_file(asked, machines)), sorted(left), 0o600)


def chosen(asked: Sequence[str], machines: inventory.Inventory) -> inventory.Inventory | None:
    """Return the machines that failed the last time; None if none did."""
    failed = _kept(asked, machines)
    if failed is None:
        message = f"No earlier run of {', '.join(asked)} on {machines.where} is known."
        raise OptionError(message, hint="Run it on all of them first.", code="no-earlier-run")
    only = tuple(name for name in inventory.hosts(machines) if name in failed) if failed else ()
    return replace(machines, only=only) if only else None


def _folder() -> Path:
    return logbook.place().with_name("failed")


def _file(asked: Sequence[str], machines: inventory.Inventory) -> Path:
    text = json.dumps([sorted(asked), machines.key])
    return _folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def _kept(asked: Sequence[str], machines: inventory.Inventory) -> list[str] | None:
    with contextlib.suppress(OSError, ValueError), _file(asked, machines).open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_uid == os.getuid():
            return list(map(str, json.load(file)))
    return None
