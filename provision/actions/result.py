"""The result of a run: the reports of the roles, host by host."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provision.actions import connection, fleet
from provision.display.output import take_back
from provision.display.tables import Cell, Table, Tabular
from provision.errors import ProvisionError
from provision.machine import failures
from provision.notebook import in_notebook
from provision.words import choices, format_bytes, format_seconds, no_such

# What the box shows already.
_IN_THE_BOX = ("command", "fingerprint", "known_hosts", "config", "password_file", "expires")
_READ_PASSWORD = 'Only the user who started the server can read it; provision.run("sshd") replaces a missing one.'


class Report(Mapping):
    """The report of one role on one host: a read-only mapping whose fields are also attributes.

    Parameters
    ----------
    fields : mapping of str to object
        What the role reported. If that includes a ``password_file``, the attribute ``password`` reads it.
    here : bool
        Whether the host is this machine.

    Examples
    --------
    >>> report = Report({"version": "3.0.8", "origin": "package"})
    >>> report.version, report["origin"]
    ('3.0.8', 'package')
    """

    __slots__ = ("_fields", "_here")

    def __init__(self, fields: Mapping[str, Any], here: bool = True):
        object.__setattr__(self, "_fields", copy.deepcopy(dict(fields)))
        object.__setattr__(self, "_here", here)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getattr__(self, name: str) -> Any:
        # Python asks for underscored names while it copies or shows an object, when there may be no fields yet.
        if name.startswith("_"):
            raise AttributeError(name)
        if name == "password" and "password_file" in self._fields:
            return self._read_password()
        if name not in self._fields:
            raise AttributeError(self._missing(name))
        return self._fields[name]

    def _read_password(self) -> str:
        """Return the password, read from its file at this moment."""
        path = Path(self._fields["password_file"])
        if not self._here:
            raise ProvisionError(
                f"The password is on the other machine, in {path}.",
                hint="Read it there, as its owner.",
                code="not-here",
            )
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            code = "no-file" if isinstance(error, FileNotFoundError) else failures.failure(error)["code"]
            message = f"The password cannot be read from {path}: {why}."
            raise ProvisionError(message, hint=_READ_PASSWORD, code=code) from error

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name!r} cannot be set: a report is read-only.")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._fields})

    def __reduce__(self) -> tuple:
        return type(self), (self._fields, self._here)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def _missing(self, name: str) -> str:
        return " ".join(filter(None, no_such("field", name, self)))


class HostReports(Report):
    """The reports of one host: a mapping of each role's name to its `Report`.

    Parameters
    ----------
    fields : mapping of str to mapping
        The reports by role.
    here : bool
        Whether the host is this machine.

    Examples
    --------
    >>> HostReports({"mrtrix3": {"version": "3.0.8"}}).mrtrix3.version
    '3.0.8'
    """

    __slots__ = ()

    def __init__(self, fields: Mapping[str, Mapping[str, Any]], here: bool = True):
        super().__init__({role: Report(report, here) for role, report in fields.items()}, here)

    def _missing(self, name: str) -> str:
        return f"No role {name!r} was run. {choices(name, self, 'Roles run')}".strip()


@dataclass(frozen=True, repr=False)
class Result(Tabular):
    """The result of a run.

    With one host, its roles are attributes: ``result.mrtrix3.version``. With several, go through the name of the host:
    ``result.hosts["node1"].mrtrix3.version``.

    Parameters
    ----------
    changed : int
        How many tasks changed something; 0 if everything was already as asked for.
    seconds : float
        How long the run took.
    hosts : mapping of str to mapping
        The reports by host and role.
    check : bool, optional
        Whether this was only a check of what a run would change.
    here : bool, optional
        Whether the host is this machine.
    notes : sequence of str, optional
        Warnings about the run itself.
    per_host : mapping of str to mapping, optional
        With an inventory, ``changed``, ``seconds`` and ``failed`` of each host.

    Examples
    --------
    >>> Result(0, 2.1, {"localhost": {"mrtrix3": {"version": "3.0.8", "origin": "package"}}})
    mrtrix3 3.0.8 ready in 2.1 s (package) - nothing changed
    """

    changed: int
    seconds: float
    hosts: dict[str, HostReports]
    check: bool = False
    here: bool = True
    notes: Sequence[str] = ()
    per_host: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self):
        hosts = {name: HostReports(reports, self.here) for name, reports in self.hosts.items()}
        object.__setattr__(self, "hosts", hosts)

    def __getattr__(self, name: str) -> Any:
        # Python asks for underscored names while it copies or shows an object, when there may be no hosts yet.
        if name.startswith("_"):
            raise AttributeError(name)
        if len(self.hosts) != 1:
            raise AttributeError(_which_host(name, list(self.hosts)))
        (reports,) = self.hosts.values()
        return getattr(reports, name)

    def __dir__(self) -> list[str]:
        roles = next(iter(self.hosts.values())) if len(self.hosts) == 1 else ()
        return sorted({*super().__dir__(), *roles})

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only.

        Returns
        -------
        dict
            A copy: ``{"changed": ..., "seconds": ..., "hosts": {host: {role: {...}}}}``, plus any ``notes``, and with
            an inventory ``per_host``.

        Examples
        --------
        >>> Result(0, 1.9, {"localhost": {"deps": {"packages": []}}}).to_dict()
        {'changed': 0, 'seconds': 1.9, 'hosts': {'localhost': {'deps': {'packages': []}}}}
        """
        hosts = {
            host: {role: copy.deepcopy(dict(report)) for role, report in reports.items()}
            for host, reports in self.hosts.items()
        }
        more: dict[str, Any] = {"notes": list(self.notes)} if self.notes else {}
        more |= {"per_host": {host: dict(one) for host, one in self.per_host.items()}} if self.per_host else {}
        return {"changed": self.changed, "seconds": self.seconds, "hosts": hosts, **more}

    def __repr__(self) -> str:
        table, rows = self.table(), list(self._rows())
        if len(rows) == 1:
            ((host, role, report),) = rows
            line = f"{host}{sentence(role, report, self.seconds, new=self.changed > 0)} - {self._changes()}"
            table = Table(lines=(line, *self._notes()))
        return "\n".join([table.text(), *self._ways_in()])

    def table(self) -> Table:
        """Return a row for each role, or for each of several hosts, and a summary of the run."""
        if len(self.per_host) > 1:
            found = fleet.table(self.hosts, self.per_host, check=self.check)
            return replace(found, lines=(self._end(), *self._notes()))
        rows = [row(role, report, host, new=self.changed > 0) for host, role, report in self._rows()]
        return Table(rows, (self._end(), *self._notes()))

    def _end(self) -> str:
        if not (self.hosts or self.changed):
            return "nothing was done"
        return f"done in {format_seconds(self.seconds)} - {self._changes()}"

    def _notes(self) -> Iterator[str]:
        """Yield the warnings."""
        # One that several roles share, such as on the folder of their links, appears once.
        rows = [(host, note) for host, _, report in self._rows() for note in report.get("notes", ())]
        yield from dict.fromkeys(f"Note: {host}{note}" for host, note in [*(("", note) for note in self.notes), *rows])

    def _ways_in(self) -> Iterator[str]:
        """Yield how to connect to the machines."""
        for host, reports in self.hosts.items():
            found = list(connection.lines(reports))
            yield from ([f"{host}:"] if found and len(self.hosts) > 1 else [])
            yield from found

    def _repr_html_(self) -> str:
        """Return the table for a notebook, and how to connect."""
        several = len(self.hosts) > 1
        boxes = (connection.box(reports, host if several else "") for host, reports in self.hosts.items())
        return "".join([super()._repr_html_(), *boxes])

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict:
        """Return the same with a button that reveals the password, if this is a notebook and there is one."""
        # The closing line of the display below the cell would repeat this.
        take_back(repr(self))
        reports: Mapping[str, Any] = next(iter(self.hosts.values()), {})
        sshd = reports.get("sshd", {})
        if not (self.here and "password_file" in sshd and in_notebook()):
            return {}
        widget = connection.with_button(self._repr_html_(), lambda: sshd.password)
        if not widget:
            return {}
        data, _metadata = widget._repr_mimebundle_()
        return {name: value for name, value in data.items() if "widget" in name}

    def _rows(self) -> Iterator[tuple[str, str, Report]]:
        """Yield the report of each role, with the name of its host if there are several."""
        for host, reports in self.hosts.items():
            for role, report in reports.items():
                yield (f"{host}: " if len(self.hosts) > 1 else ""), role, report

    def _changes(self) -> str:
        if self.check:
            return "nothing to change" if not self.changed else "check only, nothing was changed"
        return {0: "nothing changed", 1: "1 change"}.get(self.changed, f"{self.changed} changes")


