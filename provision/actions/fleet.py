"""The table of a run on several hosts: what each has now, how long that took, and why it failed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from provision.display.tables import Cell, Table
from provision.errors import ProvisionError
from provision.words import format_seconds

_HEAD = (Cell("host"), Cell("roles"), Cell("origin"), Cell("time", "number"), Cell("outcome"))
_READY = ("present", "started")


def table(
    hosts: Mapping[str, Mapping[str, Mapping[str, Any]]],
    per_host: Mapping[str, Mapping[str, Any]],
    errors: Mapping[str, ProvisionError] | None = None,
    check: bool = False,
) -> Table:
    """Return a row for each host, in the order of their names.

    Parameters
    ----------
    hosts : mapping
        What the roles reported, ``{host: {role: {...}}}``.
    per_host : mapping
        For each host ``changed``, how many tasks changed it, and ``seconds``, after how long it was done.
    errors : mapping of str to ProvisionError, optional
        The errors of the hosts that failed.
    check : bool
        Whether nothing was changed.

    Returns
    -------
    provision.display.tables.Table
        Below it, what to do about each kind of failure.

    Examples
    --------
    >>> hosts = {"a": {"ants": {"version": "2.6.2", "origin": "conda"}}, "b": {}}
    >>> per_host = {"a": {"changed": 0, "seconds": 2.1}, "b": {"changed": 0, "seconds": 0.2}}
    >>> print(table(hosts, per_host, {"b": ProvisionError("b is out of order.")}).text())
    host  roles       origin   time  outcome
    a     ants 2.6.2  conda   2.1 s  nothing changed
    b                         0.2 s  failed: is out of order.
    """
    errors = errors or {}
    rows = [
        _row(name, hosts.get(name, {}), per_host[name], errors.get(name), check) for name in sorted(per_host, key=_key)
    ]
    return Table(rows, tuple(_hints(errors)), _HEAD)


def _key(name: str) -> list[str | int]:
    """Return what sorts node2 before node10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def _row(
    name: str, reports: Mapping[str, Any], done: Mapping[str, Any], error: ProvisionError | None, check: bool
) -> tuple[Cell, ...]:
    origins = ", ".join(dict.fromkeys(str(report["origin"]) for report in reports.values() if report.get("origin")))
    fields = {f"{role} {key}": str(value) for role, report in reports.items() for key, value in report.items() if value}
    if error:
        outcome = Cell(f"failed: {error.message.removeprefix(f'{name} ')}", "bad")
    else:
        outcome = Cell(changes(done["changed"], check))
    roles = Cell(", ".join(_in_words(role, report) for role, report in reports.items()), "", fields)
    return Cell(name, "name"), roles, Cell(origins), Cell(format_seconds(done["seconds"]), "number"), outcome


def changes(count: int, check: bool) -> str:
    """Return in words how much was changed, or would be."""
    number = {0: "nothing", 1: "1 change"}.get(count, f"{count} changes")
    if check:
        return f"{number} to {'change' if not count else 'make'}"
    return number if count else "nothing changed"


def _in_words(role: str, report: Mapping[str, Any]) -> str:
    if report.get("would"):
        return f"{role}: would {report['would']}"
    state = report.get("state", "present") if report else "not installed"
    if state in _READY:
        state = "" if report.get("works", True) else "does not work"
    return " ".join(filter(None, (role, str(report.get("version") or ""), str(state))))


def _hints(errors: Mapping[str, ProvisionError]) -> Iterator[str]:
    """Yield what to do, once for all hosts with the same error."""
    groups: dict[str, list[str]] = {}
    for name in sorted(errors, key=_key):
        error = errors[name]
        at = ", ".join(f"{kind} {value}" for kind, value in (("role", error.role), ("task", error.task)) if value)
        said = " ".join(filter(None, (error.hint, f"(At: {at}.)" if error.role else "")))
        groups.setdefault(said, []).append(name)
    for said, names in groups.items():
        if said:
            yield f"{', '.join(names)}: {said}"
