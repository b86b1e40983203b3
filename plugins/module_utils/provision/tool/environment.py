"""The variables that a tool's commands need: in shells, in a notebook's kernel and in sessions of SSH."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress

from ..files import write_text

_PROFILES = "/etc/profile.d"


def variables(tool, prefix):
    """Return the variables that a tool needs which is in a prefix."""
    return {name: value.replace("PREFIX", prefix) for name, value in (tool.get("environment") or {}).items()}


def make_profile(name, environment):
    """Have login shells set a tool's variables, where that is ours to say; return the file, empty where it is not."""
    path = os.path.join(_PROFILES, f"provision-{name}.sh")
    if not environment or os.geteuid() or not os.path.isdir(_PROFILES):
        return ""
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    write_text(path, f"# Made by the role {name} of provision, which replaces and removes it.\n{lines}")
    return path


def drop_profile(state):
    """Remove the file that login shells read for an installation."""
    if state.get("profile"):
        with suppress(FileNotFoundError):
            os.unlink(state["profile"])


def environment_problem(report, state):
    """Return what a shell has to set for an installation's commands, with the line to type; else nothing."""
    missing = {name: value for name, value in report.get("environment", {}).items() if os.environ.get(name) != value}
    if not missing:
        return ""
    line = " ".join(f"{name}={shlex.quote(value)}" for name, value in missing.items())
    later = ", or open a login shell, which has it" if state.get("profile") else ""
    return f"Its commands need {', '.join(missing)}. Type: export {line}{later}"
