"""The command ``provision``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import provision
from provision import __version__
from provision.cli import first_boot, flags, machine, pictures, roles, store, streams, study
from provision.cli.answer import Answer
from provision.cli.help import RUN_CODES, Parser, add_command, ending
from provision.demo.sample import NAMES, SAMPLES
from provision.engine import logbook
from provision.errors import OptionError, ProvisionError, unexpected, unknown
from provision.words import as_flags, wrapped

SHELLS = ("bash", "zsh", "fish")
"""The shells with completion."""

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

# What a shell reports of a program that wrote into a closed pipe: 128 and the number of SIGPIPE.
PIPE_CLOSED = 141

_EXAMPLES = """\
examples:
  provision run mrtrix3                       install MRtrix3; a second run changes nothing
  provision run mrtrix3 --version any         install whichever version is quickest to get
  provision run mrtrix3 --check               show what would change, without changing anything
  provision run deps mrtrix3 --on hosts.yml   run on the machines of an inventory
  provision run mrtrix3 --on me@host1,host2   run on these machines
  provision run mrtrix3 --help                list the options of mrtrix3
  provision run sshd ngrok                    allow SSH access through a tunnel
  provision stop                              close the tunnel and stop the SSH server
  provision doctor                            check whether this machine has what is needed
  provision logs                              list recent runs and how they ended
  provision remove                            remove everything the roles installed
  provision status --json                     report what is installed and running, as JSON
  provision sample phantom                    create diffusion data to try things on
  provision process bids out participant      run the pipeline on all subjects; run it again to resume
  provision peek dwi.nii.gz                   show slices of an image in the terminal
  provision cloud-init --help                 have a new machine set itself up at its first boot
  provision store ls                          list saved builds and whether they run here
"""

_DEMO_EXAMPLES = """\
examples:
  provision demo
  provision demo --folder out --size 24,24,12 --snr 30 --seed 1
  provision demo --data sherbrooke_3shell --json
"""

_STATUS_EXAMPLES = """\
examples:
  provision status
  provision status --json
  provision status --on hosts.yml

exit codes:
  0    done
  1    a machine could not be looked at
  2    wrong usage
  130  interrupted
"""

_SAMPLE_EXAMPLES = """\
examples:
  provision sample                             a human head, downloaded once, or else a phantom
  provision sample phantom --folder data       create the phantom in the folder data
  provision sample bids --folder study         create a small BIDS study of two simulated subjects
  provision sample sherbrooke_3shell --json    download the head and list its files as JSON
"""

_LOCK_EXAMPLES = """\
examples:
  provision lock mrtrix3                         write mrtrix3.lock.json with today's libraries
  provision lock ants --version 2.6.2 -o ants.json
  provision lock mrtrix3 --channel ./channel --channel conda-forge
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
  eval "$(provision completion bash)"                       for this shell only

