"""What is installed is named by version and hash, and the code of the machines needs no newer Python than promised."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
PYTHONS = ("3.11.2", "3.12.3", "3.13.5", "3.14.0")
MACHINES = ("x86_64", "aarch64")
# A requirement with its hashes, as pip and uv read it.
BLOCK = re.compile(r"([a-z0-9][a-z0-9._-]*==\S+(?: ; [^\\\n]+?)?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
SELF = canonicalize_name(PROJECT["project"]["name"])


def included(name: str) -> list[str]:
    """Return a file of the lock and those that it includes."""
    found = re.findall(r"^-r (\S+)\.txt$", (LOCK / f"{name}.txt").read_text("utf-8"), re.M)
    return [name, *(other for one in found for other in included(one))]


def locked(name: str, python: str, machine: str) -> dict[str, Version]:
    """Return the versions that a file of the lock, with those that it includes, has for a Python on a machine."""
    environment = {
        **default_environment(), "python_version": python.rpartition(".")[0], "python_full_version": python,
        "platform_machine": machine, "sys_platform": "linux", "implementation_name": "cpython", "extra": "",
    }  # fmt: skip
    versions: dict[str, Version] = {}
    for file in ["base", *included(name)]:
        for text, _hashes in BLOCK.findall((LOCK / f"{file}.txt").read_text("utf-8")):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                version = Version(next(iter(requirement.specifier)).version)
                assert versions.setdefault(canonicalize_name(requirement.name), version) == version
    return versions


def wanted(extra: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, for the project with an extra, and what it is built with."""
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"], "editables"]
    asked = [Requirement(line) for line in (*lines, *EXTRAS.get(extra, []))]
    extras = [name for one in asked if canonicalize_name(one.name) == SELF for name in one.extras]
    return [one for one in asked if canonicalize_name(one.name) != SELF] + [
        one for name in extras for one in wanted(name)
    ]


def test_there_is_a_file_for_each_extra() -> None:
    assert {path.stem for path in LOCK.glob("*.txt")} == {"base", *EXTRAS}


@pytest.mark.parametrize("name", ["base", *EXTRAS])
def test_every_line_of_the_lock_is_a_version_with_hashes_and_no_address(name: str) -> None:
    text = (LOCK / f"{name}.txt").read_text("utf-8")
    rest = re.sub(r"^(#.*|-r \w+\.txt|--only-binary :all:)\n", "", BLOCK.sub("", text), flags=re.M)
    assert rest == "" and "://" not in text


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ["base", *EXTRAS])
def test_the_lock_agrees_with_what_the_project_asks_for(name: str, python: str, machine: str) -> None:
    versions = locked(name, python, machine)
    for requirement in wanted(name):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


def test_actions_are_held_to_commits() -> None:
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)(.*)", path.read_text("utf-8"))
        assert used
        for action, comment in used:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} has no version"


def test_workflows_may_only_read() -> None:
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        assert yaml.safe_load(path.read_text("utf-8"))["permissions"] == {"contents": "read"}


def test_the_code_of_the_machines_needs_no_newer_python_than_3_9() -> None:
    vermin = shutil.which("vermin", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert vermin, "vermin is not installed; it comes with the extra test"
    folders = [
        ROOT / "plugins",
        ROOT / "provision/study/worker.py",
        *(path for path in (ROOT / "roles").glob("*/files")),
    ]
    done = subprocess.run([vermin, "-t=3.9-", "--violations", "--no-tips", *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_uv_reaches_packages_as_pip_does():
    name = LOCK / "uv_settings.py"
    spec = importlib.util.spec_from_file_location(name.stem, name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listed = (
        ":env:.cert='/srv/ca.pem'\nglobal.extra-index-url='\\nhttps://one/simple\\nhttps://two/simple'\n"
        "global.find-links='/srv/a /srv/b'\nglobal.index-url='https://old/simple'\n"
        "install.index-url='https://user:p=w@new/simple'\nglobal.trusted-host='new'\nlist.format='columns'\n"
    )
    assert module.variables(listed) == {
        **module.ALWAYS, "SSL_CERT_FILE": "/srv/ca.pem", "UV_INDEX": "https://one/simple https://two/simple",
        "UV_FIND_LINKS": "/srv/a,/srv/b", "UV_DEFAULT_INDEX": "https://user:p=w@new/simple", "UV_INSECURE_HOST": "new",
    }  # fmt: skip
    assert module.variables("") == module.ALWAYS
