"""The steps of a study as data: commands with named inputs and outputs, read from YAML files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from provision import paths
from provision.errors import OptionError, unknown
from provision.words import did_you_mean

BUILT_IN = Path(__file__).parent / "steps"
"""The folder of the files that come with the package."""

OWN = {"gradient_check": "provision.study.gradient_check"}
"""Commands that are modules of this package."""

RAW = ("dwi", "bvec", "bval", "sidecar")
"""The names of what a dataset itself has for each series."""

_FILE_KEYS = ("about", "roles", "steps")
_STEP_KEYS = ("name", "about", "level", "data", "inputs", "outputs", "commands")
_LEVELS, _DATA = ("participant", "group"), ("any", "multi-shell", "single-shell")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_PLACE = re.compile(r"\{([\w.]+)\}")


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    name : str
        What it is called in messages, records and ``--redo``.
    level : {"participant", "group"}
        Whether it is done for each series, or once for all of them.
    data : {"any", "multi-shell", "single-shell"}
        The series it is for.
    inputs : tuple of str
        Names of what it reads: of the dataset (`RAW`), or outputs of earlier steps.
    outputs : dict of str to str
        What it writes: names, and the ends of the names of files.
    commands : tuple of tuple of str
        The words of each command, with ``{in.NAME}``, ``{out.NAME}``, ``{threads}`` and ``{memory}`` (in MB).
    roles : tuple of str
        The roles that bring the commands.
    where : str
        The file and line that it is from.
    """

    name: str
    level: str
    data: str
    inputs: tuple[str, ...]
    outputs: dict[str, str]
    commands: tuple[tuple[str, ...], ...]
    roles: tuple[str, ...]
    where: str = field(default="", compare=False)

    @property
    def here(self) -> bool:
        """Whether it runs code of this package, which other machines do not have."""
        return any(command[0] in OWN for command in self.commands)

    @property
    def definition(self) -> str:
        """The SHA-256 of all that decides what it computes."""
        what = [self.name, self.level, self.inputs, sorted(self.outputs.items()), self.commands]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    @property
    def described(self) -> set[str]:
        """The ends of the files that a run itself writes beside its outputs."""
        if self.level == "group":
            return set()
        image = self.outputs.get("dwi", "")
        about = {f"{image.removesuffix('.nii.gz')}.json"} if f"_{image}".endswith("_dwi.nii.gz") else set()
        return {"provenance.json", *about}

    def suits(self, shells: Sequence[int]) -> bool:
        """Return whether it is for series with these shells, b=0 included."""
        single = len([shell for shell in shells if shell]) == 1
        return self.data == "any" or single == (self.data == "single-shell")


def built_in() -> list[str]:
    """Return the names of the files that come with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("[a-z]*.yml"))


def imports() -> dict[bool, Step]:
    """Return the step that makes NIfTI of a MIF image, by whether its gradient table is in files of its own."""
    inside, beside = _File(BUILT_IN / "_mif.yml").steps()
    return {False: inside, True: beside}


def read(names: Iterable[str]) -> list[Step]:
    """Read the steps of several files, in the order in which they are done.

    Parameters
    ----------
    names : iterable of str
        Names of built-in files, such as ``"csd"``, or paths of files of your own, such as ``"./mine.yml"``.

    Returns
    -------
    list of Step
        The steps.

    Raises
    ------
    provision.errors.OptionError
        If there is no such file, or one is invalid; the message has the file, line and key.

    Examples
    --------
    >>> [step.name for step in read(["denoise"])]
    ['denoise']
    """
    steps = [step for name in names for step in _File(_path(name)).steps()]
    if not steps:
        raise OptionError("No steps were given.", hint=f"For example: {', '.join(built_in())}.", code="bad-value")
    _check_order(steps)
    return steps


def _path(name: str) -> Path:
    path = paths.absolute(name)
    if path.suffix in (".yml", ".yaml") or "/" in name:
        if not path.is_file():
            raise OptionError(f"There is no file {path}.", hint="Check the path of the steps.", code="no-file")
        return path
    if name not in built_in():
        raise unknown("set of steps", name, built_in(), kinds="sets of steps", code="no-steps")
    return BUILT_IN / f"{name}.yml"


def _check_order(steps: Sequence[Step]) -> None:
    """Refuse steps that get in each other's way, or read what no earlier one writes."""
    known = set(RAW)
    used: dict[str, str] = {}
    for number, step in enumerate(steps):
        for other in (*imports().values(), *steps[:number]):
            _check_pair(other, step)
        if missing := next((name for name in step.inputs if name not in known), None):
            raise _wrong_order(step, f"reads {missing!r}, which no earlier step writes", _advice(missing, known))
        for name in step.outputs:
            if name in used and name in RAW:
                what = f"replaces {name!r} after the step {used[name]!r} has used it"
                raise _wrong_order(step, what, f"Put {step.name!r} first.")
        used.update({name: step.name for name in step.inputs if name not in step.outputs})
        known.update(step.outputs)


