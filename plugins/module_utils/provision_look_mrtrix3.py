"""What is there of MRtrix3, and what has drifted: a part of the probe, read-only.

It is sent to the target with provision_checks; see there.
"""

from __future__ import annotations

import os
import re

from .provision_checks import (
    absolute,
    broken_links,
    default_link_dir,
    default_prefix,
    foreign_command,
    is_elf,
    names_in,
    run,
    sudo_works,
)
from .provision_look_tool import look_at_tool


def mrtrix3_version(folder):
    """Return what ``mrinfo -version`` of a folder of commands says, or an empty string when it does not run."""
    # A subset of the commands may leave mrinfo out; any compiled command tells the same version.
    for command in ("mrinfo", *sorted(name for name in names_in(folder) if is_elf(os.path.join(folder, name)))):
        code, out, _error = run([os.path.join(folder, command), "-version"])
        found = re.match(r"== \S+ (\S+) ==", out)
        if code == 0 and found:
            return found.group(1)
        if code != 127:
            break
    return ""


def works(folder):
    """Tell whether the commands in a folder still run."""
    return bool(mrtrix3_version(folder))


def satisfies(version, wanted):
    """Tell whether an installed version is the one wanted."""
    return wanted == "any" or version == wanted


def mrtrix3_drift(wanted, state, machine):
    """Return in words how the installation noted in `state` differs from the one wanted; empty for not at all."""
    report = state.get("report")
    if not report:
        return "nothing is installed"
    if not satisfies(state.get("version", ""), wanted["version"]):
        return f"version {state.get('version')} is installed"
    if wanted["origin"] not in ("auto", report["origin"]):
        return f"it came from {report['origin']}"
    if report["origin"] in ("store", "archive", "source"):
        difference = _own_files_drift(wanted, state, machine)
        if difference:
            return difference
    if not mrtrix3_version(report["bin"]):
        return f"the commands in {report['bin']} do not run"
    return ""


def _own_files_drift(wanted, state, machine):
    report = state["report"]
    if report["prefix"] != default_prefix(wanted["prefix"], machine, "mrtrix3"):
        return f"it is in {report['prefix']}"
    have = set(names_in(report["bin"]))
    lost = (set(state.get("commands", [])) | set(wanted["commands"])) - have
    if lost:
        return f"commands are missing: {', '.join(sorted(lost)[:5])}"
    if not wanted["commands"] and report["origin"] != "archive" and not state.get("complete"):
        return "only some of the commands were built"
    if wanted["cpu"] not in ("auto", report["cpu"]):
        return f"it was compiled for {report['cpu']}"
    link_dir = default_link_dir(wanted["link_dir"], machine)
    if link_dir != state.get("link_dir", ""):
        return f"its links are in {state.get('link_dir') or 'no folder'}"
    if link_dir and broken_links(link_dir, state.get("commands", []), report["bin"]):
        return f"links are missing in {link_dir}"
    return ""


def look_at(wanted, machine):
    """Return what is installed of MRtrix3, what has drifted, and what the origins need to know."""
    result = look_at_tool("mrtrix3", wanted, machine, lambda state: mrtrix3_drift(wanted, state, machine))
    if not result.get("drift"):
        return result
    found = foreign_command("mrinfo")
    return dict(
        result,
        archive=absolute(wanted["archive"], wanted["folder"], machine),
        present={"bin": os.path.dirname(found), "version": mrtrix3_version(os.path.dirname(found))} if found else {},
        sudo=machine["root"] or sudo_works(),
    )
