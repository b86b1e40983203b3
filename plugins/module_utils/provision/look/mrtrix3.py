"""The installation of MRtrix3, and what has drifted: a read-only part of the probe."""

from __future__ import annotations

import os

from ..notes import read_state
from ..reading import is_elf, names_in
from ..tool.version import mrtrix3_version
from ..versions import is_release, numbers
from .tool import is_own, look_at_tool, notes_of

_FIRST_WITH_CMAKE = (3, 1)


def version_in(folder, foreign=False):
    """Return the version of MRtrix3 in a folder of commands, an empty string if they do not run."""
    name = "mrinfo"
    if not os.path.exists(os.path.join(folder, name)):  # a subset may lack it; any compiled command reports the version
        name = next((name for name in sorted(names_in(folder)) if is_elf(os.path.join(folder, name))), name)
    return mrtrix3_version(os.path.join(folder, name), foreign)[0]


def now(role, report):
    """Return whether the commands still run, and why a shell may not find them."""
    works = not report.get("bin") or bool(version_in(report["bin"], report.get("origin") == "present"))
    return {"works": works, **notes_of(role, report, read_state(role))}


def _differs(wanted, state):
    """Return in words how a build differs from what is wanted."""
    report = state["report"]
    have = set(names_in(report["bin"]))
    lost = (set(state.get("commands", [])) | set(wanted["commands"])) - have
    if lost:
        return f"commands are missing: {', '.join(sorted(lost)[:5])}"
    if not wanted["commands"] and report["origin"] != "archive" and not state.get("complete"):
        return "only some of the commands were built"
    # Archives from outside a store do not record it.
    if wanted["cpu"] not in ("auto", report["cpu"] or wanted["cpu"]):
        return f"it was compiled for {report['cpu']}"
    return ""


def _needs(wanted):
    """Return the packages that compiling needs; whether a branch or commit uses CMake shows only in its sources."""
    version = wanted.get("version", "any")  # a removal has none
    is_old = version in ("auto", "any") or (is_release(version) and numbers(version) < _FIRST_WITH_CMAKE)
    return {"groups": ["run", "build"] + ([] if is_old else ["cmake"])}


def _commands(wanted, version):
    """Return the commands to build: those wanted, and those already built of that version."""
    commands, state = wanted["commands"], read_state("mrtrix3")
    if commands and is_own(state) and wanted["origin"] == "auto" and version == state["version"]:
        return [] if state.get("complete") else sorted({*commands, *state.get("asked", [])})
    return commands


def look_at(wanted, machine):
    """Return the state of MRtrix3, what has drifted, and what the origins need to know."""
    found = look_at_tool(dict(wanted, needs=_needs(wanted)), machine, _differs, version_in)
    return dict(found, commands=_commands(wanted, found["version"])) if "version" in found else found