The script asks provision itself, so there is no need to renew it after an update.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments (default: those of the process).

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
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how a command line could go on
        from provision.cli import completion

        completion.answer(_parser(None))
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # nobody would learn how a child has ended
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with streams.tolerated():
        try:
            code = _exit_code(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
        except OSError as error:
            streams.drain(sys.stdout, 1)
            if isinstance(error, BrokenPipeError):
                return PIPE_CLOSED
            print(f"Error: The result could not be printed: {error.strerror or error}.", file=sys.stderr)
            return FAILED
    return code


def _exit_code(argv: list[str]) -> int:
    """Run the command line; print the error if that fails."""
    try:
        return _do(argv)
    except SystemExit as end:  # argparse has printed a help text or the version
        return int(end.code or DONE)
    except KeyboardInterrupt:
        again = ProvisionError("Interrupted.", hint="Run the same command to resume.", code="interrupted")
        return _fail(again, INTERRUPTED, argv)
    except OptionError as error:
        return _fail(error, WRONG_USAGE, argv)
    except ProvisionError as error:
        return _fail(error, FAILED, argv)
    except Exception as error:
        if streams.failed_to_print(error):
            raise
        log, _ = logbook.write(traceback.format_exc(), ["error"])
        return _fail(unexpected(error, log), FAILED, argv)


def _fail(error: ProvisionError, code: int, argv: list[str]) -> int:
    for one in (error, *error.errors.values()):
        if one.role:
            one.hint = as_flags(one.hint)
    # Looked for among the words themselves, because they may be what could not be parsed.
    if "--json" in argv:
        print(json.dumps(error.to_dict()))
        return code
    lines = [str(error)] if code == INTERRUPTED else error.lines()
    room = shutil.get_terminal_size().columns if sys.stderr.isatty() else sys.maxsize
    print(*(part for line in lines for part in wrapped(line, room)), sep="\n", file=sys.stderr)
    return code


def _do(argv: list[str]) -> int:
    """Run the command line, print the result and return the exit code."""
    # What each returns has to_dict() for programs and str() for people.
    calls: dict[str, Callable[[argparse.Namespace], Any]] = {
        "run": lambda arguments: roles.run(arguments, rest), "list": roles.list_, "describe": roles.describe,
        "demo": _demo, "status": _status, "stop": _stop, "sample": _sample, "store": store.call,
        "lock": _lock, "process": study.call,
        "cloud-init": lambda arguments: first_boot.call(arguments, rest),
        **dict.fromkeys(pictures.COMMANDS, _picture), "completion": _completion,
        **dict.fromkeys(machine.COMMANDS, _machine),
    }  # fmt: skip
    command = next((word for word in argv if not word.startswith("-")), None)
    if command and command not in calls:
        raise unknown("command", command, calls, code="usage")
    if command == "store":
        store.check_command(argv[argv.index(command) + 1 :])
    parser = _parser(command, argv)
    arguments, rest = parser.parse_known_args(argv)
    if not command:
        flags.refuse_unknown(rest, flags.names(parser), "provision")
        raise OptionError("No command was given.", hint=f"Commands: {', '.join(calls)}.")
    if command not in ("run", "cloud-init"):  # which take the names of roles
        _refuse_rest(rest, parser, arguments)
    elif command == "run" and arguments.help:
        print(roles.run_help(rest), end="")
        return DONE
    # What anything prints meanwhile goes to standard error: standard output is for one JSON object.
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        result = calls[command](arguments)
    print(json.dumps(result.to_dict()) if arguments.json else result)
    if command == "run" and arguments.check:
        print("This was only a check: nothing was changed.", file=sys.stderr)
    return DONE if getattr(result, "ok", True) else FAILED


def _refuse_rest(rest: list[str], parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Raise an error for the first word that the parser of a command did not recognise."""
    asked = flags.subcommands(parser)[arguments.command]
    if below := flags.subcommands(asked):
        asked = below[arguments.action]
    flags.refuse_unknown(rest, flags.names(asked), asked.prog.removeprefix(f"{parser.prog} "))
    if rest:
        takes = " and ".join(str(action.metavar) for action in asked._get_positional_actions())
        message = f"Unexpected argument {rest[0]!r}: `{asked.prog}` takes {f'only {takes}' if takes else 'none'}."
        raise OptionError(message, hint=f"See {asked.prog} --help.")


# The commands that have no module of their own


def _demo(arguments: argparse.Namespace) -> Answer:
    from provision.demo.demo import demo

    result = demo(**{name: value for name, value in vars(arguments).items() if name not in ("command", "json")})
    return Answer(result.to_dict(), result.summary)


def _sample(arguments: argparse.Namespace) -> Any:
    return provision.sample(arguments.name, **({"folder": arguments.folder} if "folder" in arguments else {}))


def _lock(arguments: argparse.Namespace) -> Any:
    return provision.lock(arguments.tool, arguments.version, arguments.output, arguments.channel)


def _status(arguments: argparse.Namespace) -> Any:
    return provision.status(**flags.machines(arguments), **flags.given(arguments))


def _stop(arguments: argparse.Namespace) -> Any:
    result = provision.stop(**flags.machines(arguments), **flags.given(arguments))
    return result if result.hosts else Answer(result.to_dict(), "Nothing was running.")


def _completion(arguments: argparse.Namespace) -> Answer:
    from provision.cli import completion

    return completion.script(arguments.shell)


def _machine(arguments: argparse.Namespace) -> Answer:
    result = machine.call(arguments)
    return Answer(result.to_dict(), machine.text(result), getattr(result, "ok", True))


def _picture(arguments: argparse.Namespace) -> Answer:
    found = pictures.call(arguments)
    return Answer(found, f"{found['file']}: {found['alt']}" if found["file"] else found["alt"])


# Their arguments


def _parser(command: str | None, words: Sequence[str] = ()) -> Parser:
    """Return the parser of all commands; for those that take roles it knows the options of the roles, too."""
    about = "Install MRtrix3 on a fresh machine and check that it computes the right answer."
    parser = Parser(prog="provision", description=about, epilog=ending(_EXAMPLES, RUN_CODES))
    parser.add_argument("--version", action="version", version=f"provision {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    roles.add(commands)
    about = "run MRtrix3 on a phantom and check the result"
    _add_demo_flags(add_command(commands, "demo", about, _DEMO_EXAMPLES, RUN_CODES))
    about = "download or create sample diffusion data"
    _add_sample_arguments(add_command(commands, "sample", about, _SAMPLE_EXAMPLES))
    _add_lock_arguments(add_command(commands, "lock", "list the conda packages of a tool in a file", _LOCK_EXAMPLES))
    status = add_command(commands, "status", "show what is installed, running and stored", _STATUS_EXAMPLES)
    flags.add_machines(status)
    flags.add_ask(status)
    flags.add_json(status)
    stop = add_command(commands, "stop", "close the tunnels and stop the SSH server", _STOP_EXAMPLES, RUN_CODES)
    flags.add_machines(stop)
    flags.add_wait(stop)
    flags.add_json(stop)
    shell = add_command(commands, "completion", "print a completion script for bash, zsh or fish", _COMPLETION_EXAMPLES)
    shell.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")
    flags.add_json(shell)
    pictures.add(commands)
    study.add(commands)
    store.add(commands)
    machine.add(commands)
    first_boot.add(commands)
    if command in ("run", "cloud-init"):
        roles.add_options(commands.choices[command], words)
    return parser


def _add_demo_flags(parser: argparse.ArgumentParser) -> None:
    # What is not given is not passed on, so that each default is in one place only, the function.
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("--folder", metavar="FOLDER", help="the folder for the results (default: provision-demo)")
    parser.add_argument(
        "--data",
        choices=NAMES,
        metavar="SAMPLE",
        help="phantom, whose fibres are known (default), or sherbrooke_3shell, a human head to download",
    )
    parser.add_argument("--size", metavar="X,Y,Z", type=_size, help="the phantom's voxels (default: 32,32,8)")
    parser.add_argument("--snr", metavar="RATIO", type=float, help="the signal-to-noise ratio of the phantom at b = 0")
    parser.add_argument("--seed", metavar="NUMBER", type=int, help="the seed of the phantom's noise")
    parser.add_argument("--version", metavar="TEXT", help="the version of MRtrix3 (default: any)")
    flags.add_wait(parser)
    flags.add_json(parser)


def _add_lock_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tool", metavar="TOOL", help="a role with the origin conda: mrtrix3, ants or fsl")
    parser.add_argument("--version", metavar="TEXT", help="the version (default: that of the role's own lock)")
    parser.add_argument(
        "--channel",
        action="append",
        metavar="CHANNEL",
        help="the name, address or folder of a channel; may be repeated, the preferred first",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the new file (default: TOOL.lock.json)")
    flags.add_json(parser)


def _add_sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument(
        "name",
        nargs="?",
        default=None,  # what is suppressed here would be held to the choices
        choices=SAMPLES,
        metavar="SAMPLE",
        help="phantom, whose fibres are known; bids, a small study of two such subjects; or sherbrooke_3shell, a "
        "human head to download (default: the head, or the phantom if it cannot be downloaded)",
    )
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where to create phantom or bids (default: a folder of that name)"
    )
    flags.add_json(parser)


def _size(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 48,48,20")
    return tuple(map(int, sizes))
