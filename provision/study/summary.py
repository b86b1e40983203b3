"""What is left of a run for people: tables, descriptions and a list of what failed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provision import __version__
from provision.display.tables import Cell, Table
from provision.errors import ProvisionError
from provision.machine import failures
from provision.machine.files import write_json, write_text
from provision.machine.reading import read_json, read_text
from provision.study.plan import Task, by_owner
from provision.study.records import FAILURES, INDEX
from provision.study.series import Series
from provision.study.worker import is_gone
from provision.words import format_seconds

_COLUMNS = ("subject", "session", "series", "step", "command", "error", "log")
# What the BIDS validator 3.0.2 does not know, and gradient tables, which it asks for and then does not allow.
_IGNORED = (
    "*.bval", "*.bvec", "*.html", "*.tck", "*.csv", "*_dwimap.*", "*_gradients.json", "*_provenance.json", "failed.tsv",
    "group", "logs",
)  # fmt: skip
_STYLES = {"done": "good", "failed": "bad", "waiting": "warn", "due": "warn", "left out": "dim"}


@dataclass(frozen=True)
class Row:
    """How a series ended.

    Attributes
    ----------
    series, subject, session : str
        Its name and labels.
    state : {"done", "failed", "waiting", "due", "left out"}
        How it ended.
    done, total : int
        How many of its steps are done, and how many there are.
    ran : int
        How many of them were run now; the others had been done before.
    seconds : float
        How long its steps took, whenever they were run.
    step, command, error, log : str
        For a series that failed: where and why; for one that waits: the step, and what for.
    """

    series: str
    subject: str
    session: str
    state: str
    done: int = 0
    total: int = 0
    ran: int = 0
    seconds: float = 0.0
    step: str = ""
    command: str = ""
    error: str = ""
    log: str = ""


@dataclass(frozen=True)
class Study:
    """A study after a run: a table with a row for each series.

    Attributes
    ----------
    out : pathlib.Path
        The output folder.
    rows : tuple of Row
        One for each series.
    notes : tuple of str
        What concerns all of them, in whole sentences.
    """

    out: Path
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no series failed."""
        return not self.failed

    @property
    def failed(self) -> list[Row]:
        """The series that failed."""
        return [row for row in self.rows if row.state == "failed"]

    @property
    def changed(self) -> bool:
        """Whether a step was run."""
        return any(row.ran for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        rows = [vars(row) for row in self.rows]
        return {"out": str(self.out), "changed": self.changed, "series": rows, "notes": list(self.notes)}

    def __str__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def __repr__(self) -> str:
        return self.summary

    @property
    def summary(self) -> str:
        """One line."""
        count = {state: sum(row.state == state for row in self.rows) for state in _STYLES}
        said = ", ".join(f"{number} {state}" for state, number in count.items() if number)
        return f"{len(self.rows)} series: {said or 'nothing to do'}. Results: {self.out}"

    def _table(self) -> Table:
        cells = [
            (
                Cell(row.series, "name"),
                Cell(row.state, _STYLES[row.state]),
                Cell(f"{row.done}/{row.total}", "number"),
                Cell(format_seconds(row.seconds) if row.seconds else "", "number"),
                Cell(": ".join(filter(None, (row.step, row.error)))),
            )
            for row in self.rows
        ]
        head = (Cell("series"), Cell("state"), Cell("steps", "number"), Cell("time", "number"), Cell(""))
        return Table(cells, [*self.notes, self.summary], head)


def with_report(found: Study, problem: str) -> Study:
    """Return a study with its report, or with what was wrong with that."""
    return replace(found, notes=(*found.notes, problem or f"Report: {found.out / INDEX}"))


def study(out: Path, series: Sequence[Series], tasks: Sequence[Task], notes: Sequence[str] = ()) -> Study:
    """Return the table of a study."""
    of = by_owner(tasks)
    return Study(out, tuple(_row(each, of.get(each.name, [])) for each in series), tuple(notes))


def _row(series: Series, tasks: Sequence[Task]) -> Row:
    about = (series.name, series.subject, series.session)
    if series.problem:
        return Row(*about, "failed", step="data", error=series.problem)
    if series.note:
        return Row(*about, "left out", error=series.note)
    states = {task.state for task in tasks}
    state = next((each for each in ("failed", "due", "waiting", "blocked") if each in states), "done")
    bad = next((task for task in tasks if task.state == state), None) if state != "done" else None
    seconds = sum(task.record.get("seconds", 0.0) for task in tasks if task.state in ("kept", "done"))
    why = {"step": bad.step.name, "error": bad.reason} if bad else {}
    if bad and state == "failed":
        why |= {"command": bad.record.get("command", ""), "log": bad.record.get("log", "")}
    return Row(
        *about, "failed" if state == "blocked" else state, sum(task.state in ("kept", "done") for task in tasks),
        len(tasks), sum(task.state == "done" for task in tasks), round(seconds, 1), **why,
    )  # fmt: skip


def describe(out: Path, source: Path) -> None:
    """Write the files by which BIDS knows the folder as derivatives, unless they are there."""
    made_by = {"Name": "provision", "Version": __version__}
    name = read_json(str(source / "dataset_description.json")).get("Name", source.name)
    description = {
        "Name": f"{name}: fibre orientation distributions", "BIDSVersion": "1.10.0", "DatasetType": "derivative",
        "GeneratedBy": [made_by], "SourceDatasets": [{"URL": source.resolve().as_uri()}],
    }  # fmt: skip
    try:
        if not (out / "dataset_description.json").exists():
            write_json(str(out / "dataset_description.json"), description)
        if not (out / ".bidsignore").exists():
            write_text(str(out / ".bidsignore"), "".join(f"{pattern}\n" for pattern in _IGNORED))
    except OSError as error:
        if is_gone(error):
            raise
        message, hint = failures.explain(error)
        raise ProvisionError(message, hint=hint, code="study-folder") from error


def _write_failures(found: Study, all_series: bool) -> str:
    """Write failed.tsv, in which series that were not looked at stay; return a note if there is another such file."""
    path, here, others = found.out / FAILURES, {row.series for row in found.rows}, []
    with suppress(FileNotFoundError):
        before = path.read_bytes().decode("utf-8", errors="replace")
        if before and before.splitlines()[0] != "\t".join(_COLUMNS):
            return f"{path} is from another program: what failed is not listed there."
        with suppress(csv.Error):
            listed = csv.DictReader(io.StringIO(before, newline=""), dialect="excel-tab")
            others = [row for row in listed if row.get("series") not in here and not all_series]
    rows = [{name: getattr(row, name) or "n/a" for name in _COLUMNS} for row in found.failed]
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, dialect="excel-tab", lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(sorted([*others, *rows], key=lambda row: str(row.get("series"))))
    write_text(str(path), text.getvalue())
    return ""


def write(found: Study, tasks: Sequence[Task], *, all_series: bool = False) -> Study:
    """Write the list of what failed, and the provenance of each series of which something is done.

    Return the study, with a note if that could not be done: the results are there. Where its series are all of the
    dataset, no others stay in the list.
    """
    try:
        note = _write_failures(found, all_series)
        _write_provenance(found, tasks)
    except OSError as error:
        note = failures.explain(error)[0]
    return replace(found, notes=(*found.notes, note)) if note else found


def _write_provenance(found: Study, tasks: Sequence[Task]) -> None:
    for owner, of in by_owner(tasks).items():
        series = of[0].series
        if series is None or not any(task.state in ("kept", "done") for task in of):
            continue
        path = found.out / series.folder / f"{owner}_provenance.json"
        steps = [task.record for task in of if task.record]
        text = json.dumps({"series": owner, "steps": steps}, indent=1)
        if read_text(str(path)) != text:  # an interrupted run wrote none
            write_text(str(path), text)
        for task in of:
            _describe_image(found.out, task)


def _describe_image(out: Path, task: Task) -> None:
    """Write the JSON file that BIDS wants beside a diffusion series: that of the raw one, and what it asks for."""
    path = task.outputs.get("dwi", "")
    beside = out / f"{path.removesuffix('.nii.gz')}.json"
    is_due = task.state == "done" or (task.state == "kept" and not beside.exists())
    if path.endswith("_dwi.nii.gz") and is_due:
        raw = read_json(str(task.series.sidecar)) if task.series and task.series.sidecar else {}
        write_json(str(beside), {**raw, "SkullStripped": False})


def notes(tasks: Sequence[Task], scrub: bool) -> list[str]:
    """Return what a user should know of what was done before, and of what was computed from several series."""
    said: list[str] = []
    if before := sum(task.state == "kept" and not task.record.get("scrubbed") for task in tasks) * scrub:
        said.append(f"{before} steps were done before without --scrub: their files have what it takes out.")
    for task in tasks:
        if task.series is None and task.state == "waiting":
            said.append(f"{task.owner}: {task.step.name} waits: {task.reason}.")
        elif task.series is None and task.state in ("kept", "done") and task.inputs:
            said.append(_note_of(task))
    return list(dict.fromkeys(said))


def _note_of(task: Task) -> str:
    """Return the series that a group's step was computed from, and those that came later."""
    name, paths = next(iter(task.inputs.items()))
    used = {file["path"] for file in task.record["inputs"].get(name, [])}
    of = zip(paths, task.sources[name], strict=True)
    later = sorted({one.owner for path, one in of if one and one.good and path not in used})
    said = f"{task.owner}: {task.step.name} is from {len(used)} series"
    return f"{said}, without {', '.join(later)}; --redo {task.step.name} includes them." if later else f"{said}."
