"""A whole study through the steps of a pipeline: ``provision.process``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from provision import paths
from provision.actions.shared import display, for_people
from provision.checkup import needs
from provision.checkup.programs import NEEDS
from provision.engine.events import Step as Event
from provision.errors import OptionError, ProvisionError, unknown
from provision.machine import drive
from provision.machine.reading import read_json
from provision.study import claim, executors, summary
from provision.study import steps as steps_of
from provision.study.plan import Task, plan
from provision.study.pool import Pool, this_machine
from provision.study.progress import Progress
from provision.study.records import CLAIM
from provision.study.scheduler import OWN_PATH, Scheduler, Settings
from provision.study.series import Series, from_bids, from_pattern
from provision.study.steps import OWN, Step
from provision.study.summary import Study
from provision.study.worker import scratch_folder

LEVELS = ("participant", "group")
"""The levels of analysis of a BIDS App."""

# How the programs that a role brings say their version.
_VERSIONS = {"mrtrix3": ("mrinfo", "-version"), "ants": ("N4BiasFieldCorrection", "--version")}


def process(
    bids: str | os.PathLike[str],
    out: str | os.PathLike[str],
    level: str = "participant",
    *,
    participant_label: Sequence[str] = (),
    session_label: Sequence[str] = (),
    pattern: str | None = None,
    steps: Sequence[str] = ("csd",),
    jobs: int | None = None,
    nthreads: int | None = None,
    mem: float | None = None,
    executor: str | os.PathLike[str] = "local",
    scratch: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
    redo: Sequence[str] = (),
    dry_run: bool = False,
    scrub: bool = False,
    report: bool = True,
    progress: Callable[[Any], Any] | None = None,
) -> Study:
    """Run the steps of a pipeline on every diffusion series of a dataset; run it again to resume.

    What has been done is recorded, with the digests of inputs and outputs: another run does what is missing, and what
    follows from an input that has changed. A series that fails does not stop the others.

    Parameters
    ----------
    bids : path-like
        The dataset, a BIDS folder; with `pattern` any folder.
    out : path-like
        The folder for the derivatives; it is made.
    level : {"participant", "group"}
        The steps of each series, or only what they have in common: the average response functions. For all subjects,
        ``"participant"`` does both.
    participant_label, session_label : sequence of str
        The subjects and sessions, with or without ``sub-`` and ``ses-`` (default: all). With some of them, the average
        response functions are not computed but must have been: use the level ``"group"`` in between.
    pattern : str, optional
        Where the images are in a folder that is not BIDS, such as ``"{subject}/{session}/dwi.nii.gz"``.
    steps : sequence of str
        Names of built-in steps, in order: ``"denoise"``, ``"preproc"``, ``"bias"``, ``"csd"``, ``"tracks"``; or paths
        of YAML files.
    jobs : int, optional
        How many steps are run at once (default: as many as cores and memory allow).
    nthreads : int, optional
        How many threads each command uses (default: the cores divided by the jobs).
    mem : float, optional
        How much memory may be used on a machine, in GB (default: what is free).
    executor : str or path-like
        Where the steps are run: ``"local"``; an Ansible inventory, whose hosts are reached by SSH and have MRtrix3 and
        the same folders; or the address of a Dask scheduler, such as ``"tcp://head:8786"``.
    scratch : path-like, optional
        A folder on a local disk for what is being computed (default: in the system's folder for temporary files).
    retry_failed : bool
        Whether to try again what failed before.
    redo : sequence of str
        Names of steps that are done again, and what follows from them.
    dry_run : bool
        Whether only to report what is due.
    scrub : bool
        Whether to take names, dates of birth and paths out of the headers that MRtrix3 writes.
    report : bool
        Whether to draw the report, ``index.html`` in the output folder.
    progress : callable, optional
        Called with a `provision.engine.events.Step` for each piece of progress, instead of the display.

    Returns
    -------
    provision.study.summary.Study
        A table with a row for each series; its `ok` is False if one failed.

    Raises
    ------
    provision.errors.OptionError
        If an argument is wrong, or there is nothing to process.
    provision.errors.ProvisionError
        If a program is missing, another run is at work on the folder, or the folder cannot be reached.

    Examples
    --------
    >>> provision.process("bids", "derivatives", participant_label=["01"])  # doctest: +SKIP
    """
    if level not in LEVELS:
        raise unknown("level", level, LEVELS, code="bad-value")
    chosen = steps_of.read([steps] if isinstance(steps, str) else steps)
    for name in redo:
        if name not in {step.name for step in chosen}:
            raise unknown("step", name, dict.fromkeys(step.name for step in chosen), code="bad-value")
    source, target = paths.absolute(bids), paths.absolute(out)
    _check_folders(source, target)
    found = _series(source, pattern, participant_label, session_label)
    settings = Settings(
        base=str(paths.absolute(scratch)) if scratch else "",
        key=hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:16],
        nthreads=_number(nthreads, "nthreads"), retry_failed=retry_failed, redo=frozenset(redo), level=level,
        whole=level == "group" or not (participant_label or session_label), scrub=scrub,
    )  # fmt: skip
    tasks = plan([series for series in found if not (series.problem or series.note)], chosen)
    scheduler = Scheduler(target, tasks, settings)
    if dry_run:
        scheduler.foresee()
        return summary.study(target, found, tasks)
    where = os.fspath(executor)
    executors.check(where)
    limits = _number(jobs, "jobs"), settings.nthreads, int((_number(mem, "mem") or 0) * 1e9)
    with for_people(), claim.held(target / CLAIM) as mine, _shown(progress, scheduler) as on_step:
        summary.describe(target, source)
        lost = _run(scheduler, source, chosen, lambda most: executors.workers(where, *limits, most), mine.check)
        result = summary.study(target, found, tasks, [*lost, *_notes(tasks, scrub)])
        summary.write(result, tasks)
        if report:
            result = summary.with_report(result, _draw(target, [row.subject for row in result.rows], on_step))
    return result


def _run(
    scheduler: Scheduler,
    source: Path,
    steps: Sequence[Step],
    workers: Callable[[int], Any],
    check: Callable[[], None],
) -> list[str]:
    """Run what is due, if anything is; return a note for each machine that was lost."""
    ready = scheduler.settle()
    # A folder that went away under it made all look as if it were not done.
    if not (scheduler.out / CLAIM).is_file():
        hint = "When it is there again, run the same command to resume."
        raise ProvisionError(f"The output folder {scheduler.out} is gone.", hint=hint, code="study-gone")
    if not ready:
        return []
    pool = workers(len({task.owner for task in scheduler.tasks if not task.settled}))
    try:
        _prepare(pool, scheduler, source, steps)
        scheduler.run(pool, check)
        return [f"{name} was not reached, or was lost." for name in dict.fromkeys(pool.lost)]
    finally:
        pool.close()
        shutil.rmtree(scratch_folder(scheduler.settings.base, scheduler.settings.key), ignore_errors=True)


@contextlib.contextmanager
def _shown(progress: Callable[[Any], Any] | None, scheduler: Scheduler) -> Iterator[Callable[[Any], Any]]:
    with display(progress) as (on_step, _):
        shown = Progress(on_step)
        shown.follow(scheduler)
        yield on_step


def _draw(out: Path, subjects: Sequence[str], on_step: Callable[[Any], Any]) -> str:
    """Draw the report, several subjects at once; return a note if that fails, for the results are there."""
    from provision.study import report

    title = "Draw the report"
    on_step(Event("task", task=title))
    try:
        changed = report.changed(out, subjects)
        if len(changed) > 1:
            _draw_apart(out, changed, lambda number: on_step(
                Event("work", task=title, number=number, total=len(changed), unit="subjects")
            ))  # fmt: skip
        report.write(out)
    except (OSError, ProvisionError) as error:
        on_step(Event("done", task=title, failed=True))
        return f"The report could not be drawn: {error}."
    on_step(Event("done", task=title, changed=bool(changed)))
    return ""


def _draw_apart(out: Path, subjects: Sequence[str], on_number: Callable[[int], Any]) -> None:
    """Draw the pages of subjects in processes of their own, as many at once as there are cores."""
    pool, left = Pool([this_machine()], None, None, len(subjects)), list(subjects)
    try:
        while left or pool.running():
            for worker, subject in zip(pool.free(), left.copy(), strict=False):
                argv = [sys.executable, "-m", "provision.study.report", str(out), subject]
                pool.start(worker, left.pop(0), {"call": "command", "id": "", "argv": argv, "environment": OWN_PATH})
            pool.wait()
            on_number(len(subjects) - len(left) - len(pool.running()))
    finally:
        pool.close()


def _prepare(pool: Any, scheduler: Scheduler, source: Path, steps: Sequence[Step]) -> None:
    """Check that every host has the programs and the folders, and clear what was left there."""
    due = {task.step.name for task in scheduler.tasks if not task.settled}
    used = [step for step in steps if step.name in due]
    programs = {command[0]: step for step in reversed(used) for command in step.commands if command[0] not in OWN}
    roles = {role for step in used for role in step.roles}
    versions = {role: argv for role, argv in _VERSIONS.items() if role in roles}
    for host in pool.hosts:
        where = f" on {host.name}" if host.name else ""
        folders = [str(source), str(scheduler.out)]
        wanted = [] if host.own else list(programs)
        answer = pool.ask(host, call="programs", programs=wanted, folders=folders, versions=versions)
        if answer["missing"]:
            raise _not_installed(answer["missing"][0], programs[answer["missing"][0]], where)
        if answer["absent"]:
            hint = "The dataset and the output folder must have the same path on all machines."
            raise ProvisionError(f"There is no folder {answer['absent'][0]}{where}.", hint=hint, code="no-folder")
        host.versions = answer["versions"]
        pool.ask(host, call="sweep", base=scheduler.settings.base, key=scheduler.settings.key)
    if any(not host.name for host in pool.hosts):
        for step in used:
            _check_needs(step)


def _not_installed(program: str, step: Step, where: str = "") -> ProvisionError:
    roles = " ".join(step.roles)
    hint = f"Install what it needs: provision run {roles}." if roles else "Install it, or correct the step."
    message = f"The step {step.name!r} needs {program}, which is not installed{where}."
    return ProvisionError(message, hint=hint, code="not-installed")


def _check_needs(step: Step) -> None:
    """Refuse a step whose script needs something that is not here."""
    for command in step.commands:
        script = next((name for name in (" ".join(command[:2]), command[0]) if name in NEEDS), "")
        for need in NEEDS.get(script, ()):
            finding = needs.checks(script)[need.name]() if not need.unless else None
            if finding and finding.verdict == "fail":
                message = f"The step {step.name!r} needs {need.name}: {finding.found}."
                raise ProvisionError(message, hint=finding.advice, code="not-installed")


def _check_folders(source: Path, target: Path) -> None:
    for path in (source, target):
        if mount := drive.unmounted_drive(str(path)):
            message = f"No Google Drive is mounted at {mount}, where {path} is."
            raise OptionError(message, hint="Mount it first.", code="no-drive")
    if not source.is_dir():
        raise OptionError(f"There is no folder {source}.", hint="Give the folder of the dataset.", code="no-folder")
    if target.exists() and not target.is_dir():
        raise OptionError(f"{target} is not a folder.", hint="Give a folder for the results.", code="file-exists")
    if target.resolve() == source.resolve():
        hint = f"Use a folder of their own, such as {source}/derivatives/provision."
        raise OptionError("The results cannot be in the dataset's own folder.", hint=hint, code="bad-value")
    if read_json(str(target / "dataset_description.json")).get("DatasetType") == "raw":
        message = f"{target} is a dataset of raw data."
        raise OptionError(message, hint="Use another folder for the results.", code="bad-value")


def _series(source: Path, pattern: str | None, subjects: Sequence[str], sessions: Sequence[str]) -> list[Series]:
    chosen = [[each] if isinstance(each, str) else list(each) for each in (subjects, sessions)]
    return from_pattern(source, pattern, *chosen) if pattern else from_bids(source, *chosen)


def _number(value: Any, name: str) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
        raise OptionError(f"{name}={value!r} is not a number above 0.", code="bad-value")
    return value


def _notes(tasks: Sequence[Task], scrub: bool) -> list[str]:
    """Return what a user should know of what was done before, and of what was computed from several series."""
    notes: list[str] = []
    if before := sum(task.state == "kept" and not task.record.get("scrubbed") for task in tasks) * scrub:
        notes.append(f"{before} steps were done before without --scrub: their files have what it takes out.")
    for task in tasks:
        if task.series is None and task.state == "waiting":
            notes.append(f"{task.owner}: {task.step.name} waits: {task.reason}.")
        elif task.series is None and task.state in ("kept", "done"):
            notes.append(_note_of(task, {one.owner for one in task.parents if one.good}))
    return list(dict.fromkeys(notes))


def _note_of(task: Task, here: set[str]) -> str:
    """Return the series that a group's step was computed from, and those that came later."""
    first = next(iter(task.record["inputs"].values()))
    used = {Path(file["path"]).name for file in first}
    later = sorted(name for name in here if not any(file.startswith(f"{name}_") for file in used))
    said = f"{task.owner}: {task.step.name} is from {len(used)} series"
    return f"{said}, without {', '.join(later)}; --redo {task.step.name} includes them." if later else f"{said}."
