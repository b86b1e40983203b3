"""The commands of ``provision store``: how they are written, and which function each of them is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from provision.cli import flags
from provision.cli.help import add_command, ending
from provision.errors import OptionError
from provision.words import did_you_mean

if TYPE_CHECKING:
    from provision.store.listing import Build, Checked, Exported, Listing, Pruned

_EXAMPLES = """\
examples:
  provision store ls                                  which builds there are, and which run here
  provision store verify                              read all of them to the end
  provision store prune --keep 2                      delete all but the two newest of each tool
  provision store export mrtrix3-3.0.8 /mnt/usb       copy one for somebody else
  provision store import build.tar.zst --sha256 HEX   take one from somebody else
  provision store ls --store /mnt/usb                 look into another folder
"""

_LS_EXAMPLES = """\
examples:
  provision store ls
  provision store ls --store /mnt/usb --json
"""

_VERIFY_EXAMPLES = """\
examples:
  provision store verify
  provision store verify --store /mnt/usb --json

exit codes:
  0    all builds are whole
  1    one of them is not, or the store cannot be read
  2    wrong usage
  130  interrupted
"""

_PRUNE_EXAMPLES = """\
examples:
  provision store prune --keep 2
  provision store prune --keep 0 --store /mnt/usb
"""

_EXPORT_EXAMPLES = """\
examples:
  provision store export mrtrix3-3.0.8 /mnt/usb
  provision store export mrtrix3-3.0.8-debian12 build.tar.zst --json
"""

_IMPORT_EXAMPLES = """\
examples:
  provision store import /mnt/usb/build.tar.zst --sha256 HEX
  provision store import https://example.org/build.tar.zst --sha256 HEX --store /mnt/builds
"""

COMMANDS = ("ls", "verify", "prune", "export", "import")
"""The names of the commands."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``store`` and its commands to the parser of ``provision``."""
    about = "keep builds for the next machine: list, verify, delete, hand on"
    description = "Look at the store of builds, and hand builds on. Each of its commands has --help."
    parser = commands.add_parser("store", help=about, description=description, epilog=ending(_EXAMPLES))
    actions = parser.add_subparsers(dest="action", metavar="COMMAND", title="commands")
    _add(actions, "ls", "tell which builds there are, and which run here", _LS_EXAMPLES)
    _add(actions, "verify", "read all builds to the end, and change nothing", _VERIFY_EXAMPLES)
    prune = _add(actions, "prune", "delete old builds, bad files and what was never finished", _PRUNE_EXAMPLES)
    prune.add_argument(
        "--keep", metavar="NUMBER", required=True, help="how many builds of each tool stay, the newest; 0 for none"
    )
    flags.add_wait(prune)
    export = _add(actions, "export", "copy a build for somebody else", _EXPORT_EXAMPLES)
    export.add_argument("key", metavar="KEY", help="the build's name, as ls tells it, or the beginning of it")
    export.add_argument("dest", metavar="DEST", help="a folder that exists, or a new file that ends in .tar.zst")
    take = _add(actions, "import", "take a build from somebody else", _IMPORT_EXAMPLES)
    take.add_argument("source", metavar="FILE_OR_URL", help="an archive that was exported from a store")
    take.add_argument("--sha256", metavar="HEX", required=True, help="its SHA-256, which export has told")
    flags.add_wait(take)


def _add(actions: argparse._SubParsersAction, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    parser = add_command(actions, name, about, examples)
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="the folder of builds (default: provision on Google Drive where that is mounted, else ~/.cache/provision)",
    )
    flags.add_json(parser)
    return parser


def check_command(words: Sequence[str]) -> None:
    """Do nothing when the first word after ``store`` is a command of its, or asks for help."""
    known = f"The commands are {', '.join(COMMANDS)}."
    command = next((word for word in words if not word.startswith("-")), None)
    if words and words[0] not in (command, "-h", "--help"):
        raise OptionError(f"{words[0].partition('=')[0]} stands before a command of store.", hint=known)
    if not words:
        raise OptionError("No command of store was named.", hint=known)
    if command and command not in COMMANDS:
        hint = f"{did_you_mean(command, COMMANDS)} {known}".strip()
        raise OptionError(f"There is no command {command!r} of store.", hint=hint)


def call(arguments: argparse.Namespace) -> Build | Checked | Exported | Listing | Pruned:
    """Do what a command asks for."""
    from provision.store import builds

    functions: dict[str, Callable] = {
        "ls": lambda: builds.ls(arguments.store),
        "verify": lambda: builds.verify(arguments.store),
        "prune": lambda: builds.prune(_number(arguments.keep), arguments.store, **flags.given(arguments)),
        "export": lambda: builds.export(arguments.key, arguments.dest, arguments.store),
        "import": lambda: builds.import_(arguments.source, arguments.sha256, arguments.store, **flags.given(arguments)),
    }
    return functions[arguments.action]()


def _number(text: str) -> Any:
    """Return a number where it is one; what else was written is for the function to refuse."""
    return int(text) if text.isdecimal() else text
