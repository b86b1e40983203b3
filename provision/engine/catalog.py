"""The roles and their options, read from the roles' own argument specs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from provision.engine import content
from provision.errors import OptionError, unknown
from provision.machine.places import is_text
from provision.words import choices

# The list of all roles, which the playbooks read, too.
_LIST = "playbooks/vars/roles.yml"

# Options that reach a role included by others; those set all its other options themselves.
_REACH_INCLUDED = {"deps_lock_timeout": "deps"}

# Variables that several roles share carry this instead of a role's name.
_SHARED_PREFIX = "provision_"

# Names that provision.run and the command line use themselves.
_TAKEN = {
    "on", "limit", "forks", "retry_failed", "check", "verbose", "progress", "optional", "ask_become_pass", "json",
    "help", "wait", "no_wait", "force",
}  # fmt: skip

_WORDS = {
    "str": "text",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping of names to values",
}


@dataclass(frozen=True)
class Option:
    """One option of a role, from its argument spec."""

    name: str  # in full, as the role's variable is called: "mrtrix3_version"
    short: str  # without the role, "version"; in full where the short one would mean something else
    type: str = "str"  # as Ansible calls it: str int bool list path float dict
    default: Any = None
    choices: tuple = ()  # empty when any value of the type is allowed
    elements: str = ""  # for a list, the type of what is in it
    required: bool = False
    description: str = ""  # one paragraph a line, in Ansible's markup, which `plain` takes off
    secret: bool = False  # its value must never be shown (no_log in the spec)

    @property
    def kind(self) -> str:
        """The type in words, for example ``"a list of text"``."""
        words = _WORDS.get(self.type, self.type)
        return f"{words} of {_WORDS.get(self.elements, self.elements)}" if self.elements else words


@dataclass(frozen=True)
class Role:
    """One role: what it does and the options it takes."""

    name: str
    short_description: str = ""  # one line
    description: str = ""  # one paragraph a line, in Ansible's markup
    options: dict[str, Option] = field(default_factory=dict)  # by their full names, in the spec's order
    lets_in: str = ""  # what it opens for SSH: a "server", a "tunnel" to one, or nothing


def roles() -> dict[str, Role]:
    """Return the roles by name, in the order in which they run."""
    return dict(_read(content.root()))


def role(name: str) -> Role:
    """Return a role; refuse an unknown name."""
    known = roles()
    if isinstance(name, Iterable) and not isinstance(name, str | bytes):
        hint = f"One after the other: {', '.join(map(repr, name))}."
        raise OptionError(f"Roles are given as names, not as a {type(name).__name__}.", hint=hint, code="no-role")
    if name not in known:
        raise unknown("role", name, known, code="no-role")
    return known[name]


def variables(names: Sequence[str], options: Mapping[str, Any], *, spell: Callable[[str], str] = str) -> dict[str, Any]:
    """Return options, given by short or full name, as variables of the roles named, converted to their types.

    Options that are unknown, ambiguous, given twice or without effect, because their role is not run, are refused, and
    so are values that are not allowed. `spell` writes the name of an option in errors as the caller does.
    """
    if not names:
        raise OptionError("No role was given.", hint=f"Roles: {', '.join(roles())}.")
    asked = [role(name) for name in names]
    found: dict[str, Any] = {}
    for given, value in options.items():
        option = _meant(given, asked, spell)
        if option.name in found:
            hint = "Use either its short or its full name."
            raise OptionError(f"{spell(option.name)} was given twice.", hint=hint, code="given-twice")
        found[option.name] = _checked(option, value, spell(given))
    return found


def secrets(variables: Mapping[str, Any]) -> list[str]:
    """Return the values of role variables that must never be shown."""
    hidden = {option.name for known in roles().values() for option in known.options.values() if option.secret}
    return [str(value) for name, value in variables.items() if name in hidden and value]


def usual_names(asked: Sequence[Role]) -> dict[str, Option]:
    """Return the options of some roles by the shortest name that each can be given by."""
    meanings = _meanings(asked)
    options = [option for one in asked for option in one.options.values()]
    return {option.short if len(meanings[option.short]) == 1 else option.name: option for option in options}


def plain(text: str) -> str:
    """Return a description with Ansible's markup, such as ``C(code)`` and ``O(option)``, turned into backticks."""
    return re.sub(r"\bU\(([^()]*)\)", r"\1", re.sub(r"\b[BCIOV]\(([^()]*)\)", r"`\1`", text))


@cache
def _read(root: Path) -> dict[str, Role]:
    known = yaml.safe_load((root / _LIST).read_text("utf-8"))["provision_known_roles"]
    return {name: _role(root, name, about) for name, about in known.items()}


def _role(root: Path, name: str, about: Mapping[str, Any]) -> Role:
    main = _specs(root, name)["main"]
    described = dict(main.get("options") or {})
    for entry in about.get("shares", ()):
        described.update(_specs(root, "_tool")[entry]["options"])
    options = {key: _option(name, key, value) for key, value in described.items()}
    words = (main.get("short_description", ""), _paragraphs(main.get("description")))
    return Role(name, *words, options, about.get("lets_in", ""))