def _check_pair(first: Step, second: Step) -> None:
    """Refuse two steps for the same series that have one name or write the same file."""
    if first.data != second.data and _DATA[0] not in (first.data, second.data):
        return
    if first.name == second.name:
        raise _wrong_order(second, f"has the name of another one ({first.where})", "Rename one of them.")
    of_first, of_second = set(first.outputs.values()), set(second.outputs.values())
    twice = (of_first | first.described) & of_second | of_first & second.described
    if twice and first.level == second.level:
        raise _wrong_order(second, f"writes the same file as {first.name!r}, {min(twice)}", "Rename one of them.")


def _wrong_order(step: Step, what: str, hint: str) -> OptionError:
    return OptionError(f"{step.where}: the step {step.name!r} {what}.", hint=hint, code="bad-steps")


def _advice(missing: str, known: Iterable[str]) -> str:
    for name in built_in():
        if any(missing in step.outputs for step in _File(BUILT_IN / f"{name}.yml").steps()):
            return f"The built-in steps {name!r} write it: put them first."
    return did_you_mean(missing, known) or f"Known here: {', '.join(sorted(known))}."


class _File:
    """A YAML file of steps, which knows the line of each key."""

    def __init__(self, path: Path):
        self._path = path
        self._lines: dict[tuple, int] = {}
        try:
            text = path.read_text("utf-8")
            events = list(yaml.parse(text, yaml.BaseLoader))
            node = yaml.compose(text, yaml.BaseLoader)
            # Every scalar is a text, so that a command `true` or an output `no` is what it looks like.
            self._data = yaml.load(text, yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            raise self._at(error.problem_mark.line + 1, f"this is not YAML: {error.problem}") from error
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            why = " ".join(str(error).split())
            raise OptionError(f"The steps {path} cannot be read: {why}.", code="bad-steps") from error
        for event in events:
            # A few aliases of aliases stand for more than fits into memory.
            if getattr(event, "anchor", None) or getattr(event, "tag", None):
                raise self._at(event.start_mark.line + 1, "anchors, aliases and tags are not allowed")
        self._note_lines(node, ())

    def steps(self) -> list[Step]:
        """Return the steps; refuse what is not allowed."""
        data = self._mapping(self._data, (), _FILE_KEYS, ("steps",))
        roles = tuple(self._texts(data.get("roles", []), ("roles",)))
        steps = data["steps"]
        if not isinstance(steps, list) or not steps:
            raise self._wrong(("steps",), "'steps' is not a list of steps")
        return [self._step(step, ("steps", number), roles) for number, step in enumerate(steps)]

    def _step(self, data: Any, place: tuple, roles: tuple[str, ...]) -> Step:
        data = self._mapping(data, place, _STEP_KEYS, ("name", "inputs", "outputs", "commands"))
        name = self._matching(data["name"], (*place, "name"), _NAME, "lower-case letters, digits and _")
        inputs = tuple(self._texts(data["inputs"], (*place, "inputs")))
        outputs = self._mapping(data["outputs"], (*place, "outputs"))
        for key, suffix in outputs.items():
            self._matching(key, (*place, "outputs", key), _NAME, "lower-case letters, digits and _")
            self._matching(suffix, (*place, "outputs", key), _SUFFIX, "the end of a file's name, without folders")
        if len(set(outputs.values())) < len(outputs) or not outputs:
            raise self._wrong((*place, "outputs"), "'outputs' needs one file for each name, and at least one")
        commands = self._texts(data["commands"], (*place, "commands"))
        words = [self._words(text, (*place, "commands", number)) for number, text in enumerate(commands)]
        if not words:
            raise self._wrong((*place, "commands"), "'commands' is empty")
        step = Step(
            name,
            self._one_of(data.get("level", _LEVELS[0]), (*place, "level"), _LEVELS),
            self._one_of(data.get("data", _DATA[0]), (*place, "data"), _DATA),
            inputs, outputs, tuple(words), roles, f"{self._path}, line {self._lines[place]}",
        )  # fmt: skip
        if taken := next((key for key, end in outputs.items() if end in step.described), None):
            raise self._wrong((*place, "outputs", taken), f"{taken!r} is {outputs[taken]}, which a run writes itself")
        self._check_places(step, (*place, "commands"))
        return step

    def _words(self, text: str, place: tuple) -> tuple[str, ...]:
        try:
            words = tuple(shlex.split(text))
            os.fsencode("".join(words))
        except UnicodeEncodeError:
            raise self._wrong(place, "a command has a character that no command can have") from None
        except ValueError as error:
            raise self._wrong(place, f"the command {text!r} has an open quote") from error
        if not words or "\0" in text:
            raise self._wrong(place, "a command is empty, or has a character that no command can have")
        return words

    def _check_places(self, step: Step, place: tuple) -> None:
        """Refuse placeholders that name nothing, and outputs that no command writes."""
        allowed = {*(f"in.{name}" for name in step.inputs), *(f"out.{name}" for name in step.outputs)}
        found = set()
        for number, command in enumerate(step.commands):
            for name, word in ((name, each) for each in command for name in _PLACE.findall(each)):
                found.add(name)
                if name not in allowed and name not in ("threads", "memory"):
                    question = did_you_mean(name, allowed)
                    raise self._wrong((*place, number), f"{{{name}}} is not an input or output of the step", question)
                if step.level == "group" and name.startswith("in.") and word != f"{{{name}}}":
                    what = f"{{{name}}} is a list of files in a step of the level group, and must be a word by itself"
                    raise self._wrong((*place, number), what)
        if unwritten := next((name for name in step.outputs if f"out.{name}" not in found), None):
            raise self._wrong(place, f"no command writes {{out.{unwritten}}}")

    def _mapping(self, data: Any, place: tuple, keys: Sequence[str] = (), needed: Sequence[str] = ()) -> dict:
        if not isinstance(data, dict):
            raise self._wrong(place, f"{self._named(place)} is not a mapping")
        for key in data:
            if keys and key not in keys:
                question = did_you_mean(key, keys) or f"Keys: {', '.join(keys)}."
                raise self._wrong((*place, key), f"unknown key {key!r}", question)
        if missing := next((key for key in needed if key not in data), None):
            raise self._wrong(place, f"{self._named(place)} has no {missing!r}")
        return data

    def _texts(self, data: Any, place: tuple) -> list[str]:
        if not isinstance(data, list) or not all(isinstance(each, str) for each in data):
            raise self._wrong(place, f"{self._named(place)} is not a list of texts")
        return data

    def _one_of(self, value: Any, place: tuple, allowed: Sequence[str]) -> str:
        if value not in allowed:
            raise self._wrong(place, f"{self._named(place)} is {value!r}, not {' or '.join(allowed)}")
        return value

    def _matching(self, value: Any, place: tuple, form: re.Pattern[str], what: str) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise self._wrong(place, f"{self._named(place)} is {value!r}, not {what}")
        return value

    def _named(self, place: tuple) -> str:
        name = next((part for part in reversed(place) if isinstance(part, str)), "")
        return "a step" if place and place[-1] != name else f"'{name}'" if name else "the file"

    def _wrong(self, place: tuple, what: str, hint: str = "") -> OptionError:
        while place and place not in self._lines:
            place = place[:-1]
        return self._at(self._lines.get(place, 1), what, hint)

    def _at(self, line: int, what: str, hint: str = "") -> OptionError:
        return OptionError(f"{self._path}, line {line}: {what}.", hint=hint, code="bad-steps")

    def _note_lines(self, node: yaml.Node | None, place: tuple) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                line = key.start_mark.line + 1
                if (*place, key.value) in self._lines:
                    raise self._at(line, f"{key.value!r} is there twice")
                self._lines[(*place, key.value)] = line
                self._note_lines(value, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._lines[(*place, number)] = value.start_mark.line + 1
                self._note_lines(value, (*place, number))
