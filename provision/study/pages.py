"""The pages of the report, drawn at the end of a run in several processes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from provision.engine.events import Step
from provision.errors import ProvisionError
from provision.study.pool import Pool, this_machine
from provision.study.scheduler import OWN_PATH

_AT_ONCE = 8  # subjects that a process draws; more would show too rarely how far it is


def draw(out: Path, subjects: Sequence[str], on_step: Callable[[Any], Any]) -> str:
    """Draw the report, several subjects at once; return a note if that fails, for the results are there."""
    from provision.study import report

    title = "Draw the report"
    on_step(Step("task", task=title))
    try:
        changed = report.changed(out, subjects)
        if len(changed) > 1:
            _draw_apart(out, changed, lambda number: on_step(
                Step("work", task=title, number=number, total=len(changed), unit="subjects")
            ))  # fmt: skip
        report.write(out)
    except (OSError, ProvisionError) as error:
        on_step(Step("done", task=title, failed=True))
        return f"The report could not be drawn: {str(error).rstrip('.')}."
    on_step(Step("done", task=title, changed=bool(changed)))
    return ""


def _draw_apart(out: Path, subjects: Sequence[str], on_number: Callable[[int], Any]) -> None:
    """Draw the pages of subjects in processes of their own, as many at once as there are cores."""
    # Each process reads all records first: it draws some subjects rather than one.
    size = min(_AT_ONCE, -(-len(subjects) // (2 * len(os.sched_getaffinity(0)))))
    left = [subjects[start : start + size] for start in range(0, len(subjects), size)]
    pool, drawn = Pool([this_machine()], None, None, len(left)), 0
    try:
        while left or pool.running():
            for worker, some in zip(pool.free(), left.copy(), strict=False):
                argv = [sys.executable, "-m", "provision.study.report", str(out), *some]
                pool.start(worker, left.pop(0), {"call": "command", "id": "", "argv": argv, "environment": OWN_PATH})
            drawn += sum(len(some) for some, _ in pool.wait())
            on_number(drawn)
    finally:
        pool.close()
