"""The variables that a tool's commands need: in shells, in a notebook's kernel and in sessions of SSH."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress

from ..files import drop_half_written, write_text

_PROFILES = "/etc/profile.d"


def variables(tool, prefix):
    """Return the variables that a tool needs which is in a prefix."""
    return {name: value.replace("PREFIX", prefix) for name, value in (tool.get("environment") or {}).items()}


def profile_of(name, environment):
    """Return the file in which login shells find a tool's variables, empty where none is needed or ours to write."""
    ours = environment and not os.geteuid() and os.path.isdir(_PROFILES)
    return _path(name) if ours else ""


def _path(name):
    return os.path.join(_PROFILES, f"provision-{name}.sh")


def make_profile(name, environment):
    """Have login shells set a tool's variables, where that is ours to say, and no others."""
    path = profile_of(name, environment)
    if not path:
        return drop_profile(name)
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    drop_half_written(path)
    return write_text(path, f"# Made by the role {name} of provision, which replaces and removes it.\n{lines}")


def drop_profile(name):
    """Remove the file that login shells read for a tool, and what a killed run has left of it."""
    if os.geteuid():
        return  # root's
    drop_half_written(_path(name))
    with suppress(FileNotFoundError):
        os.unlink(_path(name))


def environment_problem(name, environment):
    """Return what a shell has to set for a tool's commands, with the line to type; else nothing."""
    missing = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    if not missing:
        return ""
    line = " ".join(f"{name}={shlex.quote(value)}" for name, value in missing.items())
    later = ", or open a login shell, which has it" if profile_of(name, environment) else ""
    return f"Its commands need {', '.join(missing)}. Type: export {line}{later}"
