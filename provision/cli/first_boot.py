"""The command ``cloud-init``: its arguments, and the function it calls."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import provision
from provision.cli import flags, roles
from provision.cli.help import add_command

_EXAMPLES = """\
examples:
  provision cloud-init mrtrix3 --version any --wheel URL --sha256 DIGEST > user-data
  provision cloud-init mrtrix3 ants --wheel URL --sha256 DIGEST --json
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser of ``provision``; `roles.add_options` adds the options of the roles."""
    about = "print user-data with which a new machine installs provision and runs roles"
    usage = "provision cloud-init ROLE --wheel URL --sha256 DIGEST"
    parser = add_command(commands, "cloud-init", about, _EXAMPLES, usage=usage)
    more = "As with run, there may be several roles, with their options: see provision run ROLE --help."
    parser.description = f"{parser.description} {more}"
    add_flags(parser)


def add_flags(parser: argparse._ActionsContainer) -> None:
    """Add the flags of the command itself."""
    about = "the address of a wheel (.whl) or source archive (.tar.gz) of provision: https, http or file"
    parser.add_argument("--wheel", metavar="URL", required=True, help=about)
    parser.add_argument("--sha256", metavar="DIGEST", required=True, help="the SHA-256 of that file")
    flags.add_json(parser)


def call(arguments: argparse.Namespace, rest: Sequence[str]) -> Any:
    """Return the user-data."""
    names, variables = roles.asked(arguments, rest, add_flags, ask=False)
    return provision.cloud_init(*names, wheel=arguments.wheel, sha256=arguments.sha256, **variables)
