"""The command ``provision``."""

from __future__ import annotations

import argparse
import contextlib
import errno
import getpass
import json
import os
import shutil
import signal
import sys
import textwrap
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NoReturn, TextIO

import provision
from provision import __version__
from provision.cli import completion, machine, pictures, store
from provision.cli.help import RUN_CODES, WAIT_FLAGS, add_command, add_wait, ending, given_wait
from provision.demo.sample import NAMES
from provision.display.tables import Cell, Table
from provision.engine import catalog, logbook
from provision.engine.catalog import Option, Role
from provision.errors import OptionError, ProvisionError, unexpected
from provision.words import did_you_mean

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

# What a shell reports of a program that wrote into a closed pipe: 128 and the number of SIGPIPE.
PIPE_CLOSED = 141

_EXAMPLES = """\
examples:
  provision run mrtrix3                       install MRtrix3, or see that it is there
  provision run mrtrix3 --version any         take the version that is quickest to get
  provision run mrtrix3 --check               tell what would change, and change nothing
  provision run deps mrtrix3 --on hosts.yml   do it on the machines of an inventory
  provision run mrtrix3 --help                all that mrtrix3 can be told
  provision run sshd ngrok                    let people in through a tunnel, and tell how
  provision stop                              close the tunnel and stop the SSH server
  provision doctor                            whether this machine has what is needed
  provision logs                              the last runs, and how they ended
  provision remove                            take away all that was put here
  provision status --json                     what is installed and running, for a program to read
  provision sample phantom                    diffusion data to try things on
  provision peek dwi.nii.gz -o dwi.png        slices of an image, as a picture
  provision store ls                          which builds are kept, and which run here
"""

_RUN_EXAMPLES = """\
examples:
  provision run mrtrix3 --help
  provision run mrtrix3 --version 3.0.8 --origin source --commands mrinfo,dwi2fod
  provision run deps --groups run --groups build --on hosts.yml
"""

_ROLE_EXAMPLES = """\
examples:
  provision run {names}
  provision run {names} --check
  provision run {names} --on hosts.yml --json
"""

_DEMO_EXAMPLES = """\
examples:
  provision demo
  provision demo --folder out --size 24,24,12 --snr 30 --seed 1
  provision demo --data sherbrooke_3shell --json
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

_STATUS_EXAMPLES = """\
examples:
  provision status
  provision status --json
"""

_SAMPLE_EXAMPLES = """\
examples:
  provision sample                             a human head, downloaded once; else a phantom
  provision sample phantom --folder data       make the phantom in a folder
  provision sample sherbrooke_3shell --json    the head alone, and its files for a program to read
"""

_STOP_EXAMPLES = """\
examples:
  provision stop
  provision stop --on hosts.yml --json
"""

_COMPLETION_EXAMPLES = """\
examples:
  provision completion bash > ~/.local/share/bash-completion/completions/provision
  provision completion zsh > ~/.zfunc/_provision            with ~/.zfunc in fpath, before compinit
  provision completion fish > ~/.config/fish/completions/provision.fish
  eval "$(provision completion bash)"                       in this shell alone

It holds what this version knows; print it again after an update.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; the process's own when not given.

    Returns
    -------
    int
        The exit code: 0 done, 1 the run failed, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main(["--version"])
    provision 0.1.0
    0
    """
    _open_what_is_closed()
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # nobody would learn how a child has ended
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, sys.stderr = sys.stderr, _Tolerant(sys.stderr)
    try:
        code = _exit_code(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except OSError as error:
        _drain(sys.stdout, 1)
        if isinstance(error, BrokenPipeError):
            return PIPE_CLOSED
        print(f"Error: The result could not be printed: {error.strerror or error}.", file=sys.stderr)
        return FAILED
    finally:
        sys.stderr = said
        _drain(said, 2)
    return code


def _drain(stream: TextIO, number: int) -> None:
    """Have a stream that cannot be written to lead nowhere: Python flushes it when it ends, and would fail with 120."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):  # a stream in its place that is no file
            if stream.fileno() == number:
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


