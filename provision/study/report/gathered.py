"""What the records of an output folder say; a record that is damaged is reported as such."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from provision.study.records import ALL, FAILURES
from provision.words import printable

DONE, FAILED, DAMAGED = "done", "failed", "damaged"

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LABELS = re.compile(r"sub-([^_]+)(?:_ses-([^_]+))?")


@dataclass(frozen=True)
class Record:
    """A step of a series, or of the group.

    Attributes
    ----------
    series, step : str
        The names of its folder and file, whatever is in it.
    state : {"done", "failed", "damaged"}
        Damaged is the record, not the result.
    inputs, outputs : dict of str to list of pathlib.Path
        Files by name; absolute.
    seconds, memory : float, optional
        The time in seconds and the peak memory in bytes; None if not known.
    """

    series: str
    step: str
    state: str
    subject: str = ""
    session: str = ""
    inputs: dict[str, list[Path]] = field(default_factory=dict)
    outputs: dict[str, list[Path]] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    host: str = ""
    started: str = ""
    seconds: float | None = None
    memory: float | None = None
    log: str = ""
    command: str = ""
    error: str = ""


@dataclass(frozen=True)
class Series:
    """A series and its records, in the order of the steps."""

    name: str
    records: Sequence[Record]

    @property
    def subject(self) -> str:
        """The label of its subject; empty if there is none."""
        return next((record.subject for record in self.records if record.subject), "")

    @property
    def failed(self) -> list[Record]:
        """The records of the steps that failed, and those that are damaged."""
        return [record for record in self.records if record.state != DONE]

    @property
    def seconds(self) -> float:
        """The time of all steps."""
        return sum(record.seconds or 0 for record in self.records)

    def record(self, step: str) -> Record | None:
        """Return the record of a step."""
        return next((record for record in self.records if record.step == step), None)

    def output(self, *names: str) -> Path | None:
        """Return the file of the first of these outputs that was made."""
        made = (record.outputs.get(name) for name in names for record in self.records)
        return next((paths[0] for paths in made if paths), None)

    def input(self, name: str) -> Path | None:
        """Return the file of this input of the first step that has it."""
        return next((record.inputs[name][0] for record in self.records if record.inputs.get(name)), None)

    def table(self, kind: str) -> Path | None:
        """Return the file of the gradient table of a kind, ``"bval"`` or ``"bvec"``, that was given to a step."""
        given = (path for record in self.records for paths in record.inputs.values() for path in paths)
        return self.input(kind) or next((path for path in given if path.suffix in (f".{kind}", f".{kind}s")), None)


@dataclass(frozen=True)
class Study:
    """An output folder: its series, the failed ones first, and the steps of the group."""

    out: Path
    series: Sequence[Series]
    group: Sequence[Record]
    steps: Sequence[str]

    @cached_property
    def subjects(self) -> dict[str, list[Series]]:
        """The series of each subject, sorted by name; a series without a subject has its own name for one."""
        found: dict[str, list[Series]] = {}
        for one in sorted(self.series, key=lambda one: one.name):
            found.setdefault(one.subject or one.name, []).append(one)
        return found

    @property
    def records(self) -> list[Record]:
        """All records."""
        return [*self.group, *(record for one in self.series for record in one.records)]

    def contributors(self, group: Record) -> list[str]:
        """Return the names of the series from which a group's response functions come."""
        of = {path: one.name for one in self.series for record in one.records
              for paths in record.outputs.values() for path in paths}  # fmt: skip
        given = (path for paths in group.inputs.values() for path in paths)
        return sorted({of.get(path) or re.split("_(?:label|model)-", path.name)[0] for path in given})


