"""What is there of the viewer mrpeek, and what has drifted: a part of the probe, read-only."""

from __future__ import annotations

import os
import re

from ..commands import command_environment, run
from ..notes import read_state
from ..tool.path import foreign_command
from .mrtrix3 import mrtrix3_version
from .tool import look_at_tool, notes_of

# The headers of older releases do not compile with Eigen 3.4, which all systems here have, unless a distribution has
# mended them (MRtrix3 8a420c772).
_FIRST_FOR_MODULES = [3, 0, 4]


def mrtrix3_for_modules():
    """Return the MRtrix3 that a module here belongs to.

    Returns
    -------
    dict
        ``tree``, the folder to build modules against, empty when it was installed without what that needs, as the
        distribution's package is; ``version``, empty when there is none, it is no release, or nothing can be built
        against the sources of that release; ``cpu``.
    """
    report = read_state("mrtrix3").get("report", {})
    folder = report.get("bin") or os.path.dirname(foreign_command("mrinfo"))
    version = mrtrix3_version(folder, foreign=report.get("origin", "present") == "present") if folder else ""
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


def works(folder):
    """Tell whether the command in a folder still runs."""
    # It calls its version a preview.
    return run([os.path.join(folder, "mrpeek"), "-version"], command_environment(folder))[0] == 0


def now(report):
    """Return whether the command still runs, and what keeps a shell from finding it."""
    works_now = not report.get("bin") or works(report["bin"])
    return {"works": works_now, **notes_of(report, read_state("mrpeek"))}


def mrpeek_drift(wanted, state, mrtrix3):
    """Return in words how the mrpeek noted in `state` differs from the one wanted, but for its place."""
    report = state.get("report")
    if not report:
        return "nothing is installed"
    if state.get("version") != wanted["version"]:
        return f"version {state.get('version')} is installed"
    if mrtrix3["version"] not in ("", report.get("mrtrix3")):
        return f"it belongs to MRtrix3 {report.get('mrtrix3')}"
    if not works(report["bin"]):
        return f"the command in {report['bin']} does not run"
    if not os.path.exists(report.get("decoder", "")):
        return "the decoder of its pictures is missing"
    return ""


def look_at(wanted, machine):
    """Return what is installed of mrpeek, what has drifted, and what building it needs to know."""
    mrtrix3 = {} if wanted["state"] == "absent" else mrtrix3_for_modules()
    result = look_at_tool("mrpeek", wanted, machine, lambda state: mrpeek_drift(wanted, state, mrtrix3))
    return dict(result, mrtrix3=mrtrix3) if result.get("drift") else result
