"""Which version a tool reports, and how its commands are run."""

from __future__ import annotations

import os
import re

from ..commands import command_environment, run
from .environment import variables

_SECONDS = 120


def told_version(folder, tool, foreign=False):
    """Return (the version that a tool in a folder of commands reports, what it said when it reports none)."""
    command, *arguments = tool["tells"]["command"]
    code, out, error = run_command(folder, [command, *arguments], tool, foreign)
    found = re.search(tool["tells"]["pattern"], out + error)
    if code or not found:
        return "", f"{command} does not run: {last_line(out, error) or f'it ended with code {code}'}"
    return found[1], ""


def run_command(folder, words, tool, foreign=False):
    """Run a command of the tool with its arguments; return (exit code, standard output, standard error)."""
    environment = {**command_environment(folder, foreign), **variables(tool, os.path.dirname(folder))}
    return run([os.path.join(folder, words[0]), *words[1:]], environment, seconds=_SECONDS)


def mrtrix3_version(path, foreign=False):
    """Return (the version that a command of MRtrix3 reports, what it said when it reports none)."""
    environment = command_environment(os.path.dirname(path), foreign)
    code, out, error = run([path, "-version"], environment, seconds=_SECONDS)
    found = re.search(r"== \S+ (\S+) ==", out)
    if code or "Traceback" in error or not found:
        return "", last_line(out, error) or f"it ended with code {code}"
    return found[1], ""


def last_line(out, error):
    """Return what a command said last."""
    return ((error or out).strip().splitlines() or [""])[-1]
