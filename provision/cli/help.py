"""What stands at the end of each command's help: examples, and what its exit codes mean."""

from __future__ import annotations

import argparse
from typing import Any

from provision.engine.lock import SECONDS, checked

CODES = """\
exit codes:
  0    done
  1    it could not be done, and the error says why
  2    wrong usage: an argument, an option or a value that does not exist
  130  interrupted
"""
"""Those of commands that start no run."""

RUN_CODES = """\
exit codes:
  0    done
  1    the run failed
  2    wrong usage: a role, an option or a value that does not exist
  130  interrupted; the same command goes on from there
"""
"""Those of commands that start a run."""


def ending(examples: str, codes: str = CODES) -> str:
    """Return the end of a command's help.

    Parameters
    ----------
    examples : str
        The examples, and perhaps words and exit codes of the command's own behind them.
    codes : str
        The exit codes where the examples have none behind them.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> print(ending("examples:", "exit codes:"))
    examples:
    exit codes:
    """
    return examples if "exit codes:" in examples else f"{examples}\n{codes}"


def add_command(
    commands: argparse._SubParsersAction, name: str, about: str, examples: str, codes: str = CODES, **settings: Any
) -> argparse.ArgumentParser:
    """Add a command to those of a parser, with its help.

    Parameters
    ----------
    commands : argparse._SubParsersAction
        The commands.
    name : str
        The new one.
    about : str
        What it does, as a clause; the description is the same as a sentence.
    examples, codes : str
        As `ending` takes them.
    **settings
        Of `argparse.ArgumentParser`.

    Returns
    -------
    argparse.ArgumentParser
        That of the command.

    Examples
    --------
    >>> commands = argparse.ArgumentParser().add_subparsers()
    >>> add_command(commands, "status", "tell what is installed", "examples:").description
    'Tell what is installed.'
    """
    description = f"{about[0].upper()}{about[1:]}."
    return commands.add_parser(name, help=about, description=description, epilog=ending(examples, codes), **settings)


WAIT_FLAGS = ("--wait", "--no-wait")
"""Those that `add_wait` adds."""


def add_wait(parser: argparse._ActionsContainer) -> None:
    """Add what says how long to wait for another run; `given_wait` returns it.

    Parameters
    ----------
    parser : argparse._ActionsContainer
        That of a command that changes this machine.
    """
    settings: dict[str, Any] = {"dest": "wait", "default": argparse.SUPPRESS}
    about = f"how long to wait while another run changes this machine (default: {SECONDS:g})"
    parser.add_argument("--wait", metavar="SECONDS", type=_seconds, help=about, **settings)
    about = "fail at once while another run changes this machine"
    parser.add_argument("--no-wait", action="store_const", const=0.0, help=about, **settings)


def given_wait(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how long to wait, as a keyword argument; none when nothing was said.

    Parameters
    ----------
    arguments : argparse.Namespace
        The command's arguments as they were read.

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> given_wait(argparse.Namespace(wait=0.0))
    {'wait': 0.0}
    """
    return {"wait": arguments.wait} if "wait" in arguments else {}


def _seconds(text: str) -> float:
    try:
        return checked(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from error
