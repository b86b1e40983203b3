"""What is there of MRtrix3, and what has drifted: a part of the probe, read-only."""

from __future__ import annotations

import os
import re

from ..commands import command_environment, run
from ..notes import read_state
from ..places import absolute
from ..reading import is_elf, names_in
from ..system import sudo_works
from ..tool.path import foreign_command
from .tool import is_own, look_at_tool, notes_of

_RELEASE = re.compile(r"\d+\.\d+\.\d+")


def mrtrix3_version(folder, foreign=False):
    """Return what ``mrinfo -version`` of a folder of commands says, or an empty string when it does not run."""
    environment = command_environment(folder, foreign)
    # A subset of the commands may leave mrinfo out; any compiled command tells the same version.
    for command in ("mrinfo", *sorted(name for name in names_in(folder) if is_elf(os.path.join(folder, name)))):
        code, out, _error = run([os.path.join(folder, command), "-version"], environment)
        found = re.match(r"== \S+ (\S+) ==", out)
        if code == 0 and found:
            return found.group(1)
        if code != 127:
            break
    return ""


def _version_of(report):
    return mrtrix3_version(report["bin"], foreign=report.get("origin") == "present")


def now(report):
    """Return whether the commands still run, and what keeps a shell from finding them."""
    works = not report.get("bin") or bool(_version_of(report))
    return {"works": works, **notes_of(report, read_state("mrtrix3"))}


def satisfies(version, wanted):
    """Tell whether an installed version is the one wanted; where none is named, so is a newer one, or a branch."""
    if wanted["version"] == "auto":
        return bool(version) and not _is_older(version, wanted["release"])
    return wanted["version"] in ("any", version)


def _is_older(version, release):
    """Tell whether a version is a release before another; of a branch or a commit that is not known."""
    numbers = [[int(number) for number in text.split(".")] for text in (version, release) if _RELEASE.fullmatch(text)]
    return len(numbers) == 2 and numbers[0] < numbers[1]


def mrtrix3_drift(wanted, state):
    """Return in words how the installation noted in `state` differs from the one wanted, but for its place."""
    report = state.get("report")
    if not report:
        return "nothing is installed"
    if not satisfies(state.get("version", ""), wanted):
        return f"version {state.get('version')} is installed"
    if wanted["origin"] not in ("auto", report["origin"]):
        return f"it came from {report['origin']}"
    if is_own(state):
        difference = _own_files_drift(wanted, state)
        if difference:
            return difference
    if not _version_of(report):
        return f"the commands in {report['bin']} do not run"
    return ""


def _own_files_drift(wanted, state):
    report = state["report"]
    have = set(names_in(report["bin"]))
    lost = (set(state.get("commands", [])) | set(wanted["commands"])) - have
    if lost:
        return f"commands are missing: {', '.join(sorted(lost)[:5])}"
    if not wanted["commands"] and report["origin"] != "archive" and not state.get("complete"):
        return "only some of the commands were built"
    # An archive that is none of a store does not tell.
    if wanted["cpu"] not in ("auto", report["cpu"] or wanted["cpu"]):
        return f"it was compiled for {report['cpu']}"
    sha256 = wanted.get("archive_sha256", "").lower()
    if sha256 and report["origin"] == "archive" and os.path.basename(report.get("archive", "")).lower() != sha256:
        return "it came from another archive"
    return ""


def _aim(wanted, state):
    """Return the version and the commands to install: those wanted, without losing what is there already."""
    version, commands = wanted["version"], wanted["commands"]
    version = wanted["release"] if version == "auto" else version
    if not is_own(state) or wanted["origin"] != "auto":
        return {"version": version, "commands": commands}
    if wanted["version"] in ("auto", "any") and not wanted["archive"] and satisfies(state["version"], wanted):
        version = state["version"]  # to mend an installation is not to replace it with an older one
    if commands and version == state["version"]:
        asked = [] if state.get("complete") else state.get("asked", [])
        commands = [] if state.get("complete") else sorted({*commands, *asked})
    return {"version": version, "commands": commands}


def look_at(wanted, machine):
    """Return what is installed of MRtrix3, what has drifted, and what the origins need to know."""
    state = read_state("mrtrix3")
    result = look_at_tool("mrtrix3", wanted, machine, lambda state: mrtrix3_drift(wanted, state))
    if not result.get("drift"):
        return result
    found = os.path.dirname(foreign_command("mrinfo"))
    return dict(
        result,
        **_aim(wanted, state),
        archive=absolute(wanted["archive"], wanted["folder"], machine),
        present={"bin": found, "version": mrtrix3_version(found, foreign=True)} if found else {},
        sudo=machine["root"] or sudo_works(),
    )
