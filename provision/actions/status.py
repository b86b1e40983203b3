"""What is installed, running and stored on this machine, or on others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from provision.actions import connection, shared
from provision.actions.result import row
from provision.display.tables import Cell, Table, Tabular
from provision.engine import catalog, lock
from provision.machine import status as look
from provision.words import format_bytes

_HERE = "localhost"


class Status(Tabular, dict):
    """A dict, ``{"hosts": {"localhost": {role: report}}, "store": {...}}``, with ``lock`` while a run is going on.

    Of other machines it has ``stores``, ``locks`` and ``errors`` by host.

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
        rows = [row(role, report, host) for host, role, report in self._reports()]
        rows += [
            (Cell(f"{host}:", "name"), Cell("failed", "bad"), Cell(error["message"].removeprefix(f"{host} ")))
            for host, error in self.get("errors", {}).items()
        ]
        empty = [f"{self._of(host)}Nothing is installed." for host, reports in self["hosts"].items() if not reports]
        return Table(rows, (*empty, *self._notes(), *self._stored(), *self._changing()))

    @property
    def ok(self) -> bool:
        """Whether all machines could be looked at."""
        return not self.get("errors")

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: a copy with plain values only."""
        return copy.deepcopy(dict(self))

    def _of(self, host: str) -> str:
        return "" if host == _HERE and len(self["hosts"]) == 1 else f"{host}: "

    def _reports(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for host, reports in self["hosts"].items():
            for role, report in reports.items():
                yield self._of(host), role, report

    def _notes(self) -> Iterator[str]:
        """Yield the warnings."""
        found = (f"Note: {host}{note}" for host, _, report in self._reports() for note in report.get("notes", ()))
        yield from dict.fromkeys(found)

    def _stored(self) -> Iterator[str]:
        for host, store in self.get("stores", {_HERE: self.get("store", {})}).items():
            if store.get("problem"):
                yield f"{self._of(host)}The store {store['folder']} {store['problem']}."
            elif store.get("builds"):
                count = "1 build" if store["builds"] == 1 else f"{store['builds']} builds"
                yield f"{self._of(host)}{count} in the store {store['folder']}, {format_bytes(store['size'])}"

    def _changing(self) -> Iterator[str]:
        here = {_HERE: self["lock"]} if "lock" in self else {}
        for host, holder in {**here, **self.get("locks", {})}.items():
            yield f"{self._of(host)}{lock.in_words(holder)}"


@shared.for_people()
def status(
    on: shared.On | None = None,
    *,
    limit: str | None = None,
    forks: int | None = None,
    progress: Callable | None = None,
    ask_become_pass: bool = False,
) -> Status:
    """Return what is installed, running and stored, on this machine without starting Ansible.

    Parameters
    ----------
    on, limit, forks, progress, ask_become_pass
        As for `run`.

    Returns
    -------
    Status
        A dict, ``{"hosts": {"localhost": {role: report}}, "store": {...}}``. In each report, ``works`` says whether it
        works right now: commands are run, servers and tunnels are connected to. If not, ``problem`` may say why.
        ``size`` is the bytes that it takes on disk, ``pid`` and ``since`` (seconds since 1970) are of its process.
        While a run is changing this machine, ``lock`` is what `provision.engine.lock.holder` returns. With `on`,
        ``stores`` and ``locks`` are by host, ``errors`` has those that could not be looked at, and ``ok`` is false if
        there are any.

    Raises
    ------
    OptionError
        If there are no such machines.

    Examples
    --------
    >>> status()["hosts"]["localhost"]["mrtrix3"]["version"]  # doctest: +SKIP
    '3.0.8'
    """
    machines = shared.checked_inventory(on, limit, forks)
    if machines is None:
        found = look.status(list(catalog.roles()))
        return Status({"hosts": {_HERE: found.pop("roles")}, **found})
    answers, errors = shared.asked("status", machines, progress, ask_become_pass)
    return Status({
        "hosts": {host: one["roles"] for host, one in answers.items()},
        "stores": {host: one["store"] for host, one in answers.items()},
        "locks": {host: one["lock"] for host, one in answers.items() if "lock" in one},
        "errors": {host: error.to_dict()["error"] for host, error in errors.items()},
    })  # fmt: skip
