"""Flags that several commands have, and the list of the flags that a command has."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from provision.engine.lock import SECONDS, checked
from provision.errors import OptionError
from provision.words import did_you_mean

# At the end of every list of flags, because all commands have them.
_LAST = ("--json", "--help")


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a parser by name.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        That of ``provision`` or of ``provision store``.

    Returns
    -------
    dict of str to argparse.ArgumentParser
        Empty when it has none. It is the parser's own: what is put into it is parsed.

    Examples
    --------
    >>> subcommands(argparse.ArgumentParser())
    {}
    """
    found = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return next((action.choices for action in found), {})


def names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the flags that a command takes.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The command's.

    Returns
    -------
    list of str
        Short and long flags in the order of the help, ``--json`` and ``--help`` last.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_json(parser), names(parser)
    (None, ['-h', '--json', '--help'])
    """
    found = [flag for action in parser._actions for flag in action.option_strings]
    return [*(flag for flag in found if flag not in _LAST), *(flag for flag in _LAST if flag in found)]


def refuse_unknown(rest: Iterable[str], allowed: Sequence[str], whose: str) -> None:
    """Raise an error for the first flag that a parser has left over.

    Parameters
    ----------
    rest : iterable of str
        What the parser has left over.
    allowed : sequence of str
        The flags that there are.
    whose : str
        The command, as the error names it.

    Raises
    ------
    OptionError
        When there is such a flag.
    """
    unknown = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
    if unknown in allowed:
        raise OptionError(f"{unknown} stands before the command.", hint="Write it after the command.")
    if unknown:
        long = [flag for flag in allowed if flag.startswith("--")]
        hint = f"{did_you_mean(unknown, long)} The options are {', '.join(long)}.".strip()
        raise OptionError(f"There is no option {unknown} of {whose}.", hint=hint)


def add_json(parser: argparse._ActionsContainer, about: str = "print one JSON object") -> None:
    """Add ``--json``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        A command's.
    about : str
        What its help says.
    """
    parser.add_argument("--json", action="store_true", default=False, help=about)


def add_inventory(parser: argparse._ActionsContainer) -> None:
    """Add ``--on``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        That of a command that can work on other machines.
    """
    parser.add_argument("--on", metavar="INVENTORY", help="the machines, an Ansible inventory (default: this one)")


def add_verbose(parser: argparse._ActionsContainer) -> None:
    """Add ``--verbose``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        That of a command that starts Ansible.
    """
    parser.add_argument("-v", "--verbose", action="store_true", help="show all that Ansible says")


def add_ask(parser: argparse._ActionsContainer) -> None:
    """Add ``--ask-become-pass``; `given_ask` returns it.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        That of a command that may need root.
    """
    about = "ask for sudo's password first, and not only when it is needed"
    parser.add_argument("-K", "--ask-become-pass", action="store_true", help=about)


def given_ask(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return whether to ask for sudo's password, as a keyword argument; none when nothing was said.

    Parameters
    ----------
    arguments : argparse.Namespace
        The command's arguments as they were read.

    Returns
    -------
    dict of str to bool

    Examples
    --------
    >>> given_ask(argparse.Namespace(ask_become_pass=True))
    {'ask_become_pass': True}
    """
    return {"ask_become_pass": True} if arguments.ask_become_pass else {}


def add_wait(parser: argparse._ActionsContainer) -> None:
    """Add ``--wait`` and ``--no-wait``, how long to wait for another run; `given_wait` returns it.

    Parameters
    ----------
    parser : argparse.ArgumentParser
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
