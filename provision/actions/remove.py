"""Remove what roles installed, and list what is kept on purpose."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provision.actions import shared
from provision.actions.result import Result
from provision.display.tables import Cell, Table
from provision.engine import catalog, lock, logbook
from provision.machine import places, status
from provision.words import format_bytes, format_seconds


@dataclass(frozen=True)
class Kept:
    """Something that is kept on purpose.

    Attributes
    ----------
    what : str
        What it is, in a few words.
    path : str
        The folder.
    size : int
        Its bytes.
    command : str
        The command that removes it.
    """

    what: str
    path: str
    size: int
    command: str

    def __str__(self) -> str:
        """Return one line for people."""
        return f"kept: {self.what} in {self.path}, {format_bytes(self.size)} - {self.command}"


@dataclass(frozen=True, repr=False)
class Removed(Result):
    """What was removed, and what was kept on purpose.

    Parameters
    ----------
    gone : sequence of str
        The roles of which something was removed; the reports in `hosts` list what.
    kept : sequence of Kept
        What is kept on this machine.

    Examples
    --------
    >>> Removed(0, 1.2, {"localhost": {"sshd": {"state": "absent"}}})
    nothing to remove (1.2 s)
    """

    gone: Sequence[str] = ()
    kept: Sequence[Kept] = ()

    def table(self) -> Table:
        """Return a row for each role of which something was removed, and what is kept."""
        rows = [
            (Cell(host + role, "name"), Cell(_in_words(report)))
            for host, role, report in self._rows()
            if _things(report)
        ]
        return Table(rows, (self._headline(), *self._notes(), *map(str, self.kept)))

    def __repr__(self) -> str:
        return self.table().text()

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: that of a `Result`, plus ``gone`` and ``kept``."""
        return {**super().to_dict(), "gone": list(self.gone), "kept": [asdict(kept) for kept in self.kept]}

    def _headline(self) -> str:
        if not self.changed:
            return f"nothing to remove ({format_seconds(self.seconds)})"
        verb = "would remove" if self.check else "removed"
        words = (verb, ", ".join(self.gone), "in", format_seconds(self.seconds))
        return f"{' '.join(filter(None, words))} - {self._changes()}"


def gone(hosts: Mapping[str, Mapping[str, Mapping[str, Any]]], roles: Sequence[str]) -> list[str]:
    """Return the roles of which something was removed, or would be.

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
    """Return what was removed of a role, or would be: everything in its report but the state."""
    return {name: value for name, value in report.items() if name not in ("state", "would") and value}


def _in_words(report: Mapping[str, Any]) -> str:
    """Return the same in words."""
    things = _things(report)
    packages = things.get("packages", [])
    parts = [str(things[name]) for name in ("prefix", "folder") if name in things] + list(things.get("files", []))
    if packages:
        parts.append(f"{len(packages)} {'package' if len(packages) == 1 else 'packages'}: {' '.join(packages)}")
    return ", ".join(parts) or str(things.get("notes_in", ""))


def kept() -> Iterator[Kept]:
    """Yield the folders on this machine that no role removes.

    Yields
    ------
    Kept
        A folder.

    Examples
    --------
    >>> [str(folder) for folder in kept()]  # doctest: +SKIP
    ['kept: 2 builds in /root/.cache/provision, 40.1 MB - provision store prune --keep 0']
    """
    store = status.stored()
    if store["builds"]:
        what = "1 build" if store["builds"] == 1 else f"{store['builds']} builds"
        yield Kept(what, store["folder"], store["size"], "provision store prune --keep 0")
    cache = Path(places.cache_folder())
    for what, folder in (("sources and unfinished builds", cache / "source"), ("logs of runs", logbook.place())):
        if folder.is_dir() and any(folder.iterdir()):
            yield Kept(what, str(folder), status.size_of(str(folder)), f"rm -r {shlex.quote(str(folder))}")


@shared.for_people()
def remove(
    *roles: str,
    on: shared.On | None = None,
    limit: str | None = None,
    forks: int | None = None,
    check: bool = False,
    verbose: bool = False,
    progress: Callable | None = None,
    wait: float = lock.SECONDS,
    ask_become_pass: bool = False,
) -> Removed:
    """Remove what roles installed on this machine, or on those of an inventory.

    Tunnels and the SSH server go first, packages last. Files and packages that were there before stay, and so do the
    store of builds, the logs, and the sources of unfinished builds.

    Parameters
    ----------
    *roles : str
        Names of roles (default: all).
    on, limit, forks
        As for `run`.
    check : bool
        Only show what would be removed.
    verbose : bool
        Show Ansible's own output.
    progress : callable, optional
        As for `run`.
    wait : float
        As for `run`.
    ask_become_pass : bool
        As for `run`.

    Returns
    -------
    Removed
        What was removed, and in ``kept`` what was kept on purpose and the command that removes it.

    Raises
    ------
    OptionError
        If a role or the inventory does not exist; nothing was started.
    ProvisionError
        If something could not be removed; call it again to resume.

    Examples
    --------
    >>> remove()  # doctest: +SKIP
    removed sshd, mrtrix3, deps in 4.1 s - 9 changes
    kept: 2 builds in /root/.cache/provision, 40.1 MB - provision store prune --keep 0
    """
    for name in roles:
        catalog.role(name)
    asked = [name for name in reversed(catalog.roles()) if name in (roles or catalog.roles())]
    inventory = shared.checked_inventory(on, limit, forks)
    lock.checked(wait)
    return shared.run_shown(
        asked, {}, inventory, check, verbose, progress, wait, ask_become_pass, playbook="remove.yml",
        kind=Removed, gone=lambda outcome: tuple(gone(outcome.hosts, asked)),
        kept=lambda _: tuple(kept()) if inventory is None else (),
    )  # fmt: skip
