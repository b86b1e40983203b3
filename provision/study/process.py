"""A whole study through the steps of a pipeline: ``provision.process``."""

from __future__ import annotations

import contextlib
import hashlib
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from provision import paths
from provision.actions.shared import display, for_people
from provision.errors import OptionError, ProvisionError, unknown
from provision.machine import drive
from provision.machine.reading import read_json
from provision.study import claim, executors, pages, preparation, summary
from provision.study import steps as steps_of
from provision.study.plan import plan
from provision.study.progress import Progress
from provision.study.records import CLAIM
from provision.study.scheduler import Scheduler, Settings
from provision.study.series import Series, from_bids, from_pattern
from provision.study.steps import Step
from provision.study.summary import Study
from provision.study.worker import is_gone, sweep

LEVELS = ("participant", "group")
"""The levels of analysis of a BIDS App."""


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
        Where the steps are run: ``"local"``; an Ansible inventory, or hosts, as in ``"me@host1,me@host2"``, which are
        reached by SSH and have MRtrix3 and the same folders; or the address of a Dask scheduler, such as
        ``"tcp://head:8786"``.
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
    redo = [redo] if isinstance(redo, str) else redo
    for name in redo:
        if name not in {step.name for step in chosen}:
            raise unknown("step", name, dict.fromkeys(step.name for step in chosen), code="bad-value")
    source, target = paths.absolute(bids), paths.absolute(out)
    with _reachable():
        _check_folders(source, target)
        found = _series(
            source, target, pattern, _labels(participant_label, "participant"), _labels(session_label, "session")
        )
    all_series = not (participant_label or session_label)
    settings = Settings(
        base=str(paths.absolute(scratch)) if scratch else "",
        key=hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:16],
        nthreads=_number(nthreads, "nthreads", whole=True),
        retry_failed=retry_failed,
        redo=frozenset(redo),
        level=level,
        whole=level == "group" or all_series,
        scrub=scrub,
    )
    limits = _number(jobs, "jobs", whole=True), settings.nthreads, int((_number(mem, "mem") or 0) * 1e9)
    tasks = plan([series for series in found if not (series.problem or series.note)], chosen)
    scheduler = Scheduler(target, tasks, settings)
    if dry_run:
        scheduler.foresee()
        return summary.study(target, found, tasks)
    where = os.fspath(executor)
    executors.check(where)
    with for_people(), _reachable(), claim.held(target / CLAIM) as mine, _shown(progress, scheduler) as on_step:
        summary.describe(target, source)
        lost = _run(scheduler, source, chosen, lambda most: executors.workers(where, *limits, most), mine.check)
        missing = preparation.lacking(tasks) if where == executors.LOCAL else []
        result = summary.study(target, found, tasks, [*missing, *lost, *summary.notes(tasks, scrub)])
        result = summary.write(result, tasks, all_series=all_series)
        if report:
            result = summary.with_report(result, pages.draw(target, [row.subject for row in result.rows], on_step))
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
        raise _gone(f"The output folder {scheduler.out} is gone.")
    if not ready:
        return []
    pool = workers(len({task.owner for task in scheduler.tasks if not task.settled}))
    try:
        preparation.prepare(pool, scheduler, source, steps)
        scheduler.run(pool, check)
        return [f"{name} was not reached, or was lost." for name in dict.fromkeys(pool.lost)]
    finally:
        _end(pool, scheduler.settings, check)


def _end(pool: Any, settings: Settings, check: Callable[[], None]) -> None:
    """End the workers, and delete what is left in the scratch folders."""
    place = {"base": settings.base, "key": settings.key}
    try:
        check()
    except ProvisionError:  # another run is at work there
        pool.close()
    else:
        pool.close(call="sweep", **place)
        sweep(place)


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    """Turn the system's error for a folder that cannot be reached any more into one for people."""
    try:
        yield
    except OSError as error:
        if not is_gone(error):
            raise
        raise _gone(f"{error.filename or 'A folder'} is gone: {error.strerror}.") from error


def _gone(message: str) -> ProvisionError:
    hint = "When it is there again, run the same command to resume."
    return ProvisionError(message, hint=hint, code="study-gone")


@contextlib.contextmanager
def _shown(progress: Callable[[Any], Any] | None, scheduler: Scheduler) -> Iterator[Callable[[Any], Any]]:
    with display(progress) as (on_step, _):
        shown = Progress(on_step)
        shown.follow(scheduler)
        yield on_step


def _check_folders(source: Path, target: Path) -> None:
    for path in (source, target):
        if problem := drive.unmounted_problem(str(path)):
            raise OptionError(f"{problem}.", hint="Mount it first.", code="no-drive")
    if target.exists() and not target.is_dir():
        raise OptionError(f"{target} is not a folder.", hint="Give a folder for the results.", code="file-exists")
    if target.resolve() == source.resolve():
        hint = f"Use a folder of their own, such as {source}/derivatives/provision."
        raise OptionError("The results cannot be in the dataset's own folder.", hint=hint, code="bad-value")
    if read_json(str(target / "dataset_description.json")).get("DatasetType") == "raw":
        message = f"{target} is a dataset of raw data."
        raise OptionError(message, hint="Use another folder for the results.", code="bad-value")


def _series(source: Path, target: Path, pattern: str | None, subjects: list[str], sessions: list[str]) -> list[Series]:
    chosen = (subjects, sessions)
    return from_pattern(source, pattern, *chosen, out=target) if pattern else from_bids(source, *chosen)


def _labels(given: Any, kind: str) -> list[str]:
    """Return the names of subjects or sessions; refuse numbers, which have lost their zeros."""
    if given is None:
        return []
    labels = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if wrong := [label for label in labels if not isinstance(label, str)]:
        message = f"{kind}_label takes names as text, not {wrong[0]!r}."
        raise OptionError(message, hint=f'For example: {kind}_label=["01"].', code="bad-value")
    return labels


def _number(value: Any, name: str, *, whole: bool = False) -> Any:
    """Return a number above 0, or None; refuse anything else."""
    kinds = numbers.Integral if whole else numbers.Real
    if value is None:
        return None
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if not (is_number and 0 < value < float("inf")):
        message = f"{name}={value!r} is not a {'whole ' if whole else ''}number above 0."
        raise OptionError(message, code="bad-value")
    return int(value) if whole else float(value)
