"""The logs of past runs: when, what, how it ended, and Ansible's output."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provision.display.tables import Cell, Table, Tabular
from provision.engine import logbook
from provision.errors import OptionError, ProvisionError
from provision.machine import failures
from provision.words import format_age

_COUNTS = re.compile(r"^\S+ +: +ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.M)


@dataclass(frozen=True)
class Log:
    """The log of one run.

    ``str(log)`` is Ansible's output.

    Attributes
    ----------
    path : pathlib.Path
        The file, readable by its owner only. Secrets were removed before it was written.
    when : float
        When the run ended, in seconds since 1970.
    roles : tuple of str
        What was run; the first word may be ``remove``.
    """

    path: Path
    when: float
    roles: tuple[str, ...]

    @property
    def text(self) -> str:
        """Ansible's output.

        Raises
        ------
        ProvisionError
            If the file cannot be read.
        """
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            gone = isinstance(error, FileNotFoundError)
            hint = "Later runs delete the oldest logs." if gone else ""
            code = "no-log" if gone else failures.failure(error)["code"]
            raise ProvisionError(f"The log {self.path} cannot be read: {why}.", hint=hint, code=code) from error

    @property
    def outcome(self) -> str:
        """How the run ended, in a few words, taken from Ansible's closing lines; ``did not end`` if there are none."""
        counts = [tuple(map(int, found)) for found in _COUNTS.findall(self.text)]
        if not counts:
            return "did not end"
        if any(unreachable or failed for _, unreachable, failed in counts):
            return "failed"
        changed = sum(count for count, _, _ in counts)
        return {0: "nothing changed", 1: "1 change"}.get(changed, f"{changed} changes")

    def __str__(self) -> str:
        """Return Ansible's output."""
        return self.text.rstrip("\n")

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only."""
        facts = {"path": str(self.path), "when": self.when, "roles": list(self.roles), "outcome": self.outcome}
        return {**facts, "text": self.text}


@dataclass(frozen=True, repr=False)
class Logs(Tabular, Sequence):
    """The logs of past runs, newest first: a sequence of `Log`, shown as a table.

    Parameters
    ----------
    folder : pathlib.Path
        Where they are.
    logs : sequence of Log
        One for each run.

    Examples
    --------
    >>> Logs(Path("/logs"))
    There are no logs in /logs.
    """

    folder: Path
    logs: Sequence[Log] = ()

    def __getitem__(self, index: int | slice) -> Any:
        return self.logs[index]

    def __len__(self) -> int:
        return len(self.logs)

    def table(self) -> Table:
        """Return a row for each log."""
        rows = [_row(number, log) for number, log in enumerate(self.logs, start=1)]
        return Table(rows, [f"in {self.folder}" if rows else f"There are no logs in {self.folder}."])

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only, without the texts of the logs."""
        logs = [{name: value for name, value in log.to_dict().items() if name != "text"} for log in self.logs]
        return {"folder": str(self.folder), "logs": logs}


def logs() -> Logs:
    """Return the logs of recent runs, newest first.

    Returns
    -------
    Logs
        A sequence of `Log`: ``logs()[0].text`` is Ansible's output of the last run.

    Examples
    --------
    >>> logs()[0].outcome  # doctest: +SKIP
    'nothing changed'
    """
    return Logs(logbook.place(), tuple(_log(path) for path in reversed(logbook.files())))


def log(number: int) -> Log:
    """Return the log of one run.

    Parameters
    ----------
    number : int
        1 for the last run, 2 for the one before, as `logs` numbers them.

    Returns
    -------
    Log

    Raises
    ------
    OptionError
        If there is no such log.

    Examples
    --------
    >>> log(1).outcome  # doctest: +SKIP
    'nothing changed'
    """
    found = logs()
    if not 0 < number <= len(found):
        hint = f"Logs: 1, the last run, to {len(found)}." if found else f"There are none in {found.folder}."
        raise OptionError(f"There is no log {number}.", hint=hint, code="no-log")
    return found[number - 1]


def _row(number: int, log: Log) -> tuple[Cell, ...]:
    when = Cell(f"{datetime.fromtimestamp(log.when, UTC):%Y-%m-%d %H:%M} UTC")
    age = Cell(f"{format_age(time.time() - log.when)} ago", "number")
    outcome = log.outcome
    style = "bad" if outcome in ("failed", "did not end") else ""
    return Cell(str(number), "number"), when, age, Cell(" ".join(log.roles)), Cell(outcome, style)


def _log(path: Path) -> Log:
    _number, when, roles = logbook.NAME.findall(path.name)[0]
    moment = datetime.strptime(when, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    return Log(path, moment.timestamp(), tuple(roles.split("+")))