@cache
def _specs(root: Path, name: str) -> dict[str, dict[str, Any]]:
    """Return the argument specs of a role, by entry point."""
    text = (root / "roles" / name / "meta" / "argument_specs.yml").read_text("utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["argument_specs"]


def _option(role_name: str, name: str, spec: Mapping[str, Any]) -> Option:
    short = name.removeprefix(_SHARED_PREFIX).removeprefix(f"{role_name}_")
    return Option(
        name=name,
        short=name if short in _TAKEN else short,
        type=spec.get("type", "str"),
        default=spec.get("default"),
        choices=tuple(spec.get("choices") or ()),
        elements=spec.get("elements", ""),
        required=spec.get("required", False),
        description=_paragraphs(spec.get("description")),
        secret=spec.get("no_log", False),
    )


def _paragraphs(text: str | list[str] | None) -> str:
    return "\n".join([text] if isinstance(text, str) else text or [])


def _meanings(asked: Sequence[Role]) -> dict[str, dict[str, Option]]:
    """Return for each name, short or full, the options it could mean, by full name."""
    meanings: dict[str, dict[str, Option]] = {}
    for one in asked:
        for option in one.options.values():
            for name in (option.short, option.name):
                meanings.setdefault(name, {})[option.name] = option
    return meanings


def _meant(given: str, asked: Sequence[Role], spell: Callable[[str], str]) -> Option:
    """Return the option that a name means: a full name takes precedence over a short one of another role."""
    options = _meanings(asked).get(given, {})
    if given in options or len(options) == 1:
        return options.get(given) or next(iter(options.values()))
    if options:
        full = " or ".join(map(spell, options))
        raise OptionError(f"{spell(given)} is ambiguous.", hint=f"Use {full}.", code="ambiguous")
    owners = [role for role in roles().values() if given in role.options]
    if not owners:
        raise _unknown(given, asked, spell)
    if any(_includes(one.name, _REACH_INCLUDED.get(given, "")) for one in asked):
        return owners[0].options[given]
    names, are = " and ".join(owner.name for owner in owners), "is" if len(owners) == 1 else "are"
    raise OptionError(
        f"{spell(given)} would have no effect: {names} {are} not being run.",
        hint=f"Leave it out, or run {owners[0].name} as well.",
        code="no-effect",
    )


def _includes(name: str, other: str) -> bool:
    """Return whether a role includes another, directly or indirectly."""
    texts = [path.read_text("utf-8") for path in (content.root() / "roles" / name / "tasks").glob("*.yml")]
    names = {found for text in texts for found in re.findall(r"include_role:\n +name: (\w+)\n", text)}
    return other in names or any(_includes(found, other) for found in names)


def _unknown(given: str, asked: Sequence[Role], spell: Callable[[str], str]) -> OptionError:
    usual = [spell(name) for name in usual_names(asked)]
    full = [spell(name) for one in asked for name in one.options]
    where = f" for {', '.join(one.name for one in asked)}"
    return unknown("option", spell(given), usual, where=where, near=full, code="no-option")


def _checked(option: Option, value: Any, spelled: str) -> Any:
    converted = _converted(option, value, spelled)
    for item in converted if option.type == "list" else [converted]:
        if option.choices and item not in option.choices:
            raise _wrong_choice(option, item, spelled)
    return converted


def _converted(option: Option, value: Any, spelled: str) -> Any:
    try:
        converted = _convert(option.type, value)
        if option.elements:
            converted = [_convert(option.elements, item) for item in converted]
    except (TypeError, ValueError, OverflowError, yaml.YAMLError):
        pass
    else:
        return converted
    # Raised out here so that no chained exception carries the value of a secret.
    raise _wrong_type(option, value, spelled)


def _convert(type_: str, value: Any) -> Any:
    """Convert as Ansible does, but refuse values that it would silently misread."""
    # A role's argument spec only checks: a template would still see the text "2" where a number is meant.
    # To Ansible True is also the number 1 and the text "True".
    if isinstance(value, bool) and type_ != "bool":
        raise TypeError("a truth value is not a number")
    if type_ in ("str", "path"):  # A path is not expanded: ~ means the home on the host that the role runs on.
        return _text(value)
    if type_ == "list":
        return _list(value)
    from ansible.module_utils.common import validation  # takes as long as all else on the way to a run

    return getattr(validation, f"check_type_{type_}")(value)


_NOT_TEXT = "It must be UTF-8: rename what it names."


def _text(value: Any) -> str:
    # Numbers are refused: Ansible would take the number 3.10 for the text "3.1".
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError("bytes are not text")
    if not is_text(text):
        raise ValueError(_NOT_TEXT)
    return text


# A public key of SSH, which may have commas in it: one of them ends it where the next key begins.
_KEY = r"(?:ssh|ecdsa|sk)-\S+\s+AAAA"


def _list(value: Any) -> list:
    if isinstance(value, str) and value.startswith("["):  # as the descriptions write lists
        value = yaml.safe_load(value)
    if isinstance(value, str):
        if not value.strip():  # of a variable that is not set, say: what was meant is lost
            raise TypeError("an empty text is not a list")
        comma = rf"\n|,(?=\s*{_KEY})" if re.search(_KEY, value) else ","
        return [item.strip() for item in re.split(comma, value) if item.strip()]
    if isinstance(value, list | tuple):
        return list(value)
    raise TypeError("not a list")


def _wrong_type(option: Option, value: Any, spelled: str) -> OptionError:
    shown = "the value given" if option.secret else repr(value)
    message = f"{spelled} takes {option.kind}, not {shown}."
    return OptionError(message, hint=_way_out(option, value), code="bad-value")


def _way_out(option: Option, value: Any) -> str:
    if isinstance(value, str) and not is_text(value):
        return _NOT_TEXT
    if value is None:
        return "Leave it out to use the default."
    if option.type in ("str", "path") and type(value) in (int, float):
        return "Write it in quotes." if option.secret else f'Write it in quotes: "{value}".'
    return plain(option.description)


def _wrong_choice(option: Option, value: Any, spelled: str) -> OptionError:
    shown, meant = ("the value given", "") if option.secret else (repr(value), value)
    hint = choices(meant, map(str, option.choices), "Choices")
    return OptionError(f"{spelled} cannot be {shown}.", hint=hint, code="bad-value")
