"""The commands that look at this machine: how they are written, and which function each of them is."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

_DOCTOR_EXAMPLES = """\
examples:
  provision doctor
  provision doctor --json

exit codes:
  0  all is well, or there are warnings alone
  1  a check has failed
"""

_FLAGS = {
    "doctor": ("--json", "--help"),
}

COMMANDS = tuple(_FLAGS)
"""The names of the commands."""


def flags(command: str) -> tuple[str, ...]:
    """Return what a command can be told, besides its arguments.

    Parameters
    ----------
    command : str
        One of `COMMANDS`.

    Returns
    -------
    tuple of str
        The flags.

    Examples
    --------
    >>> flags("doctor")
    ('--json', '--help')
    """
    return _FLAGS[command]


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser of ``provision``.

    Parameters
    ----------
    commands : argparse._SubParsersAction
        The commands of ``provision``.
    """
    _add(commands, "doctor", "tell whether this machine has what is needed, and change nothing", _DOCTOR_EXAMPLES)


def _add(commands: argparse._SubParsersAction, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=examples)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def call(arguments: argparse.Namespace) -> Any:
    """Do what a command asks for.

    Parameters
    ----------
    arguments : argparse.Namespace
        The command's arguments as they were read.

    Returns
    -------
    object
        What its function returns; all of them have ``to_dict()``.

    Raises
    ------
    ProvisionError
        As its function does.
    """
    functions: dict[str, Callable] = {"doctor": _doctor}
    return functions[arguments.command](arguments)


def _doctor(arguments: argparse.Namespace) -> Any:
    from provision.checkup import doctor

    return doctor()


def text(result: Any) -> str:
    """Return what a command prints of its result, in colours where standard output shows them.

    Parameters
    ----------
    result : object
        What `call` returned.

    Returns
    -------
    str
        The lines.
    """
    return result.text(colours=wants_colours()) if hasattr(result, "text") else str(result)


def wants_colours() -> bool:
    """Tell whether standard output is a terminal whose user has nothing against colours (https://no-color.org).

    Examples
    --------
    >>> wants_colours()
    False
    """
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
