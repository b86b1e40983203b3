"""Flags that commands share, and the list of flags that a command takes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from provision.engine.lock import SECONDS, checked
from provision.errors import OptionError, unknown

# At the end of every list of flags, because all commands have them.
_LAST = ("--json", "--help")


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a parser by name: the parser's own dict, so that additions take effect."""
    found = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return next((action.choices for action in found), {})


def names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the flags of a command in the order of its help, with ``--json`` and ``--help`` last."""
    found = [flag for action in parser._actions for flag in action.option_strings]
    return [*(flag for flag in found if flag not in _LAST), *(flag for flag in _LAST if flag in found)]


def refuse_unknown(rest: Iterable[str], allowed: Sequence[str], whose: str) -> None:
    """Raise an error for the first flag that a parser did not recognise."""
    flag = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
    if flag in allowed:
        raise OptionError(f"{flag} comes before the command.", hint="Put it after the command.")
    if flag:
        long = [name for name in allowed if name.startswith("--")]
        raise unknown("option", flag, long, where=f" for {whose}", code="no-option")


def add_json(parser: argparse._ActionsContainer, about: str = "print one JSON object") -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", default=False, help=about)


def add_machines(parser: argparse._ActionsContainer) -> None:
    """Add ``--on``, ``--limit`` and ``--forks``; `machines` returns their values."""
    about = "the machines: an Ansible inventory, or hosts as in me@host1,me@host2:2222 (default: this one)"
    parser.add_argument("--on", metavar="MACHINES", help=about)
    about = "which of them, in Ansible's patterns: names, groups, * (default: all)"
    parser.add_argument("--limit", metavar="PATTERN", default=argparse.SUPPRESS, help=about)
    about = "how many of them at once (default: 25)"
    parser.add_argument("--forks", metavar="NUMBER", type=_number, default=argparse.SUPPRESS, help=about)


def machines(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return which machines are meant, as keyword arguments."""
    chosen = {name: value for name, value in vars(arguments).items() if name in ("limit", "forks", "retry_failed")}
    if chosen and not arguments.on:
        flag = f"--{next(iter(chosen)).replace('_', '-')}"
        raise OptionError(f"{flag} has no effect without --on.", hint="Name the machines.", code="no-effect")
    return {"on": arguments.on, **chosen}


def add_verbose(parser: argparse._ActionsContainer) -> None:
    """Add ``--verbose``."""
    parser.add_argument("-v", "--verbose", action="store_true", help="show Ansible's own output")


def add_ask(parser: argparse._ActionsContainer) -> None:
    """Add ``--ask-become-pass``; `given` returns its value."""
    about = "ask for the sudo password up front, not only when it is needed"
    parser.add_argument("-K", "--ask-become-pass", action="store_true", default=argparse.SUPPRESS, help=about)


def add_wait(parser: argparse._ActionsContainer) -> None:
    """Add ``--wait`` and ``--no-wait``; `given` returns their value."""
    settings: dict[str, Any] = {"dest": "wait", "default": argparse.SUPPRESS}
    about = f"how long to wait while another run is changing this machine (default: {SECONDS:g})"
    parser.add_argument("--wait", metavar="SECONDS", type=_seconds, help=about, **settings)
    about = "fail at once if another run is changing this machine"
    parser.add_argument("--no-wait", action="store_const", const=0.0, help=about, **settings)


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of flags as keyword arguments, but those that were not given."""
    return {name: value for name, value in vars(arguments).items() if name in ("ask_become_pass", "force", "wait")}


def _seconds(text: str) -> float:
    try:
        return checked(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from error


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
