"""What is there of a tool that is described as data, and what has drifted: a part of the probe, read-only."""

from __future__ import annotations

import os

from ..notes import read_state
from ..reading import names_in
from ..tool.environment import profile_of
from ..tool.version import told_version
from .tool import look_at_tool, notes_of


def now(role, report):
    """Return whether the commands still run, and what keeps a shell from finding them."""
    state = read_state(role)
    works = not report.get("bin") or bool(told_version(report["bin"], state["tool"])[0])
    return {"works": works, **notes_of(role, report, state)}


def _differs(wanted, state):
    """Return in words what is other than wanted in what was installed from the description."""
    missing = set(wanted["commands"]) - set(names_in(state["report"]["bin"]))
    if missing:
        return f"commands are missing: {', '.join(sorted(missing)[:5])}"
    if sorted(wanted["commands"]) != sorted(state.get("commands", [])):
        return "other commands are linked"
    if state.get("tool", {}).get("environment", {}) != (wanted.get("environment") or {}):
        return "it has another environment"
    profile = profile_of(wanted["name"], state["report"].get("environment"))
    if profile and not os.path.exists(profile):
        return f"{profile} is missing"
    return ""


def look_at(wanted, machine):
    """Return what is installed of the tool, what has drifted, and what the origins need to know."""

    def version_in(folder, foreign):
        return told_version(folder, wanted, foreign)[0]

    return look_at_tool({"origins": ["archive"], **wanted}, machine, _differs, version_in)