def gathered(out: Path) -> Study:
    """Return what the records in an output folder say."""
    found: dict[str, list[Record]] = {}
    for place in sorted((out / ALL).glob("*/*.json")):
        found.setdefault(place.parent.name, []).append(_read(place, out))
    group = [record for name, records in found.items() if _is_group(name) for record in records]
    series = {name: records for name, records in found.items() if not _is_group(name)}
    steps = _ordered(record for records in series.values() for record in records)
    for record in _unrecorded(out, found):
        series.setdefault(record.series, []).append(record)
    places = {step: place for place, step in enumerate(steps)}
    placed = [Series(name, sorted(records, key=lambda record: places.get(record.step, len(places))))
              for name, records in series.items()]  # fmt: skip
    return Study(out, sorted(placed, key=lambda one: (not one.failed, one.name)), group, steps)


def versions(records: Iterable[Record]) -> dict[str, dict[str, int]]:
    """Return the versions of each program, and how many steps each of them did."""
    counted = Counter(item for record in records for item in record.versions.items())
    found: dict[str, dict[str, int]] = {}
    for (program, version), number in sorted(counted.items()):
        found.setdefault(program, {})[version] = number
    return found


def _unrecorded(out: Path, found: Mapping[str, Sequence[Record]]) -> Iterator[Record]:
    """Yield what the list of failures has and records do not: series and steps that could not be started."""
    try:
        text = (out / FAILURES).read_text(encoding="utf-8", errors="replace")
        rows = [row for row in csv.DictReader(io.StringIO(text), dialect="excel-tab") if row.get("series")]
    except (OSError, csv.Error):
        return
    for row in rows:
        names = ("series", "step", "subject", "session", "command", "error", "log")
        said: dict[str, Any] = {name: "" if row.get(name) == "n/a" else _text(row.get(name)) for name in names}
        if said["step"] not in {record.step for record in found.get(said["series"], ())}:
            yield Record(state=FAILED, **said)


def _is_group(name: str) -> bool:
    return name.startswith("group")


def _ordered(records: Iterable[Record]) -> list[str]:
    """Return the names of the steps in the order in which they were first started."""
    first: dict[str, str] = {}
    for record in records:
        started = record.started or "~"  # after all dates
        first[record.step] = min(first.get(record.step, started), started)
    return sorted(first, key=lambda step: (first[step], step))


def _read(place: Path, out: Path) -> Record:
    """Return a record; what it does not have, or has in another type, is empty."""
    series, step = place.parent.name, place.stem
    labels = _LABELS.match(series)
    subject, session = (labels[1], labels[2] or "") if labels else ("", "")
    try:
        said = json.loads(place.read_bytes())
        if not isinstance(said, dict) or said.get("state") not in (DONE, FAILED):
            raise ValueError("it has no state")
    except (OSError, ValueError, RecursionError) as error:
        reason = _text(getattr(error, "strerror", None) or str(error))
        message = f"The record {place.relative_to(out)} cannot be read: {reason}."
        return Record(series, step, DAMAGED, subject, session, error=message)
    numbers: dict[str, Any] = {name: _number(said.get(name)) for name in ("seconds", "memory")}
    texts: dict[str, Any] = {name: _text(said.get(name)) for name in ("host", "started", "log", "command", "error")}
    return Record(
        series, step, said["state"], _text(said.get("subject")) or subject, _text(said.get("session")) or session,
        _files(said.get("inputs"), out), _files(said.get("outputs"), out),
        [[_text(word) for word in command] for command in _list(said.get("commands")) if isinstance(command, list)],
        {name: _text(version) for name, version in _dict(said.get("versions")).items()}, **numbers, **texts,
    )  # fmt: skip


def _files(said: Any, out: Path) -> dict[str, list[Path]]:
    """Return the paths of files by name."""
    return {
        name: [out / entry["path"] for entry in _list(entries)
               if isinstance(entry, dict) and isinstance(entry.get("path"), str) and "\0" not in entry["path"]]
        for name, entries in _dict(said).items()
    }  # fmt: skip


def _dict(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _list(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def _number(said: Any) -> float | None:
    is_number = isinstance(said, int | float) and not isinstance(said, bool)
    return float(said) if is_number and 0 <= said < 1e18 else None


def _text(said: Any) -> str:
    return "" if said is None else printable(_ESCAPES.sub("", str(said))).strip()
