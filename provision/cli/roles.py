"""The commands ``run``, ``list`` and ``describe``: their arguments, and what they print."""

from __future__ import annotations

import argparse
import getpass
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import provision
from provision.cli import flags
from provision.cli.answer import Answer
from provision.cli.help import RUN_CODES, Parser, add_command, ending
from provision.display.tables import Cell, Table
from provision.engine import catalog
from provision.engine.catalog import Option

if TYPE_CHECKING:
    from provision.actions.result import Result

_RUN_EXAMPLES = """\
examples:
  provision run mrtrix3 --help
  provision run mrtrix3 --version 3.0.8 --origin source --commands mrinfo,dwi2fod
  provision run deps --groups run --groups build --on hosts.yml
  provision run mrtrix3 --on me@host1,me@host2
"""

_ROLE_EXAMPLES = """\
examples:
  provision run {names}
  provision run {names} --check
  provision run {names} --on hosts.yml --json
  provision run {names} --on me@host1,me@host2
"""

_LIST_EXAMPLES = """\
examples:
  provision list
  provision list --json
"""

_DESCRIBE_EXAMPLES = """\
examples:
  provision describe mrtrix3
  provision describe sshd --json
"""

# Keeps the options of roles apart from the command's own arguments, which may have the same names.
_DEST = "option:"

_METAVARS = {"int": "NUMBER", "float": "NUMBER", "path": "PATH", "dict": "NAME=VALUE"}

_ASK = object()


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser of ``provision``; `add_options` adds the options of the roles to ``run``."""
    # Its help depends on the roles named, so it is written once the whole line has been read.
    add_run_flags(commands.add_parser("run", help="run one or more roles", add_help=False))
    flags.add_json(add_command(commands, "list", "list the roles", _LIST_EXAMPLES))
    describe = add_command(commands, "describe", "show what a role does and the options it takes", _DESCRIBE_EXAMPLES)
    describe.add_argument("role", metavar="ROLE", help="the name of a role as listed by provision list")
    flags.add_json(describe)


def add_run_flags(parser: argparse._ActionsContainer) -> None:
    """Add the flags of every run."""
    flags.add_machines(parser)
    about = "run only on those that failed the last time the same roles were run on the same machines"
    parser.add_argument("--retry-failed", action="store_true", default=argparse.SUPPRESS, help=about)
    parser.add_argument("--check", action="store_true", help="show what would change, without changing anything")
    flags.add_ask(parser)
    flags.add_wait(parser)
    about = "start Ansible even if provision can tell by itself that nothing is due"
    parser.add_argument("--force", action="store_true", default=argparse.SUPPRESS, help=about)
    flags.add_json(parser, "print one JSON object: the result, or the error")
    flags.add_verbose(parser)
    parser.add_argument("-h", "--help", action="store_true", help="show this help, with the options of the roles named")


def add_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options of all roles to a command's own: a role may be named after its flags."""
    # The catalogue resolves short names and rejects options of other roles. Here it only matters whether a flag takes
    # a value; where roles differ in that, those that seem to be named take precedence.
    roles = sorted(catalog.roles().values(), key=lambda role: role.name not in words)
    taken = flags.names(parser)
    options: dict[str, Option] = {}
    for option in (option for role in roles for option in role.options.values()):
        for name in (option.name, option.short):
            options.setdefault(name, option)
    for name, option in options.items():
        if flag(name) not in taken:
            hidden: dict[str, Any] = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
            parser.add_argument(flag(name), dest=f"{_DEST}{name}", **hidden, **_action(option))


def add_option(parser: argparse._ActionsContainer, name: str, option: Option) -> argparse.Action:
    """Add an option of a role as the help shows it."""
    action = _action(option)
    if _how_read(option) in ("value", "list"):
        one = f"{{{','.join(map(str, option.choices))}}}" if option.choices else _METAVARS.get(option.type, "TEXT")
        action["metavar"] = f"{one},..." if option.type == "list" else one
    default = _default(option) and f"({_default(option)})"
    text = " ".join(filter(None, [*catalog.plain(option.description).split("\n"), default]))
    return parser.add_argument(flag(name), default=argparse.SUPPRESS, help=text.replace("%", "%%"), **action)


def asked(
    arguments: argparse.Namespace, rest: Sequence[str], add_flags: Callable[[Parser], None], ask: bool = True
) -> tuple[list[str], dict[str, Any]]:
    """Return the roles that a command names, and their options as variables; `add_flags` adds the command's own flags.

    Without `ask`, the secrets that are to be asked for are empty.
    """
    names = _named(rest)
    # A word after an unknown flag may be its value, so the flag comes first.
    known = [role for name, role in catalog.roles().items() if name in names]
    own = Parser(add_help=False)
    add_flags(own)
    allowed = list(dict.fromkeys([*map(flag, catalog.usual_names(known)), *flags.names(own), "--help"]))
    flags.refuse_unknown(rest, allowed, ", ".join(role.name for role in known) or arguments.command)
    return names, catalog.variables(names, _given(arguments, ask), spell=flag)


