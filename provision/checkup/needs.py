"""Checks whether what a script of MRtrix3 needs is here, without running anything."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

from provision.checkup.diagnosis import Finding
from provision.checkup.programs import NEEDS, SOURCES, Need, scripts
from provision.engine import catalog
from provision.errors import OptionError, unknown
from provision.machine import notes
from provision.machine.reading import names_in
from provision.machine.tool import path


def checks(script: str) -> dict[str, Callable[[], Finding]]:
    """Return the checks of what a script needs, by the names under which the findings are shown.

    Parameters
    ----------
    script : str
        A Python script of MRtrix3, and its algorithm after a space; without that, all algorithms are checked.

    Returns
    -------
    dict of str to callable
        Each returns a `Finding`.

    Examples
    --------
    >>> checks("dwi2response")["dwi2response"]().found
    'needs no other programs'
    """
    asked = {name: NEEDS[name] for name in _asked(script)}
    if not any(asked.values()):
        return {script: _nothing}
    here, found = _Here.now(), {}
    for name, needs in asked.items():
        algorithm = name.split()[-1]
        if not needs:
            found[algorithm] = _nothing
        for need in needs:
            found[need.name if len(asked) == 1 else f"{algorithm}: {need.name}"] = partial(here.check, need)
    return found


def _asked(script: str) -> list[str]:
    """Return the names in `NEEDS` of a script; refuse what does not exist."""
    if not isinstance(script, str):
        hint = 'For example: for_="dwibiascorrect ants".'
        raise OptionError(f"for_ takes the name of a script, not {script!r}.", hint=hint, code="bad-value")
    known, words = scripts(), script.split()
    name, algorithm = " ".join(words[:1]), " ".join(words[1:])
    if name not in known:
        raise unknown("Python script", name, known, where=" in MRtrix3 3.0.8", code="no-script")
    if algorithm and algorithm not in known[name]:
        raise unknown("algorithm", algorithm, known[name], where=f" for {name}", code="no-script")
    return [key for key in NEEDS if key.split()[: len(words)] == words]


def _nothing() -> Finding:
    return Finding("ok", "needs no other programs")


@dataclass(frozen=True)
class _Here:
    """Where to look on this machine: what roles have noted, and the variables they have set for others."""

    states: Mapping[str, Mapping[str, Any]]
    roles: Mapping[str, catalog.Role]

    @classmethod
    def now(cls) -> _Here:
        return cls(notes.all_states(), catalog.roles())

    def check(self, need: Need) -> Finding:
        """Check one need."""
        if need.programs:
            return self._program(need)
        return self._file(need) if need.files else self._variable(need)

    def _program(self, need: Need) -> Finding:
        on_path = _first(need.programs, os.environ.get("PATH", os.defpath).split(os.pathsep))
        if on_path:
            return Finding("ok", on_path)
        for role, state in self.states.items():
            if found := _first(need.programs, [state["report"].get("bin", "")]):
                return _missing(need, f"{found} of the role {role}, not on PATH", _to_type(state, found))
        if found := _first(need.programs, self._expanded(SOURCES[need.source].folders)):
            return _missing(need, f"{found}, not on PATH", f"Type: {path.line_to_type(str(Path(found).parent))}")
        names = [name for name in need.programs if not name.startswith("fsl5.0-")]
        which = f": {', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else ""
        return _missing(need, f"not found{which}", self._install(need))

    def _file(self, need: Need) -> Finding:
        places = self._expanded(need.files)
        variable = re.findall(r"\w+", need.files[0])[0]
        if not places:
            return _warn(f"not looked for, because {variable} is not set", f"Set {variable} first.")
        found = next((place for place in places if Path(place).exists()), "")
        if found:
            return Finding("ok", found)
        return _missing(need, f"not found: {' or '.join(places)}", self._install(need))

    def _variable(self, need: Need) -> Finding:
        value, noted = os.environ.get(need.name, ""), self._noted().get(need.name, "")
        if value and (need.value or Path(value).is_dir()):
            return Finding("ok", value)
        found = f"{value} is not a folder" if value else "not set"
        if noted or need.value:
            return _missing(need, found, f"Type: export {need.name}={shlex.quote(noted or need.value)}")
        hint = f"If {need.source} is installed, set it to its folder. If not: {self._way(need)}."
        return _missing(need, found, hint)

    def _noted(self) -> dict[str, str]:
        """Return the variables that the commands of roles need."""
        reports = [state["report"] for state in self.states.values()]
        return {name: value for report in reports for name, value in (report.get("environment") or {}).items()}

    def _expanded(self, texts: tuple[str, ...]) -> list[str]:
        """Return the paths in which all variables are set, here or by a role."""
        known = {**self._noted(), **{name: value for name, value in os.environ.items() if value}}
        filled = [Template(text).safe_substitute(known) for text in texts]
        return [text for text in filled if "$" not in text]

    def _install(self, need: Need) -> str:
        return f"Install {need.source}: {self._way(need)}."

    def _way(self, need: Need) -> str:
        """Return how to get something: with the role that brings it, if there is one."""
        source = SOURCES[need.source]
        role = self.roles.get(source.role)
        if role is None or need.chosen is None:
            return source.elsewhere
        if not need.chosen:
            return f"provision run {role.name}"
        option = role.options.get(f"{role.name}_with")
        offered = option is not None and (not option.choices or need.chosen in option.choices)
        return f"provision run {role.name} --with {need.chosen}" if offered else source.elsewhere


def _missing(need: Need, found: str, advice: str) -> Finding:
    """Return the finding for something that a script does not find; a warning if it runs without."""
    if need.optional:
        return _warn(f"{found}; optional: {need.optional}", advice)
    return Finding("fail", f"{found}; not needed {need.unless}" if need.unless else found, advice)


def _warn(found: str, advice: str) -> Finding:
    return Finding("warn", found, advice)


def _to_type(state: Mapping[str, Any], found: str) -> str:
    """Return the line that puts a role's command on PATH, through its link if it has one."""
    folder, name = Path(found).parent, Path(found).name
    link_dir = state.get("link_dir", "")
    linked = link_dir and path.links_to(str(folder), f"{link_dir}/{name}")
    return f"Type: {path.line_to_type(link_dir if linked else str(folder))}"


def _first(names: tuple[str, ...], folders: list[str]) -> str:
    """Return the path of the first program that is in one of some folders; an empty string if none is."""
    for name in names:
        plain = name.removesuffix("*")
        found = shutil.which(plain, path=os.pathsep.join(folders))
        if found or (plain != name and (found := _newest(plain, folders))):
            return found
    return ""


def _newest(stem: str, folders: list[str]) -> str:
    """Return the path of the program with the highest version behind its name; an empty string if there is none."""
    versions: dict[float, str] = {}
    for folder in folders:
        for name in names_in(folder):
            version = re.fullmatch(rf"{re.escape(stem)}_?(\d+(?:\.\d+)?)", name)
            if version and shutil.which(name, path=folder):
                versions.setdefault(float(version[1]), str(Path(folder, name)))
    return versions[max(versions)] if versions else ""