def sentence(role: str, report: Mapping[str, Any], seconds: float | None = None, *, new: bool = False) -> str:
    """Return a role's report as one line; for a `new` build with the time that building it took."""
    if report.get("would"):
        return f"{f'{role}: ' if role else ''}would {report['would']}"
    words = [role, str(report.get("version") or ""), _state(report)]
    if seconds is not None:
        words.append(f"in {format_seconds(seconds)}")
    line = " ".join(filter(None, words))
    origin = report.get("origin")
    if new and origin in ("store", "archive") and report.get("build_seconds"):
        took, saved = format_seconds(report["seconds"]), format_seconds(report["build_seconds"])
        return f"{line}, origin: {origin}, {took} (building it took {saved})"
    return f"{line} ({origin})" if origin else line


def _state(report: Mapping[str, Any]) -> str:
    if not report:  # a check of a machine that has nothing yet
        return "not installed"
    state = report.get("state", "present")
    if state not in ("present", "started"):
        return str(state)
    if report.get("works", True):
        return "ready"
    return f"does not work: {report['problem']}" if report.get("problem") else "does not run"


def details(report: Mapping[str, Any]) -> list[str]:
    """Return what is worth knowing about a role besides whether it works."""
    parts = [str(report["problem"])] if report.get("problem") else []
    if report.get("packages"):
        count = len(report["packages"])
        parts.append(f"{count} distribution packages" if count > 1 else report["packages"][0])
    if report.get("prefix") or report.get("bin"):
        parts.append(str(report["prefix"] if report.get("size") else report.get("bin") or report["prefix"]))
    if report.get("size"):
        parts.append(format_bytes(report["size"]))
    if report.get("pid"):
        parts.append(f"process {report['pid']}")
        parts.append(report.get("url") or f"{report.get('host')}:{report.get('port')}")
    if report.get("pid") and "since" in report:
        parts.append(f"since {datetime.fromtimestamp(report['since'], UTC):%Y-%m-%d %H:%M} UTC")
    return parts


def row(role: str, report: Mapping[str, Any], host: str = "", new: bool = False) -> tuple[Cell, ...]:
    """Return whether a role works, some details, and, behind a click, every field by name."""
    hidden = _IN_THE_BOX if role in connection.ways_in() else ()
    fields = {name: _shown(report[name]) for name in sorted(report) if report[name] and name not in hidden}
    works, short = report.get("works", True), report and {**report, "problem": ""}
    style = ("", "dim") if works else ("bad", "")
    known = "" if report.get("would") else ", ".join(details(report))
    return Cell(host + role, "name"), Cell(sentence("", short, new=new), style[0]), Cell(known, style[1], fields)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _which_host(name: str, hosts: list[str]) -> str:
    if not hosts:
        return f"There is no {name!r}: the run reported nothing."
    return f"{name!r} is ambiguous with {len(hosts)} hosts; use .hosts[{hosts[0]!r}].{name}."