def run(arguments: argparse.Namespace, rest: Sequence[str]) -> Result:
    """Run roles."""
    names, variables = asked(arguments, rest, add_run_flags)
    settings = {name: getattr(arguments, name) for name in ("check", "verbose")}
    settings |= flags.machines(arguments) | flags.given(arguments)
    return provision.run(*names, **settings, **variables)


def run_help(rest: Sequence[str]) -> str:
    """Return the help of ``provision run`` with the options of the roles named."""
    roles = [catalog.role(name) for name in _named(rest)]
    names = " ".join(role.name for role in roles) or "ROLE [ROLE ...]"
    about = "\n\n".join(f"{role.name}: {role.short_description}\n\n{_wrapped(role.description)}" for role in roles)
    parser = Parser(
        prog=f"provision run {names}",
        usage=f"provision run {names} [--OPTION VALUE ...]",
        description=about or f"Run one or more roles:\n\n{_lines()}",
        epilog=ending(_ROLE_EXAMPLES.format(names=names) if roles else _RUN_EXAMPLES, RUN_CODES),
        add_help=False,
    )
    spelt = {option.name: name for name, option in catalog.usual_names(roles).items()}
    for role in filter(lambda role: role.options, roles):
        full = f"Full names, such as {flag(next(iter(role.options)))}, work as well."
        group = parser.add_argument_group(f"options of {role.name}", full)
        # An option that several roles share is listed in the first group only.
        for name in filter(spelt.__contains__, role.options):
            add_option(group, spelt.pop(name), role.options[name])
    add_run_flags(parser.add_argument_group("common options"))
    return parser.format_help()


def list_(arguments: argparse.Namespace) -> Answer:
    """Return the roles."""
    roles = [{"name": role.name, "about": role.short_description} for role in catalog.roles().values()]
    return Answer({"roles": roles}, _lines())


def describe(arguments: argparse.Namespace) -> Answer:
    """Return what a role does and the options it takes."""
    role = catalog.role(arguments.role)
    parts = [f"{role.name}: {role.short_description}\n\n{_wrapped(role.description)}"]
    for option in role.options.values():
        choices = f"choices: {', '.join(map(str, option.choices))}" if option.choices else ""
        facts = filter(None, [option.kind, "required" if option.required else "", _default(option), choices])
        parts.append(f"{option.name} ({'; '.join(facts)})\n{_wrapped(option.description, indent='    ')}")
    return Answer(asdict(role), "\n\n".join(parts))


def _named(rest: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(word for word in rest if not word.startswith("-")))


# The options of roles


def flag(name: str) -> str:
    """Return the flag of an option."""
    return f"--{name.replace('_', '-')}"


def _how_read(option: Option) -> str:
    if option.secret:
        return "secret"
    return option.type if option.type in ("bool", "list") else "value"


def _action(option: Option) -> dict[str, Any]:
    """Return how argparse reads a flag."""
    ways: dict[str, dict[str, Any]] = {
        "secret": {"nargs": "?", "const": _ASK, "type": _refuse_secret},
        "bool": {"action": argparse.BooleanOptionalAction},
        "list": {"action": "append"},
        "value": {},
    }
    return ways[_how_read(option)]


def _refuse_secret(value: str) -> NoReturn:
    raise argparse.ArgumentTypeError(
        "other users could see a value here; put the flag last, without one, and you are asked for it"
    )


def _given(arguments: argparse.Namespace, ask: bool) -> dict[str, Any]:
    """Return the options given, as the catalogue takes them."""
    options = {name.removeprefix(_DEST): value for name, value in vars(arguments).items() if name.startswith(_DEST)}
    return {name: _value(name, read, ask) for name, read in options.items()}


def _value(name: str, read: Any, ask: bool) -> Any:
    if read is _ASK and not ask:
        return ""
    if read is _ASK:
        return getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    return ",".join(read) if isinstance(read, list) else read


# Texts about them


def _default(option: Option) -> str:
    """Return the default of an option in words; nothing if it has none worth showing."""
    if option.secret or option.required or option.default in (None, ""):
        return ""
    if isinstance(option.default, list):
        return f"default: {', '.join(map(str, option.default)) or 'none'}"
    return f"default: {str(option.default).lower() if isinstance(option.default, bool) else option.default}"


def _lines() -> str:
    return Table([(Cell(role.name), Cell(role.short_description)) for role in catalog.roles().values()]).text()


def _wrapped(text: str, indent: str = "") -> str:
    # Lines of more than 100 characters are hard to read, however wide the terminal.
    width = min(100, shutil.get_terminal_size().columns - 2)  # argparse leaves as much
    paragraphs = catalog.plain(text).split("\n")
    return "\n".join(textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent) for line in paragraphs)
