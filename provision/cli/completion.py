"""Completion of the command line in bash, zsh and fish: scripts that hold all there is to complete.

They are made from the parser and from the roles' own specifications, so that a press of the key starts no Python. What
they offer is that of the version that made them.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from provision import __version__
from provision.engine import catalog
from provision.engine.catalog import Option, Role

SHELLS = ("bash", "zsh", "fish")
"""Those that there is a completion for."""

_PATHS = ("PATH", "FOLDER", "INVENTORY", "FILE", "FILE_OR_URL", "DEST")


@dataclass(frozen=True)
class Script:
    """The completion of one shell.

    Attributes
    ----------
    shell : {"bash", "zsh", "fish"}
        The shell.
    text : str
        The script.
    """

    shell: str
    text: str

    def __str__(self) -> str:
        """Return the script."""
        return self.text.rstrip("\n")

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only."""
        return {"shell": self.shell, "script": self.text}


@dataclass(frozen=True)
class _Flag:
    """A flag as it may be written; `values` is None when it takes none, and empty when any is right."""

    name: str
    about: str
    values: tuple[str, ...] | None = None
    path: bool = False


@dataclass(frozen=True)
class _Place:
    """Where on the line one is: after which words, and what may follow."""

    key: str
    about: str
    flags: tuple[_Flag, ...]
    words: tuple[tuple[str, str], ...] = ()
    path: bool = False


def script(shell: str, parser: argparse.ArgumentParser) -> Script:
    """Return the completion of a shell.

    Parameters
    ----------
    shell : {"bash", "zsh", "fish"}
        The shell.
    parser : argparse.ArgumentParser
        That of ``provision``.

    Returns
    -------
    Script
        The script; printing it prints what the shell is to read.
    """
    roles = tuple(catalog.roles().values())
    places = list(_places(parser, roles))
    made = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](places, roles)
    about = f"# Completion of provision {__version__} for {shell}: provision completion {shell}\n"
    # The first line of a file in zsh's fpath says which command it completes; otherwise it is passed over.
    return Script(shell, ("#compdef provision\n" if shell == "zsh" else "") + about + made)


# What there is to complete


def _places(parser: argparse.ArgumentParser, roles: Sequence[Role]) -> Iterator[_Place]:
    commands = _subparsers(parser)
    yield _Place("", "", tuple(_flags(parser)), tuple(_abouts(parser)))
    names = tuple((role.name, role.short_description) for role in roles)
    for name, command in commands.items():
        common = tuple(_flags(command))
        if name == "run":
            yield _Place(name, "", common, names)
            yield _Place("run several", "", common, names)
            for role in roles:
                yield _Place(f"run {role.name}", "", (*common, *_role_flags(role, short=True)), names)
            continue
        further = _subparsers(command)
        words = names if name in ("describe", "remove") else _words(command)
        yield _Place(name, "", common, tuple(_abouts(command)) or words, _takes_path(command))
        for action, sub in further.items():
            yield _Place(f"{name} {action}", "", tuple(_flags(sub)), _words(sub), _takes_path(sub))


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return next((dict(action.choices) for action in found), {})


