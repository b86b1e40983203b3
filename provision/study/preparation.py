"""Before the first step: whether every machine has the programs and the folders, and nothing is left of another run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provision.checkup import needs
from provision.checkup.programs import NEEDS
from provision.errors import ProvisionError
from provision.study.plan import Task
from provision.study.scheduler import Scheduler
from provision.study.steps import OWN, Step

# How the programs that a role brings say their version.
_VERSIONS = {"mrtrix3": ("mrinfo", "-version"), "ants": ("N4BiasFieldCorrection", "--version")}


def prepare(pool: Any, scheduler: Scheduler, source: Path, steps: Sequence[Step]) -> None:
    """Check that every host has the programs and the folders, and clear what was left there.

    A host that goes away meanwhile is left out, as long as there is another.
    """
    due = {task.step.name for task in scheduler.tasks if not task.settled}
    used = [step for step in steps if step.name in due]
    programs = {command[0]: step for step in reversed(used) for command in step.commands if command[0] not in OWN}
    roles = {role for step in used for role in step.roles}
    versions = {role: argv for role, argv in _VERSIONS.items() if role in roles}
    folders = [str(source), str(scheduler.out)]
    answers = pool.ask(call="programs", programs=list(programs), folders=folders, versions=versions)
    for host, answer in answers:
        where = f" on {host.name}" if host.name else ""
        if answer["missing"] and not host.own:
            raise _not_installed(answer["missing"][0], programs[answer["missing"][0]], where)
        if answer["absent"]:
            hint = "The dataset and the output folder must have the same path on all machines."
            raise ProvisionError(f"There is no folder {answer['absent'][0]}{where}.", hint=hint, code="no-folder")
        host.versions = answer["versions"]
    pool.ask(call="sweep", base=scheduler.settings.base, key=scheduler.settings.key)
    if any(not host.name for host in pool.hosts):
        for step in used:
            _check_needs(step)


def lacking(tasks: Sequence[Task]) -> list[str]:
    """Return notes on programs that steps would need here which do not get so far for want of an input."""
    steps = {task.step.name: task.step for task in tasks if task.lacks and task.state == "failed"}
    found = []
    for step in steps.values():
        try:
            for program in (command[0] for command in step.commands if command[0] not in OWN):
                if shutil.which(program) is None:
                    raise _not_installed(program, step)
            _check_needs(step)
        except ProvisionError as error:
            found.append(str(error))
    return found


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