class _Tolerant:
    """Standard error that may be lost: a full disk, or a reader that has gone, takes no result away."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _open_what_is_closed() -> None:
    """Have standard input, output and error lead nowhere where the caller has closed them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # otherwise the next file that is opened would take its place
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _exit_code(argv: list[str]) -> int:
    try:
        return _do(argv) or DONE
    except SystemExit as end:  # argparse has printed a help text or the version
        return int(end.code or DONE)
    except KeyboardInterrupt:
        again = ProvisionError("Interrupted.", hint="The same command goes on from here.", code="interrupted")
        return _fail(again, INTERRUPTED, argv)
    except OptionError as error:
        return _fail(error, WRONG_USAGE, argv)
    except ProvisionError as error:
        return _fail(error, FAILED, argv)
    except Exception as error:
        if isinstance(error, OSError) and _is_of_stdout(error):
            raise
        log, _ = logbook.write(traceback.format_exc(), ["error"])
        return _fail(unexpected(error, log), FAILED, argv)


def _is_of_stdout(error: OSError) -> bool:
    """Tell whether an error is that of printing, which has no file's name: a closed pipe, or a full disk behind it."""
    return error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF)


def _fail(error: ProvisionError, code: int, argv: list[str]) -> int:
    # Looked for among the words themselves, because they may be what could not be parsed.
    if "--json" in argv:
        print(json.dumps(error.to_dict()))
        return code
    print("\n".join(error.lines()), file=sys.stderr)
    return code


def _do(argv: list[str]) -> int | None:
    commands = {
        "run": _run, "list": _list, "describe": _describe, "demo": _demo, "status": _status, "stop": _stop,
        "sample": _sample, "store": _store, "peek": _picture, "glyphs": _picture, "completion": _completion,
        **dict.fromkeys(machine.COMMANDS, _machine),
    }  # fmt: skip
    command = next((word for word in argv if not word.startswith("-")), None)
    if command and command not in commands:
        hint = _joined(did_you_mean(command, commands), f"The commands are {', '.join(commands)}.")
        raise OptionError(f"There is no command {command!r}.", hint=hint)
    if command == "store":
        store.check_command(argv[argv.index(command) + 1 :])
    arguments, rest = _parser(command, argv).parse_known_args(argv)
    if not command:
        _refuse_unknown(rest, ["--version", "--help"], "provision")
        raise OptionError("No command was named.", hint=f"The commands are {', '.join(commands)}.")
    return commands[command](arguments, rest)


# The commands; the exit code is 0 unless one returns another


def _run(arguments: argparse.Namespace, rest: list[str]) -> None:
    names = list(dict.fromkeys(word for word in rest if not word.startswith("-")))
    if arguments.help:
        print(_run_help([catalog.role(name) for name in names]), end="")
        return
    # A word after an unknown flag may be its value, so the flag comes first.
    known = [role for name, role in catalog.roles().items() if name in names]
    flags = [*map(_flag, catalog.usual_names(known)), *_RUN_FLAGS]
    _refuse_unknown(rest, flags, ", ".join(role.name for role in known) or "run")
    variables = catalog.variables(names, _given(arguments), spell=_flag)
    with _kept_for_json(arguments.json):
        settings = {name: getattr(arguments, name) for name in ("on", "check", "verbose")}
        settings |= given_wait(arguments) | machine.asking(arguments)
        result = provision.run(*names, **settings, **variables)
    print(json.dumps(result.to_dict()) if arguments.json else repr(result))
    if arguments.check:
        print("This was a check: nothing has been changed.", file=sys.stderr)


def _list(arguments: argparse.Namespace, rest: list[str]) -> None:
    _refuse_rest(rest, "list", ["--json", "--help"])
    roles = [{"name": role.name, "about": role.short_description} for role in catalog.roles().values()]
    print(json.dumps({"roles": roles}) if arguments.json else _role_lines())


def _describe(arguments: argparse.Namespace, rest: list[str]) -> None:
    _refuse_rest(rest, "describe", ["--json", "--help"])
    role = catalog.role(arguments.role)
    if arguments.json:
        print(json.dumps(asdict(role)))
        return
    print(f"{role.name}: {role.short_description}\n\n{_wrapped(role.description)}")
    for option in role.options.values():
        choices = f"choices: {', '.join(map(str, option.choices))}" if option.choices else ""
        facts = filter(None, [option.kind, "required" if option.required else "", _default(option), choices])
        print(f"\n{option.name} ({'; '.join(facts)})\n{_wrapped(option.description, indent='    ')}")


