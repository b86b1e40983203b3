"""Checks whether this machine has what the roles need, without changing anything."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from provision.actions import shared
from provision.actions.status import status
from provision.checkup import needs
from provision.checkup.diagnosis import Diagnoses, Diagnosis, Finding
from provision.engine import catalog, content, launch, lock, logbook
from provision.errors import OptionError, ProvisionError
from provision.machine import alive, network, notes, places, reading, system
from provision.machine import doctor as checks
from provision.machine.look import ngrok
from provision.machine.store.names import BAD, NEW
from provision.words import format_seconds


@shared.for_people()
def doctor(
    for_: str | None = None,
    on: shared.On | None = None,
    *,
    limit: str | None = None,
    forks: int | None = None,
    progress: Callable | None = None,
    ask_become_pass: bool = False,
) -> Diagnosis | Diagnoses:
    """Check whether this machine has what the roles, or a script of MRtrix3, need, without changing anything.

    Parameters
    ----------
    for_ : str, optional
        A Python script of MRtrix3, such as ``"dwifslpreproc"``, or a script and its algorithm, such as
        ``"dwibiascorrect ants"``: only the other programs, variables and files that it needs are looked for. Without
        it, the machine is checked.
    on, limit, forks, progress, ask_become_pass
        As for `provision.run`. Of other machines, all is checked but what only this
        machine needs to run Ansible.

    Returns
    -------
    Diagnosis or Diagnoses
        A `Finding` for each check; ``ok`` is true if none failed. With `on`, a dict of them by host, with ``ok``.

    Raises
    ------
    OptionError
        If there is no such script or algorithm, or there are no such machines.

    Examples
    --------
    >>> doctor().ok  # doctest: +SKIP
    True
    >>> doctor(for_="dwi2response")
    ok  dwi2response  needs no other programs
    All is well.
    """
    machines = shared.checked_inventory(on, limit, forks)
    if machines is not None:
        if for_ is not None:
            message = "What a script needs is looked for on this machine alone."
            raise OptionError(message, hint="Leave out either the script or the machines.", code="no-effect")
        answers, errors = shared.asked("doctor", machines, progress, ask_become_pass)
        found = {host: _of_answer(answer) for host, answer in answers.items()}
        found |= {host: Diagnosis({"connection": _unreached(host, error)}, 0.0) for host, error in errors.items()}
        return Diagnoses(sorted(found.items()))
    begin = time.monotonic()
    end = begin + network.SECONDS
    findings = _of_machine(end) if for_ is None else _of_script(for_, end)
    return Diagnosis(findings, round(time.monotonic() - begin, 1))


def _of_answer(answer: Mapping[str, Any]) -> Diagnosis:
    """Return the findings of another machine."""
    findings: dict[str, Finding | None] = {name: Finding(*found) for name, found in answer["checks"].items()}
    findings["lock"] = _lock(answer.get("lock"))
    findings["installed"], findings["path"] = _installed(answer["roles"]), _path(answer["roles"])
    return Diagnosis({name: finding for name, finding in findings.items() if finding}, answer["seconds"])


def _unreached(host: str, error: ProvisionError) -> Finding:
    return _fail(error.message.removeprefix(f"{host} ").rstrip("."), error.hint)


def _of_script(script: str, end: float) -> dict[str, Finding]:
    """Return what a script needs, by name."""
    looked = {name: network.begun(check) for name, check in needs.checks(script).items()}
    return {name: finding for name, future in looked.items() if (finding := _ended(future, end))}


def _of_machine(end: float) -> dict[str, Finding]:
    """Return the findings of all checks, by name."""
    asked = network.ask(catalog.roles())
    looked = {name: network.begun(check) for name, check in _CHECKS.items()}
    findings = {name: _ended(future, end) for name, future in looked.items()}
    servers = network.found(asked, end, newest=Path(__file__).stat().st_mtime)
    findings.update({name: Finding(*found) for name, found in servers.items()})
    return {name: finding for name, finding in findings.items() if finding}


# Running the checks at once


def _ended(future: Future, end: float) -> Finding | None:
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except NotInTime:
        found = f"no answer within {format_seconds(network.SECONDS)}"
        return _warn(found, "What it checks may be slow or no longer respond.")
    except Exception as error:
        return _warn(f"could not be checked: {type(error).__name__}: {error}", "Check it by hand.")


# The machine


def _ok(found: str) -> Finding:
    return Finding("ok", found)


def _warn(found: str, advice: str) -> Finding:
    return Finding("warn", found, advice)


def _fail(found: str, advice: str) -> Finding:
    return Finding("fail", found, advice)


def _of(check: Callable[[], tuple[str, str, str]]) -> Callable[[], Finding]:
    """Return a check of the machine's own code as one of these."""
    return lambda: Finding(*check())


