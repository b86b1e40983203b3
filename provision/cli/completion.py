"""Completion for bash, zsh and fish: at each press of Tab the shell asks ``provision`` itself.

argcomplete provides the shell scripts and derives the answer from the parser. The user waits for it at each press, so
nothing heavy may be imported on the way.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from argcomplete import CompletionFinder, FilesCompleter, shellcode, split_line
from argcomplete.completers import BaseCompleter

from provision.checkup import programs
from provision.cli import first_boot, flags, roles
from provision.cli.answer import Answer
from provision.cli.help import Parser
from provision.engine import catalog
from provision.machine import releases

# argcomplete passes zsh's whole line, which may have sudo or other commands before this one; zsh knows this command's
# words. And where nothing is offered, bash completes files by itself, and zsh has to be asked for that.
_ZSH = {
    'COMP_LINE="$BUFFER"': 'COMP_LINE="${(j: :)words[1,CURRENT]}"',
    'COMP_POINT="$CURSOR"': 'COMP_POINT="$(( ${#${(j: :)words[1,CURRENT]}} - ${#SUFFIX} ))"',
    '"${nospace[@]}"\n': '"${nospace[@]}" || _files\n',
}

# The script of a clone, which passes the question on. Another project's, which would be run, is left alone.
_BOOTSTRAP = {
    "bash": """
_provision_bootstrap() { [[ -e ${1%bootstrap}provision/__main__.py ]] && _python_argcomplete "$@"; }
complete -o nospace -o default -o bashdefault -F _provision_bootstrap bootstrap
""",
    "zsh": """
_provision_bootstrap() { [[ -e ${words[1]%bootstrap}provision/__main__.py ]] && _python_argcomplete "$@" || _files; }
[[ $zsh_eval_context == *func ]] || compdef _provision_bootstrap bootstrap
""",
    "fish": shellcode(["bootstrap"], shell="fish", argcomplete_script="$argv").replace(
        "-f -a '(__fish_bootstrap_complete)'",
        "-n 'test -e (dirname (commandline -opc)[1])/provision/__main__.py' "
        "-f -a '(__fish_bootstrap_complete (commandline -opc)[1])'",
    ),
}

# Of an option that takes any version, those that are known.
_VERSIONS = {"mrtrix3_version": ("any", *reversed(releases.COMMITS))}

# Of an option of pictures, its values: of matplotlib's colour maps those that suit images, as importing it takes long.
_COLOURMAPS = (
    "gray", "bone", "hot", "afmhot", "gist_heat", "copper", "cool", "winter", "autumn", "viridis", "plasma", "inferno",
    "magma", "cividis", "turbo", "jet", "nipy_spectral", "Blues", "Greens", "Reds", "coolwarm", "RdBu_r", "seismic",
)  # fmt: skip
_PICTURES = {
    "colourmap": _COLOURMAPS,
    "overlay_colourmap": _COLOURMAPS,
    "plane": ("axial", "coronal", "sagittal"),
    "kind": ("fod", "tensor"),
}

_PATHS = ("PATH", "FOLDER", "MACHINES", "FILE", "IMAGE", "FILE_OR_URL", "DEST")


def script(shell: str) -> Answer:
    """Return the completion script of a shell."""
    text = shellcode(["provision"], shell=shell).strip()
    for theirs, ours in _ZSH.items() if shell == "zsh" else ():
        text = text.replace(theirs, ours)
    text = f"{text}\n{_BOOTSTRAP[shell]}".strip()
    return Answer({"shell": shell, "script": f"{text}\n"}, text)


def answer(parser: argparse.ArgumentParser) -> NoReturn:
    """Print the completions and exit; print nothing if anything goes wrong."""
    with contextlib.suppress(Exception, KeyboardInterrupt):
        _, _, _, words, _ = split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))
        for command, add_flags in {"run": roles.add_run_flags, "cloud-init": first_boot.add_flags}.items():
            flags.subcommands(parser)[command] = _WithRoles(command, words, add_flags)
        finder = CompletionFinder()
        finder(parser, always_complete_options=False, default_completer=_Values(), exit_method=sys.exit)
    sys.exit(1)


class _Values(BaseCompleter):
    """Completions for arguments without choices, by the name of their value in the help."""

    def __call__(
        self, *, prefix: str, action: argparse.Action, parsed_args: argparse.Namespace, **_rest: Any
    ) -> Iterable[str]:
        if action.metavar == "ROLE":
            return {role.name: role.short_description for role in catalog.roles().values()}
        if action.metavar == "KEY":
            from provision.store import builds

            return [build.key for build in builds.ls(parsed_args.store)]
        if action.dest in _PICTURES:
            return _PICTURES[action.dest]
        if action.dest == "for_":
            known = programs.scripts()
            name, *algorithm = parsed_args.for_ or [""]
            return () if algorithm else known.get(name, known)
        # The other shells complete paths themselves, with what ~ and variables stand for.
        in_fish = os.environ.get("_ARGCOMPLETE_SHELL") == "fish"
        return sorted(FilesCompleter()(prefix)) if in_fish and action.metavar in _PATHS else []


class _WithRoles(Parser):
    """The parser of a command that takes roles, for completion: it knows only the options of the roles named."""

    def __init__(self, command: str, words: Sequence[str], add_flags: Callable[[Parser], None]):
        super().__init__(prog=f"provision {command}", add_help=False)
        self.add_argument("roles", nargs="*", metavar="ROLE")
        own = Parser(add_help=False)
        add_flags(own)
        named = [role for role in catalog.roles().values() if role.name in words]
        for option in {option.name: option for role in named for option in role.options.values()}.values():
            has_short = len(named) == 1 and roles.flag(option.short) not in flags.names(own)
            action = roles.add_option(self, option.short if has_short else option.name, option)
            values = tuple(map(str, option.choices)) or _VERSIONS.get(option.name, ())
            if values:
                action.completer = lambda values=values, **_rest: values  # type: ignore[attr-defined]
        add_flags(self)

    def parse_known_args(self, args=None, namespace=None):
        # Roles may come after flags too, where a parser looks for no more arguments once it has had some.
        return super().parse_known_args([word for word in args or () if word not in catalog.roles()], namespace)
