"""The findings of the doctor, as a table and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby

from provision.display.tables import Cell, Table, Tabular

_STYLES = {"ok": "good", "warn": "warn", "fail": "bad"}


@dataclass(frozen=True)
class Finding:
    """The finding of one check.

    Attributes
    ----------
    verdict : {"ok", "warn", "fail"}
        ``ok``, ``fail``, or ``warn`` for a problem that does not matter to everybody.
    found : str
        What was found, in one line.
    advice : str
        What to do; empty if it is ok.
    """

    verdict: str
    found: str
    advice: str = ""


class Diagnosis(Tabular, Mapping):
    """The findings of `doctor`: a mapping of each check's name to its `Finding`.

    Parameters
    ----------
    findings : mapping of str to Finding
        In the order in which they are shown.
    seconds : float
        How long the checks took.

    Examples
    --------
    >>> Diagnosis({"cpu": Finding("ok", "2 cores, x86-64-v3")}, 0.1)
    ok  cpu  2 cores, x86-64-v3
    All is well.
    """

    def __init__(self, findings: Mapping[str, Finding], seconds: float):
        self._findings, self.seconds = dict(findings), seconds

    def __getitem__(self, name: str) -> Finding:
        return self._findings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._findings)

    def __len__(self) -> int:
        return len(self._findings)

    @property
    def ok(self) -> bool:
        """Whether no check failed; warnings are allowed."""
        return not self._count("fail")

    def table(self) -> Table:
        """Return a row for each check; advice, if there is any, follows those that it is for."""
        rows = []
        for advice, group in groupby(self.items(), key=lambda item: item[1].advice):
            for name, finding in group:
                rows.append((Cell(finding.verdict, _STYLES[finding.verdict]), Cell(name, "name"), Cell(finding.found)))
            rows += [(Cell(), Cell(), Cell(advice, "dim"))] if advice else []
        return Table(rows, [self._summary()])

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only.

        Returns
        -------
        dict
            ``{"ok": ..., "seconds": ..., "checks": {name: {"verdict": ..., "found": ..., "advice": ...}}}``.

        Examples
        --------
        >>> Diagnosis({}, 0.1).to_dict()
        {'ok': True, 'seconds': 0.1, 'checks': {}}
        """
        checks = {name: asdict(finding) for name, finding in self.items()}
        return {"ok": self.ok, "seconds": self.seconds, "checks": checks}

    def _count(self, verdict: str) -> int:
        return sum(finding.verdict == verdict for finding in self.values())

    def _summary(self) -> str:
        counts = [
            f"{count} {word if count == 1 else words}"
            for count, word, words in (
                (self._count("fail"), "failure", "failures"),
                (self._count("warn"), "warning", "warnings"),
            )
            if count
        ]
        return f"{', '.join(counts)}." if counts else "All is well."


class Diagnoses(Tabular, dict):
    """The `Diagnosis` of each of several machines, by its name.

    Examples
    --------
    >>> fine = Diagnosis({"cpu": Finding("ok", "2 cores")}, 0.1)
    >>> full = Diagnosis({"cpu": Finding("ok", "2 cores"), "space": Finding("fail", "none", "Free some.")}, 0.1)
    >>> Diagnoses({"node1": fine, "node2": full})
    ok    node1  All is well.
    fail  node2  space: none
                 Free some.
    """

    @property
    def ok(self) -> bool:
        """Whether no check failed on any machine."""
        return all(one.ok for one in self.values())

    def table(self) -> Table:
        """Return a row for each check that found a problem, and for each machine without any."""
        rows: list[tuple[Cell, ...]] = []
        for host, one in self.items():
            problems = [(name, finding) for name, finding in one.items() if finding.verdict != "ok"]
            for name, finding in problems:
                verdict = Cell(finding.verdict, _STYLES[finding.verdict])
                rows.append((verdict, Cell(host, "name"), Cell(f"{name}: {finding.found}")))
                rows += [(Cell(), Cell(), Cell(finding.advice, "dim"))] if finding.advice else []
            if not problems:
                rows.append((Cell("ok", "good"), Cell(host, "name"), Cell("All is well.")))
        return Table(rows)

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: ``{"ok": ..., "hosts": {name: what a Diagnosis prints}}``."""
        return {"ok": self.ok, "hosts": {host: one.to_dict() for host, one in self.items()}}
