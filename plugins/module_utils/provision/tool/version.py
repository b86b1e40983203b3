"""Running a tool's commands, and the version they report."""

from __future__ import annotations

import os
import re

from ..commands import command_environment, run
from .environment import variables

_SECONDS = 120


def told_version(folder, tool, foreign=False):
    """Return (the version that the tool in a folder reports, the problem if it reports none)."""
    if not tool.get("tells"):
        lost = [name for name in tool["required"] if not os.access(os.path.join(folder, name), os.X_OK)]
        return ("", f"{lost[0]} is missing") if lost else (tool["release"], "")
    command, *arguments = tool["tells"]["command"]
    code, out, error = run_command(folder, [command, *arguments], tool, foreign)
    found = re.search(tool["tells"]["pattern"], out + error)
    if code or not found:
        return "", f"{command} does not run: {last_line(out, error) or f'exit code {code}'}"
    return found[1], ""


def run_command(folder, words, tool, foreign=False):
    """Run a command of the tool; return (exit code, standard output, standard error)."""
    needed = variables(tool, os.path.dirname(folder))
    if foreign:  # it is set up by somebody else
        needed = {name: os.environ[name] for name in needed if name in os.environ}
    environment = {**command_environment(folder, foreign), **needed}
    return run([os.path.join(folder, words[0]), *words[1:]], environment, seconds=_SECONDS)


def mrtrix3_version(path, foreign=False):
    """Return (the version that a command of MRtrix3 reports, the problem if it reports none)."""
    environment = command_environment(os.path.dirname(path), foreign)
    code, out, error = run([path, "-version"], environment, seconds=_SECONDS)
    found = re.search(r"== \S+ (\S+) ==", out)
    if code or "Traceback" in error or not found:
        return "", last_line(out, error) or f"exit code {code}"
    return found[1], ""


def last_line(out, error):
    """Return the last line of a command's output."""
    return ((error or out).strip().splitlines() or [""])[-1]