def _abouts(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((choice.dest, choice.help or "") for choice in action._choices_actions)


def _flags(parser: argparse.ArgumentParser) -> Iterator[_Flag]:
    for action in parser._actions:
        takes = action.nargs != 0
        values = tuple(map(str, action.choices or ())) if takes else None
        for name in (name for name in action.option_strings if name.startswith("--")):
            yield _Flag(name, action.help or "", values, takes and action.metavar in _PATHS)


def _words(parser: argparse.ArgumentParser) -> tuple[tuple[str, str], ...]:
    """Return the values that the arguments of a command may have."""
    choices = (action.choices for action in parser._actions if not action.option_strings)
    return tuple((str(choice), "") for found in choices for choice in found or ())


def _takes_path(parser: argparse.ArgumentParser) -> bool:
    return any(action.metavar in _PATHS for action in parser._actions if not action.option_strings)


def _role_flags(role: Role, *, short: bool) -> Iterator[_Flag]:
    for option in role.options.values():
        name = (option.short if short else option.name).replace("_", "-")
        about = catalog.plain(option.description).partition("\n")[0]
        if option.secret or option.type == "bool":
            yield _Flag(f"--{name}", about)
        else:
            yield _Flag(f"--{name}", about, _values(option), option.type == "path")
        if option.type == "bool":
            yield _Flag(f"--no-{name}", about)


def _values(option: Option) -> tuple[str, ...]:
    return tuple(map(str, option.choices))


def _asking(flags: Iterable[_Flag]) -> Iterator[_Flag]:
    return (flag for flag in flags if flag.values is not None)


# bash

_BASH = """\
_provision() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} key='' word words=''
    local -a roles=()
    # An equals sign is a word of its own here.
    if [[ $current == '=' ]]; then
        current=''
    elif [[ $previous == '=' ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        case "$key:$word" in
            *:-*) ;;
            :*) key=$word ;;
            @SUB@) key="$key $word" ;;
            @ROLES@) roles+=("$word") ;;
        esac
    done
    if ((${#roles[@]} == 1)); then key="run ${roles[0]}"; elif ((${#roles[@]})); then key='run several'; fi
    case "$key $previous" in
@VALUES@
    esac
    if [[ -z $words ]]; then
        case $key in
@WORDS@
        esac
        for word in "${roles[@]}"; do
            case "$key $word" in
@SEVERAL@
            esac
        done
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _provision provision
"""
_BASH_FILES = 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return'


def _bash(places: Sequence[_Place], roles: Sequence[Role]) -> str:
    values, words = [], []
    for place in places:
        flags = place.flags if place.key != "run several" else (*place.flags, *_full_flags(roles))
        for flag in _asking(flags):
            values.append(f"        {shlex.quote(f'{place.key} {flag.name}')}) {_bash_values(flag)} ;;")
        offered = " ".join([*(word for word, _ in place.words), *(flag.name for flag in place.flags)])
        files = f" if [[ $current != -* ]]; then {_BASH_FILES}; fi;" if place.path else ""
        words.append(f"            {shlex.quote(place.key)}){files} words={shlex.quote(offered)} ;;")
    several = [
        f"                {shlex.quote(f'run several {role.name}')}) "
        f"words+=' {' '.join(flag.name for flag in _role_flags(role, short=False))}' ;;"
        for role in roles
    ]
    return _filled(_BASH, places, roles, VALUES=values, WORDS=words, SEVERAL=several)


def _bash_values(flag: _Flag) -> str:
    if flag.path:
        return _BASH_FILES
    return f"words={shlex.quote(' '.join(flag.values))}" if flag.values else "return"


def _full_flags(roles: Sequence[Role]) -> list[_Flag]:
    return [flag for role in roles for flag in _role_flags(role, short=False)]


def _filled(
    text: str, places: Sequence[_Place], roles: Sequence[Role], *, between: str = " | ", **lines: Sequence[str]
) -> str:
    """Return a script with the words that lead on from a place, and with its tables."""
    sub = [place.key.replace(" ", ":") for place in places if " " in place.key and not place.key.startswith("run ")]
    text = text.replace("@SUB@", between.join(sub))
    text = text.replace("@ROLES@", between.join(f"run:{role.name}" for role in roles))
    for name, found in lines.items():
        text = text.replace(f"@{name}@", "\n".join(found))
    return text


# zsh

_ZSH = """\
_provision() {
    local key='' word
    local -a roles specs
    for word in ${words[2,CURRENT-1]}; do
        case "$key:$word" in
            (*:-*) ;;
            (:*) key=$word ;;
            (@SUB@) key="$key $word" ;;
            (@ROLES@) roles+=($word) ;;
        esac
    done
    if (( $#roles == 1 )); then key="run $roles[1]"; elif (( $#roles )); then key='run several'; fi
    case $key in
@WORDS@
    esac
    for word in $roles; do
        case "$key $word" in
@SEVERAL@
        esac
    done
    _arguments -S : $specs
}
if [[ $funcstack[1] == _provision ]]; then _provision "$@"; else compdef _provision provision; fi
"""


def _zsh(places: Sequence[_Place], roles: Sequence[Role]) -> str:
    words = [f"        ({shlex.quote(place.key)}) specs=({' '.join(_zsh_specs(place))}) ;;" for place in places]
    several = [
        f"            ({shlex.quote(f'run several {role.name}')}) "
        f"specs+=({' '.join(map(_zsh_flag, _role_flags(role, short=False)))}) ;;"
        for role in roles
    ]
    return _filled(_ZSH, places, roles, WORDS=words, SEVERAL=several)


def _zsh_specs(place: _Place) -> Iterator[str]:
    yield from map(_zsh_flag, place.flags)
    if place.words:
        words = " ".join(f"{word}\\:{_zsh_quoted(about)}" for word, about in place.words)
        yield shlex.quote(f"*: :(({words}))")
    else:  # the command itself is such a word: without a word for it, zsh looks at nothing that comes behind
        yield "'*: :_files'" if place.path else "'*: :()'"


def _zsh_flag(flag: _Flag) -> str:
    about = "".join(f"\\{letter}" if letter in "[]:\\" else letter for letter in flag.about)
    if flag.values is None:
        return shlex.quote(f"{flag.name}[{about}]")
    values = "_files" if flag.path else f"({' '.join(flag.values)})"
    return shlex.quote(f"*{flag.name}=[{about}]: :{values}")


def _zsh_quoted(about: str) -> str:
    """Return a description with nothing in it that a list of words would be cut or ended by."""
    return '"' + "".join(f"\\{letter}" if letter in '"\\:()' else letter for letter in about) + '"'


# fish

_FISH = """\
function __provision_key
    set -l key ''
    set -l roles
    for word in (commandline -opc)[2..-1]
        switch "$key:$word"
            case '*:-*'
            case ':*'
                set key $word
            case @SUB@
                set key "$key $word"
            case @ROLES@
                set -a roles $word
        end
    end
    switch (count $roles)
        case 0
            echo $key
        case 1
            echo "run $roles"
        case '*'
            echo run several $roles
    end
end
function __provision_at
    test (__provision_key) = "$argv[1]"
end
function __provision_several
    string match -q -- 'run several *' (__provision_key)
    and begin
        test (count $argv) = 0
        or contains -- $argv[1] (string split ' ' -- (__provision_key))
    end
end
complete -c provision -e
complete -c provision -f
@LINES@
"""


def _fish(places: Sequence[_Place], roles: Sequence[Role]) -> str:
    lines = []
    for place in places:
        at = "__provision_several" if place.key == "run several" else f"__provision_at {shlex.quote(place.key)}"
        begin = f"complete -c provision -n {_fish_quoted(at)}"
        lines += [f"{begin} -a {_fish_quoted(word)}{_fish_about(about)}" for word, about in place.words]
        lines += [f"{begin} -F"] if place.path else []
        lines += [f"{begin} {_fish_flag(flag)}" for flag in place.flags]
    for role in roles:
        begin = f"complete -c provision -n {_fish_quoted(f'__provision_several {role.name}')}"
        lines += [f"{begin} {_fish_flag(flag)}" for flag in _role_flags(role, short=False)]
    return _filled(_FISH, places, roles, between=" ", LINES=lines)


def _fish_flag(flag: _Flag) -> str:
    about = _fish_about(flag.about)
    if flag.values is None:
        return f"-l {flag.name[2:]}{about}"
    values = f" -a {_fish_quoted(' '.join(flag.values))}" if flag.values else ""
    return f"-l {flag.name[2:]} {'-r -F' if flag.path else '-x'}{values}{about}"


def _fish_about(about: str) -> str:
    return f" -d {_fish_quoted(about)}" if about else ""


def _fish_quoted(text: str) -> str:
    """Return a text in quotes as fish reads them: a backslash and a quote have a backslash before them."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
