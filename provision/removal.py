"""What is left of a machine's roles when they have been removed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from provision import logbook, overview
from provision.machine import places
from provision.progress import format_bytes, format_seconds
from provision.result import Result


@dataclass(frozen=True)
class Kept:
    """What is left on purpose.

    Attributes
    ----------
    what : str
        What it is, in a few words.
    path : str
        The folder.
    size : int
        Its bytes.
    command : str
        What removes it, too.
    """

    what: str
    path: str
    size: int
    command: str

    def __str__(self) -> str:
        """Return one line for a person."""
        return f"kept: {self.what} in {self.path}, {format_bytes(self.size)} - {self.command}"


@dataclass(frozen=True, repr=False)
class Removed(Result):
    """What was taken away, and what was left on purpose.

    Parameters
    ----------
    gone : sequence of str
        The roles of which something was there. What that is, is in the reports of `hosts`.
    kept : sequence of Kept
        What is left, on this machine.

    Examples
    --------
    >>> Removed(0, 1.2, {"localhost": {"sshd": {"state": "absent"}}})
    Nothing was there (1.2 s).
    """

    gone: Sequence[str] = ()
    kept: Sequence[Kept] = ()

    def __repr__(self) -> str:
        told = [f"{host}{role}: {_told(report)}" for host, role, report in self._rows() if _things(report)]
        return "\n".join([self._headline(), *told, *self._notes(), *map(str, self.kept)])

    def _repr_html_(self) -> str:
        """Return the same lines for a notebook."""
        return "".join(f"<div>{escape(line)}</div>" for line in repr(self).splitlines())

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: that of a `Result`, with ``gone`` and ``kept``."""
        return {**super().to_dict(), "gone": list(self.gone), "kept": [asdict(kept) for kept in self.kept]}

    def _headline(self) -> str:
        if not self.changed:
            return f"Nothing was there ({format_seconds(self.seconds)})."
        verb = "would remove" if self.check else "removed"
        words = (verb, ", ".join(self.gone), "in", format_seconds(self.seconds))
        return f"{' '.join(filter(None, words))} - {self._changes()}"


def gone(hosts: Mapping[str, Mapping[str, Mapping[str, Any]]], roles: Sequence[str]) -> list[str]:
    """Return those of some roles of which something was there.

    Parameters
    ----------
    hosts : mapping
        What the roles reported, ``{host: {role: {...}}}``.
    roles : sequence of str
        Their names.

    Returns
    -------
    list of str
        The names, in the same order.

    Examples
    --------
    >>> reports = {"sshd": {"state": "absent"}, "deps": {"state": "absent", "packages": ["git"]}}
    >>> gone({"localhost": reports}, ["sshd", "deps"])
    ['deps']
    """
    return [role for role in roles if any(_things(reports.get(role, {})) for reports in hosts.values())]


def _things(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has gone of a role, or would: all that its report has besides the state."""
    return {name: value for name, value in report.items() if name != "state" and value}


def _told(report: Mapping[str, Any]) -> str:
    """Return that in words."""
    things = _things(report)
    packages = things.get("packages", [])
    told = [str(things[name]) for name in ("prefix", "folder") if name in things] + list(things.get("files", []))
    if packages:
        told.append(f"{len(packages)} {'package' if len(packages) == 1 else 'packages'}: {' '.join(packages)}")
    return ", ".join(told) or str(things.get("notes_in", ""))


def kept() -> Iterator[Kept]:
    """Give what there is on this machine that no role removes.

    Yields
    ------
    Kept
        A folder.
    """
    store = overview.stored()
    if store["builds"]:
        what = "1 build" if store["builds"] == 1 else f"{store['builds']} builds"
        yield Kept(what, store["folder"], store["size"], "provision store prune --keep 0")
    cache = Path(places.cache_folder())
    for what, folder in (("sources and unfinished builds", cache / "source"), ("logs of runs", logbook.place())):
        if folder.is_dir() and any(folder.iterdir()):
            yield Kept(what, str(folder), overview.size_of(str(folder)), f"rm -r {shlex.quote(str(folder))}")
