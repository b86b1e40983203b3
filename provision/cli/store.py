"""The commands of ``provision store``: their arguments, and the functions they call."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from provision.cli import flags
from provision.cli.help import add_command, ending
from provision.errors import OptionError, unknown

if TYPE_CHECKING:
    from provision.store.listing import Build, Checked, Exported, Listing, Pruned

_EXAMPLES = """\
examples:
  provision store ls                                  list saved builds and whether they run here
  provision store verify                              check that all archives are intact
  provision store prune --keep 2                      delete all but the two newest of each tool
  provision store export mrtrix3-3.0.8 /mnt/usb       copy a build to a folder
  provision store import build.tar.zst --sha256 HEX   add a build from another machine
  provision store ls --store /mnt/usb                 list another store
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
  0    all builds are intact
  1    a build is damaged, or the store cannot be read
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
  provision store export mrtrix3-3.0.8 . --format conda
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
    about = "manage saved builds"
    description = "Manage saved builds: list, verify, delete, export and import them."
    parser = commands.add_parser("store", help=about, description=description, epilog=ending(_EXAMPLES))
    actions = parser.add_subparsers(dest="action", metavar="COMMAND", title="commands")
    _add(actions, "ls", "list saved builds and whether they run here", _LS_EXAMPLES)
    _add(actions, "verify", "check that all archives are intact", _VERIFY_EXAMPLES)
    prune = _add(actions, "prune", "delete old builds, damaged archives and unfinished builds", _PRUNE_EXAMPLES)
    prune.add_argument(
        "--keep", metavar="NUMBER", required=True, help="how many builds of each tool to keep, the newest; 0 for none"
    )
    flags.add_wait(prune)
    export = _add(actions, "export", "copy a build for another machine", _EXPORT_EXAMPLES)
    export.add_argument("key", metavar="KEY", help="the name of a build as listed by ls, or the beginning of it")
    export.add_argument("dest", metavar="DEST", help="an existing folder, or a new file whose name ends in .tar.zst")
    export.add_argument(
        "--format", metavar="FORMAT", default="archive", help="archive (default), or conda for a conda package"
    )
    take = _add(actions, "import", "add a build from another machine", _IMPORT_EXAMPLES)
    take.add_argument("source", metavar="FILE_OR_URL", help="the path or URL of an exported archive")
    take.add_argument("--sha256", metavar="HEX", required=True, help="its SHA-256, as printed by export")
    flags.add_wait(take)


def _add(actions: argparse._SubParsersAction, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    parser = add_command(actions, name, about, examples)
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="the store (default: the folder provision on Google Drive if mounted, else ~/.cache/provision)",
    )
    flags.add_json(parser)
    return parser


def check_command(words: Sequence[str]) -> None:
    """Refuse words after ``store`` that begin with neither a command nor ``--help``."""
    known = f"Store commands: {', '.join(COMMANDS)}."
    command = next((word for word in words if not word.startswith("-")), None)
    if words and words[0] not in (command, "-h", "--help"):
        raise OptionError(f"{words[0].partition('=')[0]} comes before the store command.", hint=known)
    if not words:
        raise OptionError("No store command was given.", hint=known)
    if command and command not in COMMANDS:
        raise unknown("store command", command, COMMANDS, code="usage")


def call(arguments: argparse.Namespace) -> Build | Checked | Exported | Listing | Pruned:
    """Run a command."""
    from provision.store import builds

    functions: dict[str, Callable] = {
        "ls": lambda: builds.ls(arguments.store),
        "verify": lambda: builds.verify(arguments.store),
        "prune": lambda: builds.prune(_number(arguments.keep), arguments.store, **flags.given(arguments)),
        "export": lambda: builds.export(arguments.key, arguments.dest, arguments.store, format=arguments.format),
        "import": lambda: builds.import_(arguments.source, arguments.sha256, arguments.store, **flags.given(arguments)),
    }
    return functions[arguments.action]()


def _number(text: str) -> Any:
    """Return a number if it is one; the function refuses anything else."""
    return int(text) if text.isdecimal() else text