def check_python() -> Finding:
    """Check this Python and its packages."""
    version = platform.python_version()
    wrong = [problem for problem in map(_unmet, _requirements()) if problem]
    if wrong:
        return _fail(
            f"Python {version}; {'; '.join(wrong)}", f"Install them: {sys.executable} -m pip install mrtrix-provision."
        )
    if not shutil.which("ansible-playbook", path=launch.search_path()):
        return _fail(f"Python {version}; ansible-playbook is missing", 'Install it: pip install "ansible-core>=2.19".')
    for name in ("ansible.release", "ansible_runner"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            return _fail(
                f"Python {version}; {name} cannot be imported: {error}", "Reinstall ansible-core and ansible-runner."
            )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ansible-core", "ansible-runner"))
    return _ok(f"Python {version}, {versions}")


def _requirements() -> list[Requirement]:
    """Return the requirements of this package, from its metadata or, in a clone, from pyproject.toml."""
    project = content.root() / "pyproject.toml"
    if project.is_file():
        lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        lines = importlib.metadata.requires("mrtrix-provision") or []
    wanted = map(Requirement, lines)
    return [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]


def _unmet(requirement: Requirement) -> str:
    """Return what is wrong with a requirement, in words; an empty string if it is met."""
    try:
        there = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    met = requirement.specifier.contains(there, prereleases=True)
    return "" if met else f"{requirement.name} is {there}, not {requirement.specifier}"


def check_drive() -> Finding | None:
    """Check Google Drive; None if it is not mounted and this is not Colab."""
    mounts = reading.read_text("/proc/mounts")
    # Looked for among the mounts: a dead one answers no other question.
    place = next((line.split()[1] for line in mounts.splitlines() if re.match(r"\S+ \S*/g?drive fuse", line)), "")
    if place:
        try:
            next(Path(place).iterdir(), None)
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            return _fail(f"{place} does not respond: {problem}", "Mount it again: provision.drive().")
        return _ok(f"mounted at {place}")
    if not system.on_colab():
        return None
    return _warn(
        "not mounted: builds will be lost with this machine",
        "Mount it first: provision.drive().",
    )


# Tunnels


def check_token() -> Finding | None:
    """Check whether there is an ngrok token, without showing it; None if no role needs it."""
    if "ngrok" not in catalog.roles():
        return None
    given = os.environ.get(launch.TOKEN_VARIABLE, "").strip()
    if given and not re.fullmatch(r"[\w-]+", given, re.ASCII):
        return _warn(
            f"{launch.TOKEN_VARIABLE} is not an ngrok token, which has only letters, digits and _",
            "Copy it again, without quotes and without the command around it.",
        )
    if given:
        return _ok(f"set in {launch.TOKEN_VARIABLE}")
    if ngrok.has_token():
        return _ok("saved by an earlier run")
    if notes.read_state("ngrok"):
        return _warn("missing", f"ngrok is set up and needs it: set {launch.TOKEN_VARIABLE}, or type it when asked.")
    return _ok("none; needed only for ngrok tunnels")


def check_agent() -> Finding | None:
    """Check the version of ngrok's agent; None if it is not installed."""
    if "ngrok" not in catalog.roles():
        return None
    agent = ngrok.find_agent({"agent_path": ""}, str(Path(places.state_folder(), "ngrok")))
    if not agent["version"]:
        return None
    found = f"{agent['path']}, version {agent['version']}"
    if ngrok.numbers(agent["version"]) < ngrok.OLDEST:
        return _warn(found, "It is too old for the service; the next run of the role ngrok installs a newer one.")
    return _ok(found)


# Earlier runs


def check_leftovers() -> Finding:
    """Check what killed runs left behind."""
    state = places.state_folder()
    kinds = {
        "unfinished files in the store": _matching(places.default_store(), f"{NEW}*", f"*{BAD}"),
        "folders of killed runs": launch.left_behind(launch.temporary_folder()),
        "folders of interrupted installations": [
            left for prefix in _prefixes(state) for left in _matching(prefix.parent, f".{prefix.name}.provision-*")
        ],
        "pid files of dead processes": [path for path in _matching(state, "*/*.pid") if not alive.running(str(path))],
    }
    found = [f"{kind}: {len(left)}, such as {left[0]}" for kind, left in kinds.items() if left]
    if not found:
        return _ok("none")
    return _warn("; ".join(found), "The next run deletes them; in the store, provision store prune does.")


def _matching(folder: str | Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(Path(folder).glob(pattern))]


def _prefixes(state: str) -> list[Path]:
    """Return the prefixes into which something was installed."""
    reports = (reading.read_json(str(path)).get("report", {}) for path in _matching(state, "*.json"))
    return [Path(report["prefix"]) for report in reports if report.get("prefix")]


def check_logs() -> Finding | None:
    """Check whether logs can be saved; None if they can."""
    problem = logbook.problem()
    if not problem:
        return None
    return _warn(f"logs cannot be saved: {problem}", "Set XDG_STATE_HOME to a folder of your own.")


def check_lock() -> Finding | None:
    """Check whether a run is changing this machine; None if not."""
    return _lock(lock.holder())


def _lock(found: dict[str, Any] | None) -> Finding | None:
    return None if found is None else _warn(lock.in_words(found), "What it changes may not work until it has finished.")


def check_installed() -> Finding:
    """Check whether what is installed and running works."""
    return _installed(status()["hosts"]["localhost"])


def _installed(reports: Mapping[str, Any]) -> Finding:
    broken = [role for role, report in reports.items() if not _works(report)]
    found = ", ".join(_in_words(role, report) for role, report in reports.items())
    if broken:
        return _fail(found, f"Repair it: provision run {' '.join(broken)}.")
    return _ok(found or "nothing yet")


def check_path() -> Finding | None:
    """Check whether shells find the installed commands; None if there are none."""
    return _path(status()["hosts"]["localhost"])


def _path(reports: Mapping[str, Any]) -> Finding | None:
    warnings = {role: report.get("notes", []) for role, report in reports.items() if report.get("bin")}
    problem = next((note for notes in warnings.values() for note in notes), "")
    if problem:
        found, _, line = problem.partition(" Type: ")
        return _warn(found.rstrip("."), f"Type: {line}")
    return _ok(f"shells find the commands of {', '.join(warnings)}") if warnings else None


def _works(report: Mapping[str, Any]) -> bool:
    return bool(report.get("works", True)) or report.get("state") == "stopped"


def _in_words(role: str, report: Mapping[str, Any]) -> str:
    if not _works(report):
        return f"{role} {report.get('problem') or 'does not run'}"
    return " ".join(filter(None, (role, str(report.get("version") or report.get("state") or ""))))


_CHECKS: dict[str, Callable[[], Finding | None]] = {
    "system": _of(checks.check_system),
    "python": check_python,
    "apt": _of(checks.check_apt),
    "rights": _of(checks.check_rights),
    "space": _of(checks.check_space),
    "memory": _of(checks.check_memory),
    "cpu": _of(checks.check_cpu),
    "drive": check_drive,
    "token": check_token,
    "agent": check_agent,
    "lock": check_lock,
    "leftovers": check_leftovers,
    "logs": check_logs,
    "installed": check_installed,
    "path": check_path,
}
