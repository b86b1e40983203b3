"""Which of our packages Google Colab's image has already, and the program that renews the list of them.

    git clone https://github.com/googlecolab/backend-info
    python tests/colab/image.py backend-info HEAD ec53f93fe44a9cab118dc5451527b18e36e1a643

writes image.json from those commits of Colab's own lists. Which commit is which runtime says their README.md.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LISTS = Path(__file__).with_name("image.json")
ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = ("view", "demo")


def requirements(extra: str = "") -> list[Requirement]:
    """Return what the package asks for, or one of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(line) for line in lines if not line.startswith("mrtrix-provision")]


def with_what_they_ask_for(wanted: Iterable[Requirement], there: Collection[str] = ()) -> dict[str, list[Requirement]]:
    """Return all that pip would see to, by name, as far as it is installed here.

    What is there already has what it asks for.
    """
    found: dict[str, list[Requirement]] = {}
    left = list(wanted)
    while left:
        requirement = left.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found and name not in there:
            left += map(Requirement, _asked_for_by(name))
        found.setdefault(name, []).append(requirement)
    return found


def _asked_for_by(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:  # of an extra that is not installed here
        return []


def groups() -> dict[str, dict[str, list[str]]]:
    """Return the packages of the distributions by release and group, as the role `deps` has them."""
    return yaml.safe_load((ROOT / "roles/deps/vars/main.yml").read_text())["__deps_packages"]


def lists() -> list[dict]:
    """Return what the image has of ours, the newest first."""
    return json.loads(LISTS.read_text())


def read(clone: str, commit: str) -> dict:
    """Return what one commit of Colab's lists says of our packages."""
    system, python, *_ = _lines(clone, commit, "os-info.txt")
    apt = {name for groups_of_one in groups().values() for names in groups_of_one.values() for name in names}
    pip = with_what_they_ask_for([requirement for extra in ("", *OPTIONAL) for requirement in requirements(extra)])
    return {
        "commit": _git(clone, "rev-parse", commit).strip(),
        "date": _git(clone, "log", "-1", "--format=%cs", commit).strip(),
        "system": system,
        "python": python.removeprefix("Python "),
        "apt": dict(sorted(_apt(clone, commit, apt | {"openssh-server"}))),
        "pip": dict(sorted(_pip(clone, commit, set(pip)))),
    }


def _apt(clone: str, commit: str, names: set[str]) -> Iterator[tuple[str, str]]:
    for line in _lines(clone, commit, "apt-list.txt"):
        found = re.match(r"([^/]+)/\S+ (\S+) .*\[installed", line)
        if found and found[1] in names:
            yield found[1], found[2]


def _pip(clone: str, commit: str, names: set[str]) -> Iterator[tuple[str, str]]:
    for line in _lines(clone, commit, "pip-freeze.txt"):
        name, _, version = line.partition("==")
        if version and canonicalize_name(name) in names:
            yield canonicalize_name(name), version


def _lines(clone: str, commit: str, name: str) -> list[str]:
    return [line for line in _git(clone, "show", f"{commit}:{name}").splitlines() if not line.startswith("#")]


def _git(clone: str, *words: str) -> str:
    return subprocess.run(["git", "-C", clone, *words], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    clone, *commits = sys.argv[1:]
    LISTS.write_text(json.dumps([read(clone, commit) for commit in commits or ["HEAD"]], indent=1) + "\n")
