"""The installation of the viewer mrpeek, and what has drifted: a read-only part of the probe."""

from __future__ import annotations

import os
import re

from ..commands import command_environment, run
from ..notes import read_state
from ..tool.path import foreign_command
from .mrtrix3 import version_in
from .tool import look_at_tool, notes_of

# The packages that building needs, beside an MRtrix3 that includes its headers or with the sources of MRtrix3.
_WITH_HEADERS = {"groups": ["pictures"], "extra": ["g++", "git", "ca-certificates", "python3-zstandard"]}
_WITH_SOURCES = {"groups": ["pictures", "build"]}
# The headers of older releases do not compile with Eigen 3.4, which all supported systems have, unless the distribution
# has patched them (MRtrix3 8a420c772).
_FIRST_FOR_MODULES = [3, 0, 4]


def mrtrix3_for_modules():
    """Return the ``tree``, ``version`` and ``cpu`` of the MRtrix3 to build a module against, empty if unknown."""
    # Modules cannot be built against the distribution's package, nor against sources that are not a release.
    report = read_state("mrtrix3").get("report", {})
    folder = report.get("bin") or os.path.dirname(foreign_command("mrinfo"))
    version = version_in(folder, report.get("origin", "present") == "present") if folder else ""
    prefix = os.path.dirname(folder)
    parts = ("build", "config", "core", "tmp/src")
    whole = bool(folder) and all(os.path.exists(os.path.join(prefix, name)) for name in parts)
    release = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    usable = release and (whole or [int(number) for number in release.groups()] >= _FIRST_FOR_MODULES)
    return {
        "version": version if usable else "",
        "tree": prefix if whole else "",
        "cpu": report.get("cpu", ""),
    }


def _runs(folder, foreign=False):
    """Return whether the command in a folder still runs; its version is always "preview"."""
    return run([os.path.join(folder, "mrpeek"), "-version"], command_environment(folder))[0] == 0


def now(role, report):
    """Return whether the command still runs, and why a shell may not find it."""
    return {"works": not report.get("bin") or _runs(report["bin"]), **notes_of(role, report, read_state(role))}


def look_at(wanted, machine):
    """Return the state of mrpeek, what has drifted, and what building it needs to know."""
    mrtrix3 = {} if wanted["state"] == "absent" else mrtrix3_for_modules()

    def differs(wanted, state):
        report = state["report"]
        if mrtrix3["version"] not in ("", report.get("mrtrix3")):
            return f"it was built for MRtrix3 {report.get('mrtrix3')}"
        return "" if os.path.exists(report.get("decoder", "")) else "the library that decodes its pictures is missing"

    def more():
        return {"mrtrix3": mrtrix3, "belongs_to": f"mrtrix3-{mrtrix3['version']}" if mrtrix3["version"] else ""}

    # An MRtrix3 that includes its headers spares those of the distribution.
    wanted = dict(wanted, needs=_WITH_HEADERS if mrtrix3.get("tree") else _WITH_SOURCES)

    return look_at_tool(wanted, machine, differs, _runs, more)
