"""The installation of a tool that is described as data, and what has drifted: a read-only part of the probe."""

from __future__ import annotations

import os

from ..notes import read_state
from ..reading import names_in
from ..tool.environment import profile_of
from ..tool.version import told_version
from .tool import look_at_tool, notes_of


def now(role, report):
    """Return whether the commands still run, and why a shell may not find them."""
    state = read_state(role)
    works = not report.get("bin") or bool(told_version(report["bin"], state["tool"])[0])
    return {"works": works, **notes_of(role, report, state)}


def _differs(wanted, state):
    """Return in words how an installation differs from its description."""
    commands = wanted.get("commands") or []
    missing = set(commands) - set(names_in(state["report"]["bin"]))
    if missing:
        return f"commands are missing: {', '.join(sorted(missing)[:5])}"
    if commands and sorted(commands) != sorted(state.get("commands", [])):
        return "different commands are linked"
    if state.get("tool", {}).get("environment", {}) != (wanted.get("environment") or {}):
        return "its environment has changed"
    profile = profile_of(wanted["name"], state["report"].get("environment"))
    if profile and not os.path.exists(profile):
        return f"{profile} is missing"
    return ""


def look_at(wanted, machine):
    """Return the state of the tool, what has drifted, and what the origins need to know."""

    def version_in(folder, foreign):
        return told_version(folder, wanted, foreign)[0]

    return look_at_tool({"origins": ["archive"], **wanted}, machine, _differs, version_in)
