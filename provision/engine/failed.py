"""Which hosts failed the last time that the same roles were run on the same machines: those to retry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provision.engine import inventory, kept
from provision.errors import OptionError

_KIND = "failed"


def question(roles: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
    """Return what is asked of machines: the roles, and the states that they are to have, if those are given."""
    return sorted([*roles, *(f"{name}={value}" for name, value in variables.items() if name.endswith("_state"))])


def keep(asked: Sequence[str], machines: inventory.Inventory, ran: Iterable[str], failed: Iterable[str]) -> None:
    """Keep which hosts of a run have failed, with those that failed before and were not part of it."""
    left = (set(_kept(asked, machines) or ()) - set(ran)) | set(failed)
    # Without it they can still be named with --limit.
    kept.write(_KIND, _name(asked, machines), sorted(left))


def chosen(asked: Sequence[str], machines: inventory.Inventory) -> inventory.Inventory | None:
    """Return the machines that failed the last time; None if none did."""
    failed = _kept(asked, machines)
    if failed is None:
        message = f"No earlier run of {', '.join(asked)} on {machines.where} is known."
        raise OptionError(message, hint="Run it on all of them first.", code="no-earlier-run")
    only = tuple(name for name in inventory.hosts(machines) if name in failed) if failed else ()
    return replace(machines, only=only) if only else None


def _name(asked: Sequence[str], machines: inventory.Inventory) -> str:
    return hashlib.sha256(json.dumps([sorted(asked), machines.key]).encode()).hexdigest()


def _kept(asked: Sequence[str], machines: inventory.Inventory) -> list[str] | None:
    found = kept.read(_KIND, _name(asked, machines))
    return None if found is None else list(map(str, found))
