"""What is there of a tool that is described as data, and what has drifted: a part of the probe, read-only."""

from __future__ import annotations

from ..notes import read_state
from ..places import absolute
from ..reading import names_in
from ..tool.version import told_version
from .tool import is_own, look_at_tool, notes_of


def now(role, report):
    """Return whether the commands still run, and what keeps a shell from finding them."""
    state = read_state(role)
    works = not report.get("bin") or bool(told_version(report["bin"], state["tool"])[0])
    return {"works": works, **notes_of(report, state)}


def _drift(wanted, state):
    """Return in words how the installation noted in `state` differs from the one wanted, but for its place."""
    report = state.get("report")
    if not report:
        return "nothing is installed"
    if wanted["version"] not in ("any", state.get("version")):
        return f"version {state.get('version')} is installed"
    missing = set(wanted["commands"]) - set(names_in(report["bin"]))
    if is_own(state) and missing:
        return f"commands are missing: {', '.join(sorted(missing)[:5])}"
    if sorted(wanted["commands"]) != sorted(state.get("commands", [])):
        return "other commands are linked"
    if state.get("tool", {}).get("environment", {}) != (wanted.get("environment") or {}):
        return "it has another environment"
    if not told_version(report["bin"], wanted)[0]:
        return f"the commands in {report['bin']} do not run"
    return ""


def look_at(wanted, machine):
    """Return what is installed of the tool, what has drifted, and what the origins need to know."""
    result = look_at_tool(wanted["name"], wanted, machine, lambda state: _drift(wanted, state))
    if not result.get("drift"):
        return result
    return dict(result, archive=absolute(wanted["archive"]["url"], wanted["folder"], machine))
