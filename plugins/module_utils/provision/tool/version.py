"""Running a tool's commands, and the version they report."""

from __future__ import annotations

import os
import re

from ..commands import command_environment, run
from .environment import variables

_SECONDS = 120


def told_version(folder, tool, foreign=False):
    """Return (the version that the tool in a folder reports, the problem if it reports none)."""
    command, *arguments = tool["tells"]["command"]
    code, out, error = run_command(folder, [command, *arguments], tool, foreign)
    found = re.search(tool["tells"]["pattern"], out + error)
    if code or not found:
        return "", f"{command} does not run: {last_line(out, error) or f'exit code {code}'}"
    return found[1], ""


def run_command(folder, words, tool, foreign=False):
    """Run a command of the tool; return (exit code, standard output, standard error)."""
    environment = {**command_environment(folder, foreign), **variables(tool, os.path.dirname(folder))}
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
