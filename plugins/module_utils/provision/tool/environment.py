"""The variables that a tool's commands need in shells, in a notebook's kernel and in SSH sessions."""

from __future__ import annotations

import os
import shlex

from ..files import drop_file, write_text

_PROFILES = "/etc/profile.d"


def variables(tool, prefix):
    """Return the variables that a tool in a prefix needs."""
    return {name: value.replace("PREFIX", prefix) for name, value in (tool.get("environment") or {}).items()}


def profile_of(name, environment):
    """Return the file that sets a tool's variables in login shells, empty if none is needed or we may not write it."""
    ours = environment and not os.geteuid() and os.path.isdir(_PROFILES)
    return _path(name) if ours else ""


def _path(name):
    return os.path.join(_PROFILES, f"provision-{name}.sh")


def make_profile(name, environment):
    """Write the file that sets a tool's variables in login shells, or remove one that is no longer needed."""
    path = profile_of(name, environment)
    if not path:
        return drop_profile(name)
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    text = f"# Made by the role {name} of provision, which also replaces and removes it.\n{lines}"
    return write_text(path, text, alone=True)


def drop_profile(name):
    """Remove a tool's file for login shells, and temporary files that a killed run left."""
    if not os.geteuid():  # the folder is root's
        drop_file(_path(name))


def environment_problem(name, environment):
    """Return which variables a shell must set for a tool's commands, with the line to type; else an empty string."""
    missing = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    if not missing:
        return ""
    line = " ".join(f"{name}={shlex.quote(value)}" for name, value in missing.items())
    later = ", or open a login shell, which does that" if profile_of(name, environment) else ""
    return f"Its commands need {', '.join(missing)}. Type: export {line}{later}"
