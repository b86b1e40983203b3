"""What is installed on this machine, running and stored."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from provision.actions import connection
from provision.actions.result import row
from provision.display.tables import Table, Tabular
from provision.engine import catalog, lock
from provision.machine import alive, look, notes, places
from provision.machine.look import deps
from provision.machine.store.errors import StoreError
from provision.machine.store.names import archives
from provision.machine.tool.prefix import RECEIPT
from provision.words import format_bytes


class Status(Tabular, dict):
    """A dict, ``{"hosts": {"localhost": {role: report}}, "store": {...}}``, with ``lock`` while a run is going on.

    Examples
    --------
    >>> Status({"hosts": {"localhost": {"mrtrix3": {"version": "3.0.3", "origin": "package", "bin": "/usr/bin"}}}})
    mrtrix3  3.0.3 ready (package)  /usr/bin
    """

    def __repr__(self) -> str:
        ways_in = (line for reports in self["hosts"].values() for line in connection.lines(reports))
        return "\n".join([super().__repr__(), *ways_in])

    def _repr_html_(self) -> str:
        """Return the table for a notebook, and how to connect."""
        return "".join([super()._repr_html_(), *map(connection.box, self["hosts"].values())])

    def table(self) -> Table:
        """Return a row for each role, and lines about warnings, the store and the lock."""
        rows = [row(role, report) for role, report in self._reports()]
        empty = () if rows else ("Nothing is installed.",)
        return Table(rows, (*empty, *self._notes(), *self._stored(), *self._changing()))

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: a copy with plain values only."""
        return copy.deepcopy(dict(self))

    def _reports(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for reports in self["hosts"].values():
            yield from reports.items()

    def _notes(self) -> Iterator[str]:
        """Yield the warnings."""
        yield from dict.fromkeys(f"Note: {note}" for _, report in self._reports() for note in report.get("notes", ()))

    def _stored(self) -> Iterator[str]:
        store = self.get("store", {})
        if store.get("problem"):
            yield f"The store {store['folder']} {store['problem']}."
        elif store.get("builds"):
            count = "1 build" if store["builds"] == 1 else f"{store['builds']} builds"
            yield f"{count} in the store {store['folder']}, {format_bytes(store['size'])}"

    def _changing(self) -> Iterator[str]:
        if "lock" in self:
            yield lock.in_words(self["lock"])


def packages() -> list[str]:
    """Return the distribution packages that were installed for roles and are removed with them.

    Returns
    -------
    list of str
        Their names, sorted.

    Examples
    --------
    >>> packages()  # doctest: +SKIP
    ['libfftw3-double3', 'mrtrix3']
    """
    note, _ = deps.noted()
    return sorted({name for names in note["installed"].values() for name in names})


def measured(role: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be measured of a role besides its report.

    Parameters
    ----------
    role : str
        The name of the role.
    report : mapping of str to object
        Its report.

    Returns
    -------
    dict of str to object
        ``size``, the bytes on disk, if it has a prefix of its own; ``pid`` and ``since``, in seconds since 1970, if it
        has a running process.

    Examples
    --------
    >>> measured("deps", {})
    {}
    """
    found: dict[str, Any] = {}
    prefix = report.get("prefix", "")
    # The distribution's package is in /usr, with all else.
    if prefix and Path(prefix, RECEIPT).exists():
        found["size"] = size_of(prefix)
    pid = alive.running(str(Path(places.state_folder(), role, f"{role}.pid")))
    if pid:
        found.update(pid=pid, since=_started(alive.process(pid)["start"]))
    return found


def size_of(folder: str) -> int:
    """Return how many bytes a folder takes on disk.

    Parameters
    ----------
    folder : str
        The folder.

    Returns
    -------
    int
        0 if the folder does not exist.

    Examples
    --------
    >>> size_of("/nonexistent")
    0
    """
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(f"{place}/{name}").st_blocks * 512
    return total


def _started(ticks: int) -> int:
    """Return when a process started, in seconds since 1970; the kernel counts ticks since boot."""
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return boot + ticks // os.sysconf("SC_CLK_TCK")


def stored(folder: str | None = None) -> dict[str, Any]:
    """Return how many builds are in the store, without reading them.

    Parameters
    ----------
    folder : str, optional
        The store (default: the one that runs use by default).

    Returns
    -------
    dict of str to object
        ``folder``, ``builds`` and their ``size``; also ``problem`` if it cannot be read.

    Examples
    --------
    >>> stored("/nonexistent")
    {'folder': '/nonexistent', 'builds': 0, 'size': 0}
    """
    folder = folder or places.default_store()
    try:
        sizes = [Path(path).stat().st_size for path in archives(folder)]
    except (OSError, StoreError) as error:
        why = getattr(error.__cause__ or error, "strerror", None) or str(error)
        problem = f"cannot be read: {why.lower()}"
        return {"folder": folder, "builds": 0, "size": 0, "problem": problem}
    return {"folder": folder, "builds": len(sizes), "size": sum(sizes)}


def status() -> Status:
    """Return what is installed on this machine, running and stored, without starting Ansible.

    Returns
    -------
    Status
        A dict, ``{"hosts": {"localhost": {role: report}}, "store": {...}}``. In each report, ``works`` says whether it
        works right now: commands are run, servers and tunnels are connected to. If not, ``problem`` may say why. For
        the other fields see `measured` and `stored`. While a run is changing this machine, ``lock`` is
        what `provision.engine.lock.holder` returns.

    Examples
    --------
    >>> status()["hosts"]["localhost"]["mrtrix3"]["version"]  # doctest: +SKIP
    '3.0.8'
    """
    found = {}
    for name in catalog.roles():
        report = notes.read_state(name).get("report")
        if report:
            found[name] = {**report, **look.now(name, report), **measured(name, report)}
    installed = packages()
    if installed:
        found = {"deps": {"packages": installed}, **found}
    changing = lock.holder()
    busy = {} if changing is None else {"lock": changing}
    return Status({"hosts": {"localhost": found}, "store": stored(), **busy})