def _demo(arguments: argparse.Namespace, rest: list[str]) -> None:
    from provision.demo.demo import demo

    _refuse_rest(rest, "demo", _DEMO_FLAGS)
    given = {name: value for name, value in vars(arguments).items() if name not in ("command", "json")}
    with _kept_for_json(arguments.json):
        result = demo(**given)
    print(json.dumps(result.to_dict()) if arguments.json else result.summary)


def _sample(arguments: argparse.Namespace, rest: list[str]) -> None:
    _refuse_rest(rest, "sample", ["--folder", "--json", "--help"])
    folder = {"folder": arguments.folder} if "folder" in arguments else {}
    with _kept_for_json(arguments.json):
        result = provision.sample(arguments.name, **folder)
    print(json.dumps(result.to_dict()) if arguments.json else result)


def _status(arguments: argparse.Namespace, rest: list[str]) -> None:
    _refuse_rest(rest, "status", ["--json", "--help"])
    with _kept_for_json(arguments.json):
        status = provision.status()
    print(json.dumps(status.to_dict()) if arguments.json else status)


def _stop(arguments: argparse.Namespace, rest: list[str]) -> None:
    _refuse_rest(rest, "stop", ["--on", *WAIT_FLAGS, "--json", "--help"])
    with _kept_for_json(arguments.json):
        result = provision.stop(on=arguments.on, **given_wait(arguments))
    if arguments.json:
        print(json.dumps(result.to_dict()))
    else:
        print(result if result.hosts else "Nothing was running.")


def _completion(arguments: argparse.Namespace, rest: list[str]) -> None:
    _refuse_rest(rest, "completion", ["--json", "--help"])
    made = completion.script(arguments.shell, _parser(None))
    print(json.dumps(made.to_dict()) if arguments.json else made)


def _store(arguments: argparse.Namespace, rest: list[str]) -> int:
    _refuse_rest(rest, f"store {arguments.action}", store.FLAGS[arguments.action])
    with _kept_for_json(arguments.json):
        result = store.call(arguments)
    print(json.dumps(result.to_dict()) if arguments.json else result)
    return DONE if getattr(result, "ok", True) else FAILED


def _machine(arguments: argparse.Namespace, rest: list[str]) -> int:
    _refuse_rest(rest, arguments.command, machine.flags(arguments.command))
    with _kept_for_json(arguments.json):
        result = machine.call(arguments)
    print(json.dumps(result.to_dict()) if arguments.json else machine.text(result))
    return DONE if getattr(result, "ok", True) else FAILED


def _picture(arguments: argparse.Namespace, rest: list[str]) -> None:
    _refuse_rest(rest, arguments.command, pictures.flags(arguments.command))
    found = pictures.call(arguments)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(f"{found['file']}: {found['alt']}" if found["file"] else found["alt"])


@contextlib.contextmanager
def _kept_for_json(as_json: bool) -> Iterator[None]:
    """Send what anything prints to standard error, so that standard output holds one JSON object and nothing else."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


# Their arguments

_RUN_FLAGS = ("--on", "--check", "--ask-become-pass", *WAIT_FLAGS, "--json", "--verbose", "--help")
_DEMO_FLAGS = ("--folder", "--data", "--size", "--snr", "--seed", "--version", *WAIT_FLAGS, "--json", "--help")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are those of the whole package."""

    def __init__(self, **settings: Any):
        # An abbreviated flag would change its meaning with the next option that a role gets.
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message[0].upper()}{message[1:]}.", hint=f"See {self.prog} --help.")


