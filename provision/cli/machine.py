"""The commands that look at this machine: how they are written, and which function each of them is."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import provision
from provision.checkup.diagnosis import Diagnosis
from provision.cli import flags
from provision.cli.help import add_command
from provision.engine import catalog
from provision.errors import OptionError

_DOCTOR_EXAMPLES = """\
examples:
  provision doctor
  provision doctor --json

exit codes:
  0    all is well, or there are warnings alone
  1    a check has failed
  2    wrong usage
  130  interrupted
"""

_REMOVE_EXAMPLES = """\
examples:
  provision remove                    take away all that was put here, after a typed yes
  provision remove --yes              the same without a question, for scripts
  provision remove --check            tell what would be removed, and change nothing
  provision remove sshd --on hosts.yml

What can be of use later is kept, and named with what removes it: builds in the store, sources, logs.

exit codes:
  0    done, or nothing was there
  1    something could not be removed; the same command goes on from there
  2    wrong usage, or the answer was not yes; nothing was removed
  130  interrupted; the same command goes on from there
"""

_LOGS_EXAMPLES = """\
examples:
  provision logs           the last runs, the newest first, and how they ended
  provision logs 2         all that Ansible said in the run before the last
  provision logs --last    the same of the last run
  provision logs --json

exit codes:
  0    done
  1    the log cannot be read
  2    wrong usage, or there is no such log
  130  interrupted
"""

COMMANDS = ("doctor", "logs", "remove")
"""The names of the commands."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser of ``provision``."""
    _add(commands, "doctor", "tell whether this machine has what is needed, and change nothing", _DOCTOR_EXAMPLES)
    logs = _add(commands, "logs", "tell of the last runs, or print what Ansible said", _LOGS_EXAMPLES)
    logs.add_argument("number", nargs="?", type=int, metavar="N", help="which one to print; 1 is the last run")
    logs.add_argument("--last", action="store_true", help="print that of the last run")
    remove = _add(commands, "remove", "take away what the roles have put on this machine", _REMOVE_EXAMPLES)
    remove.add_argument("roles", nargs="*", metavar="ROLE", help="whose (default: all)")
    flags.add_inventory(remove)
    remove.add_argument("--check", action="store_true", help="tell what would be removed, and change nothing")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    flags.add_ask(remove)
    flags.add_wait(remove)
    flags.add_verbose(remove)


def _add(commands: argparse._SubParsersAction, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, about, examples)
    flags.add_json(parser)
    return parser


def call(arguments: argparse.Namespace) -> Any:
    """Do what a command asks for."""
    functions: dict[str, Callable] = {"doctor": _doctor, "logs": _logs, "remove": _remove}
    return functions[arguments.command](arguments)


def _doctor(arguments: argparse.Namespace) -> Any:
    return provision.doctor()


def _logs(arguments: argparse.Namespace) -> Any:
    from provision.actions import logs

    number = 1 if arguments.last else arguments.number
    return logs.logs() if number is None else logs.log(number)


def _remove(arguments: argparse.Namespace) -> Any:
    if not (arguments.check or arguments.yes):
        _ask(", ".join(catalog.role(name).name for name in arguments.roles) or "all that was put there", arguments.on)
    settings = {name: getattr(arguments, name) for name in ("on", "check", "verbose")}
    return provision.remove(*arguments.roles, **settings, **flags.given(arguments))


def _ask(what: str, on: str | None) -> None:
    """Return when a person at a terminal has typed yes."""
    unsaid = OptionError("Nothing was removed.", hint="Type yes when asked, or pass --yes.", code="declined")
    if not sys.stdin.isatty():
        raise unsaid
    where = f"the machines of {on}" if on else "this machine"
    print(f"Remove {what} from {where}? Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise unsaid


def text(result: Any) -> str:
    """Return what a command prints of its result, in colours where standard output shows them."""
    return result.table().text(colours=wants_colours()) if isinstance(result, Diagnosis) else str(result)


def wants_colours() -> bool:
    """Tell whether standard output is a terminal whose user has nothing against colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
