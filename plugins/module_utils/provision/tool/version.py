"""Which version a tool tells that is described as data, and how its commands are run."""

from __future__ import annotations

import os
import re

from ..commands import command_environment, run

_SECONDS = 120


def told_version(folder, tool):
    """Return (the version that a tool in a folder of commands tells, what it said when it tells none)."""
    command, *arguments = tool["tells"]["command"]
    code, out, error = run_command(folder, [command, *arguments], tool)
    found = re.search(tool["tells"]["pattern"], out + error)
    if code or not found:
        return "", f"{command} does not run: {last_line(out, error) or f'it ended with code {code}'}"
    return found[1], ""


def run_command(folder, words, tool):
    """Run a command of the tool with its arguments; return (exit code, standard output, standard error)."""
    return run([os.path.join(folder, words[0]), *words[1:]], _environment(folder, tool), seconds=_SECONDS)


def _environment(folder, tool):
    """Return the environment of a tool's commands: a plain one, and the variables that the tool needs."""
    prefix = os.path.dirname(folder)
    more = {name: value.replace("PREFIX", prefix) for name, value in (tool.get("environment") or {}).items()}
    return {**command_environment(folder), **more}


def last_line(out, error):
    """Return what a command said last."""
    return ((error or out).strip().splitlines() or [""])[-1]