def _parser(command: str | None, words: Sequence[str] = ()) -> _Parser:
    about = "Install MRtrix3 on a fresh machine, and show that it computes the right thing."
    parser = _Parser(prog="provision", description=about, epilog=ending(_EXAMPLES, RUN_CODES))
    parser.add_argument("--version", action="version", version=f"provision {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    # Its help depends on the roles named, so that it is written when the whole line has been read.
    run = commands.add_parser("run", help="run roles, with options of theirs", add_help=False)
    _add_run_flags(run)
    if command == "run":
        _add_option_flags(run, words)

    roles = add_command(commands, "list", "tell which roles there are", _LIST_EXAMPLES)
    roles.add_argument("--json", action="store_true", help="print one JSON object")
    describe = add_command(commands, "describe", "tell what a role does and what it can be told", _DESCRIBE_EXAMPLES)
    describe.add_argument("role", metavar="ROLE", help="its name, as provision list tells it")
    describe.add_argument("--json", action="store_true", help="print one JSON object")
    about = "show that MRtrix3 computes the right thing"
    _add_demo_flags(add_command(commands, "demo", about, _DEMO_EXAMPLES, RUN_CODES))
    about = "give diffusion data to try things on, and tell where they are"
    _add_sample_arguments(add_command(commands, "sample", about, _SAMPLE_EXAMPLES))
    status = add_command(commands, "status", "tell what is installed, running and stored", _STATUS_EXAMPLES)
    status.add_argument("--json", action="store_true", help="print one JSON object")
    stop = add_command(commands, "stop", "close the tunnels and stop the SSH server", _STOP_EXAMPLES, RUN_CODES)
    stop.add_argument("--on", metavar="INVENTORY", help="the machines, an Ansible inventory (default: this one)")
    add_wait(stop)
    stop.add_argument("--json", action="store_true", help="print one JSON object")
    shell = add_command(commands, "completion", "print what completes this command line", _COMPLETION_EXAMPLES)
    shell.add_argument("shell", choices=completion.SHELLS, metavar="SHELL", help="bash, zsh or fish")
    shell.add_argument("--json", action="store_true", help="print one JSON object")
    pictures.add(commands)
    store.add(commands)
    machine.add(commands)
    return parser


def _add_run_flags(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--on", metavar="INVENTORY", help="the machines, an Ansible inventory (default: this one)")
    parser.add_argument("--check", action="store_true", help="tell what would change, and change nothing")
    machine.add_ask_flag(parser)
    add_wait(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object: the result, or the error")
    parser.add_argument("-v", "--verbose", action="store_true", help="show all that Ansible says")
    parser.add_argument("-h", "--help", action="store_true", help="show this, with the options of the roles named")


def _add_demo_flags(parser: argparse.ArgumentParser) -> None:
    # What is not given is not passed on, so that a default stands in one place only, the function's.
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("--folder", metavar="FOLDER", help="where the results go")
    parser.add_argument(
        "--data",
        choices=NAMES,
        help="a phantom whose fibres are known (the default), or a human head, which is downloaded",
    )
    parser.add_argument("--size", metavar="X,Y,Z", type=_size, help="voxels of the phantom along each axis")
    parser.add_argument("--snr", metavar="RATIO", type=float, help="signal-to-noise ratio of the phantom at b = 0")
    parser.add_argument("--seed", metavar="NUMBER", type=int, help="seed of the phantom's noise")
    parser.add_argument("--version", metavar="TEXT", help="the version of MRtrix3 (default: any)")
    add_wait(parser)
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")


def _add_sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument(
        "name",
        nargs="?",
        default=None,  # what is suppressed here would be held to the choices
        choices=NAMES,
        metavar="NAME",
        help="phantom, whose fibres are known, or sherbrooke_3shell, a human head, which is downloaded; without a name "
        "the head, and where it cannot be downloaded the phantom",
    )
    parser.add_argument("--folder", metavar="FOLDER", help="where the phantom's files go (default: phantom)")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")


def _size(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 48,48,20")
    return tuple(map(int, sizes))


def _refuse_unknown(rest: Iterable[str], allowed: Iterable[str], whose: str) -> None:
    """Raise an error for the first flag that the parser has left over."""
    allowed = list(allowed)
    unknown = next((word.partition("=")[0] for word in rest if word.startswith("-")), None)
    if unknown in allowed:
        raise OptionError(f"{unknown} stands before the command.", hint="Write it after the command.")
    if unknown:
        hint = _joined(did_you_mean(unknown, allowed), f"The options are {', '.join(allowed)}.")
        raise OptionError(f"There is no option {unknown} of {whose}.", hint=hint)


def _refuse_rest(rest: list[str], command: str, allowed: Iterable[str]) -> None:
    _refuse_unknown(rest, allowed, command)
    if rest:
        raise OptionError(f"{rest[0]!r} is too much for {command}.", hint=f"See provision {command} --help.")


# The options of roles

# Keeps them apart from the command's own arguments, which may have the same names.
_DEST = "option:"

_METAVARS = {"int": "NUMBER", "float": "NUMBER", "path": "PATH", "dict": "NAME=VALUE"}

_ASK = object()


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _add_option_flags(parser: _Parser, words: Sequence[str]) -> None:
    """Add the options of all roles, because the roles may be named after their flags.

    Which options the roles named have, and which one a short name means, is for the catalogue to say. Here only matters
    whether a flag takes a value, and the roles that seem to be named come first in that.
    """
    roles = sorted(catalog.roles().values(), key=lambda role: role.name not in words)
    flags: dict[str, Option] = {}
    for option in (option for role in roles for option in role.options.values()):
        for name in (option.name, option.short):
            flags.setdefault(name, option)
    for name, option in flags.items():
        parser.add_argument(_flag(name), dest=f"{_DEST}{name}", default=argparse.SUPPRESS, **_action(option))


def _how_read(option: Option) -> str:
    if option.secret:
        return "secret"
    return option.type if option.type in ("bool", "list") else "value"


def _action(option: Option) -> dict[str, Any]:
    """Return how a flag is read, in argparse's terms."""
    ways: dict[str, dict[str, Any]] = {
        "secret": {"nargs": "?", "const": _ASK, "type": _refuse_secret},
        "bool": {"action": argparse.BooleanOptionalAction},
        "list": {"action": "append"},
        "value": {},
    }
    return ways[_how_read(option)]


def _refuse_secret(value: str) -> NoReturn:
    raise argparse.ArgumentTypeError("its value could be seen by all users here; write the flag last, and be asked")


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as the catalogue takes them."""
    options = {name.removeprefix(_DEST): value for name, value in vars(arguments).items() if name.startswith(_DEST)}
    return {name: _value(name, read) for name, read in options.items()}


def _value(name: str, read: Any) -> Any:
    if read is _ASK:
        return getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    return ",".join(read) if isinstance(read, list) else read


# Help


def _run_help(roles: Sequence[Role]) -> str:
    """Return the help of ``provision run`` with the options of the roles named and of no other."""
    names = " ".join(role.name for role in roles) or "ROLE [ROLE ...]"
    about = "\n\n".join(f"{role.name}: {role.short_description}\n\n{_wrapped(role.description)}" for role in roles)
    parser = _Parser(
        prog=f"provision run {names}",
        usage=f"provision run {names} [--OPTION VALUE ...]",
        description=about or f"Run roles:\n\n{_role_lines()}",
        epilog=ending(_ROLE_EXAMPLES.format(names=names) if roles else _RUN_EXAMPLES, RUN_CODES),
        add_help=False,
    )
    flags = {option.name: _flag(name) for name, option in catalog.usual_names(roles).items()}
    for role in filter(lambda role: role.options, roles):
        full = f"The full names, such as {_flag(next(iter(role.options)))}, may be written, too."
        group = parser.add_argument_group(f"options of {role.name}", full)
        for option in role.options.values():
            _add_option_help(group, flags[option.name], option)
    _add_run_flags(parser.add_argument_group("options of every run"))
    return parser.format_help()


def _add_option_help(group: argparse._ArgumentGroup, flag: str, option: Option) -> None:
    action = _action(option)
    if _how_read(option) in ("value", "list"):
        one = f"{{{','.join(map(str, option.choices))}}}" if option.choices else _METAVARS.get(option.type, "TEXT")
        action["metavar"] = f"{one},..." if option.type == "list" else one
    default = _default(option) and f"({_default(option)})"
    text = _joined(*catalog.plain(option.description).split("\n"), default)
    group.add_argument(flag, default=argparse.SUPPRESS, help=text.replace("%", "%%"), **action)


def _default(option: Option) -> str:
    """Return what holds when an option is not given; nothing where that would say nothing."""
    if option.secret or option.required or option.default in (None, ""):
        return ""
    if isinstance(option.default, list):
        return f"default: {', '.join(map(str, option.default)) or 'none'}"
    return f"default: {str(option.default).lower() if isinstance(option.default, bool) else option.default}"


def _role_lines() -> str:
    return Table([(Cell(role.name), Cell(role.short_description)) for role in catalog.roles().values()]).text()


def _wrapped(text: str, indent: str = "") -> str:
    # Lines of more than 100 letters are hard to read, however wide the terminal.
    width = min(100, shutil.get_terminal_size().columns - 1)
    paragraphs = catalog.plain(text).split("\n")
    return "\n".join(textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent) for line in paragraphs)


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
