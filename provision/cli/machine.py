"""The commands ``doctor``, ``logs``, ``remove`` and ``modulefile``: their arguments, and the functions they call."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import provision
from provision.checkup.diagnosis import Diagnoses, Diagnosis
from provision.cli import flags
from provision.cli.help import add_command
from provision.engine import catalog
from provision.errors import OptionError

_DOCTOR_EXAMPLES = """\
examples:
  provision doctor
  provision doctor --json
  provision doctor --on hosts.yml
  provision doctor --for dwifslpreproc          list what a script of MRtrix3 needs, and what of it is missing
  provision doctor --for dwibiascorrect ants    the same for one of its algorithms

exit codes:
  0    no check failed; there may be warnings
  1    a check failed
  2    wrong usage
  130  interrupted
"""

_REMOVE_EXAMPLES = """\
examples:
  provision remove                    remove everything the roles installed, after asking
  provision remove --yes              the same without asking, for scripts
  provision remove --check            show what would be removed, without changing anything
  provision remove sshd --on hosts.yml

Saved builds, sources and logs are kept; the command that removes each of them is printed.

exit codes:
  0    done, or there was nothing to remove
  1    something could not be removed; run the same command again to resume
  2    wrong usage, or the answer was not yes; nothing was removed
  130  interrupted; run the same command again to resume
"""

_LOGS_EXAMPLES = """\
examples:
  provision logs           list recent runs, newest first, and how they ended
  provision logs 2         print Ansible's output of the run before last
  provision logs --last    print that of the last run
  provision logs --json

exit codes:
  0    done
  1    the log cannot be read
  2    wrong usage, or there is no such log
  130  interrupted
"""

_MODULEFILE_EXAMPLES = """\
examples:
  provision modulefile
  provision modulefile mrtrix3 > ~/modulefiles/mrtrix3/3.0.8
"""

COMMANDS = ("doctor", "logs", "remove", "modulefile")
"""The names of the commands."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser of ``provision``."""
    doctor = _add(
        commands,
        "doctor",
        "check whether this machine has what the roles need, without changing anything",
        _DOCTOR_EXAMPLES,
    )
    doctor.add_argument(
        "--for",
        dest="for_",
        nargs="+",
        metavar=("SCRIPT", "ALGORITHM"),
        help="check only what this Python script of MRtrix3 needs, such as the programs of FSL",
    )
    flags.add_machines(doctor)
    flags.add_ask(doctor)
    logs = _add(commands, "logs", "list recent runs, or print Ansible's output", _LOGS_EXAMPLES)
    logs.add_argument("number", nargs="?", type=int, metavar="N", help="the run whose log to print; 1 is the last")
    logs.add_argument("--last", action="store_true", help="print the log of the last run")
    remove = _add(commands, "remove", "remove what the roles installed", _REMOVE_EXAMPLES)
    remove.add_argument("roles", nargs="*", metavar="ROLE", help="the roles to remove (default: all)")
    flags.add_machines(remove)
    remove.add_argument("--check", action="store_true", help="show what would be removed, without changing anything")
    remove.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    flags.add_ask(remove)
    flags.add_wait(remove)
    flags.add_verbose(remove)
    module = _add(commands, "modulefile", "print a modulefile for what is installed", _MODULEFILE_EXAMPLES)
    module.add_argument("roles", nargs="*", metavar="ROLE", help="the roles (default: all that installed commands)")


def _add(commands: argparse._SubParsersAction, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, about, examples)
    flags.add_json(parser)
    return parser


def call(arguments: argparse.Namespace) -> Any:
    """Run a command."""
    functions: dict[str, Callable] = {"doctor": _doctor, "logs": _logs, "remove": _remove, "modulefile": _modulefile}
    return functions[arguments.command](arguments)


def _doctor(arguments: argparse.Namespace) -> Any:
    script = " ".join(arguments.for_) if arguments.for_ else None
    return provision.doctor(script, **flags.machines(arguments), **flags.given(arguments))


def _logs(arguments: argparse.Namespace) -> Any:
    from provision.actions import logs

    number = 1 if arguments.last else arguments.number
    return logs.logs() if number is None else logs.log(number)


def _remove(arguments: argparse.Namespace) -> Any:
    machines = flags.machines(arguments)
    if not (arguments.check or arguments.yes):
        _ask(", ".join(catalog.role(name).name for name in arguments.roles) or "everything", **machines)
    settings = {name: getattr(arguments, name) for name in ("check", "verbose")}
    return provision.remove(*arguments.roles, **machines, **settings, **flags.given(arguments))


def _modulefile(arguments: argparse.Namespace) -> Any:
    return provision.modulefile(*arguments.roles)


def _ask(what: str, on: str | None, limit: str = "", **_: object) -> None:
    """Return once somebody at a terminal has typed yes."""
    unsaid = OptionError("Nothing was removed.", hint="Type yes when asked, or pass --yes.", code="declined")
    if not sys.stdin.isatty():
        raise unsaid
    where = f"{limit or 'the machines'} in {on}" if on else "this machine"
    print(f"Remove {what} from {where}? Type yes to confirm: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise unsaid


def text(result: Any) -> str:
    """Return a result as text, in colour if standard output supports it."""
    return result.table().text(colours=wants_colours()) if isinstance(result, Diagnosis | Diagnoses) else str(result)


def wants_colours() -> bool:
    """Return whether standard output is a terminal and its user allows colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
