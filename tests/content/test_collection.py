"""The repository is an Ansible collection too, which works with nothing else of it there."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import provision

ROOT = Path(__file__).resolve().parents[2]
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
NAME = f"{GALAXY['namespace']}.{GALAXY['name']}"
ROLES = sorted(path.name for path in (ROOT / "roles").glob("[!_]*"))
# What every role can be asked without anything being looked for elsewhere; with --check it stays a question.
ABSENT = {f"{role}_state": "absent" for role in ROLES}
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))

# What a collection may hold (https://docs.ansible.com/ansible/latest/dev_guide/developing_collections_structure.html),
# and what Galaxy shows of it.
CONTENT = {"docs", "meta", "playbooks", "plugins", "roles", "tests"}
SHOWN = {"CHANGELOG.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md"}
# What lies in a clone that has been worked with.
LEFT = [
    ".cache/x",
    ".github/workflows/test.yml",
    ".venv/bin/python",
    "build/lib/x.py",
    "dist/x.whl",
    "mrtrix_provision.egg-info/PKG-INFO",
    "plugins/modules/__pycache__/x.cpython-311.pyc",
    "site/index.html",
]


class Installed:
    """The collection in an otherwise empty place, and how Ansible's programs are called there."""

    def __init__(self, place: Path):
        self.place, self.empty = place, place / "empty"
        self.empty.mkdir()
        settings = place / "settings.cfg"  # so that neither this project's are found nor those of this machine
        settings.touch()
        self.environment = {
            "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
            "HOME": str(place / "home"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(settings),
            "ANSIBLE_COLLECTIONS_PATH": str(place / "collections"),
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
            "ANSIBLE_NOCOLOR": "1",
        }

    def call(self, *command: str | Path, code: int = 0) -> str:
        done = subprocess.run([str(part) for part in command], cwd=self.empty, env=self.environment,
                              capture_output=True, text=True, timeout=300)  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def play(self, *arguments: str | Path, code: int = 0, **variables: Any) -> str:
        given = json.dumps({**variables, "ansible_python_interpreter": sys.executable})
        return self.call("ansible-playbook", "-i", "localhost,", "-c", "local", *arguments, "-e", given, code=code)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The collection, built from a clone that has been worked with, and installed from the tarball."""
    installed = Installed(tmp_path_factory.mktemp("collection"))
    clone = installed.place / "clone"
    shutil.copytree(ROOT, clone, symlinks=True, ignore=lambda _, names: {
        name for name in names if name.startswith(".") or name == "__pycache__"})  # fmt: skip
    for name in LEFT:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    installed.call("ansible-galaxy", "collection", "build", clone, "--output-path", installed.place)
    tarball = next(installed.place.glob("*.tar.gz"))
    installed.call("ansible-galaxy", "collection", "install", "--offline", tarball)
    return installed


def reports(said: str) -> dict[str, Any]:
    """What the roles of all playbooks that were run have reported of this machine."""
    runs = [json.loads(run) for run in re.findall(r"^\s*RUN: (\{.*\})$", said, re.M)]
    return {role: report for run in runs for role, report in run["provision"]["localhost"].items()}


def test_collection_has_the_version_of_the_package() -> None:
    assert GALAXY["version"] == provision.__version__


def test_tarball_holds_content_and_nothing_else_of_the_clone(installed: Installed) -> None:
    with tarfile.open(next(installed.place.glob("*.tar.gz"))) as tar:
        names = [Path(name) for name in tar.getnames()]
    assert {name.parts[0] for name in names} == CONTENT | SHOWN
    assert {name.parts[1] for name in names if name.parts[0] == "tests" and len(name.parts) > 1} == {
        "config.yml", "sanity"}  # fmt: skip
    assert [name for name in names if "__pycache__" in name.parts] == []


def test_every_role_runs_from_the_collection_alone(installed: Installed) -> None:
    said = installed.play(f"{NAME}.site", "--check", provision_roles=ROLES, **ABSENT)
    assert sorted(reports(said)) == ROLES


def test_every_role_has_a_playbook_in_the_collection_that_runs_it(installed: Installed) -> None:
    said = installed.play(*(f"{NAME}.{role}" for role in ROLES), "--check", **ABSENT)
    assert sorted(reports(said)) == ROLES


def test_roles_find_modules_and_roles_of_their_collection_in_a_playbook_of_somebody_else(installed: Installed) -> None:
    deps = {"ansible.builtin.include_role": {"name": f"{NAME}.deps", "tasks_from": "converge"}}
    play = {"hosts": "all", "gather_facts": False, "roles": [f"{NAME}.mrtrix3"], "tasks": [deps]}
    playbook = installed.place / "theirs.yml"
    playbook.write_text(yaml.safe_dump([play]))
    said = installed.play(playbook, "--check", mrtrix3_state="absent", deps_state="absent")
    assert f"{NAME}._tool : Check what is installed" in said  # with provision_probe, in a role that it includes
    assert f"{NAME}.deps : Check what is installed" in said


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed, and without root it cannot be")
def test_module_of_the_collection_says_what_is_wrong_with_what_a_role_was_told(
    installed: Installed, tmp_path: Path
) -> None:
    said = installed.play(
        f"{NAME}.mrtrix3", code=2, mrtrix3_origin="source", mrtrix3_repo=str(tmp_path / "none"),
        mrtrix3_prefix=str(tmp_path / "prefix"), mrtrix3_link_dir="none", provision_store="none",
    )  # fmt: skip
    assert f"The git repository {tmp_path}/none could not be reached" in said
    assert not (tmp_path / "prefix").exists()


def test_modules_work_by_their_full_names(installed: Installed, tmp_path: Path) -> None:
    module, notes = f"{NAME}.detached_process", {"pid_file": str(tmp_path / "pid"), "log": str(tmp_path / "log")}
    tasks = [
        {module: {"argv": ["sleep", "60"], "seconds": 0.1, **notes}, "register": "begun"},
        {"ansible.builtin.assert": {"that": "begun.pid > 0"}},
        {module: {"state": "stopped", **notes}, "register": "ended"},
        {"ansible.builtin.assert": {"that": "ended.changed and ended.pid == 0"}},
    ]
    playbook = installed.place / "modules.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    installed.play(playbook)


@pytest.fixture(scope="module")
def documented(installed: Installed) -> dict[str, dict[str, Any]]:
    """What ansible-doc shows of all roles and modules, by their full names."""
    found = {}
    for kind, names in (("role", ROLES), ("module", MODULES)):
        found |= json.loads(installed.call("ansible-doc", "-t", kind, "--json", *(f"{NAME}.{name}" for name in names)))
    return found


@pytest.mark.parametrize("role", ROLES)
def test_ansible_doc_shows_a_role_with_its_options(documented: dict[str, dict[str, Any]], role: str) -> None:
    shown = documented[f"{NAME}.{role}"]["entry_points"]["main"]
    specified = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    assert shown["short_description"] == specified["main"]["short_description"]
    assert shown["options"].keys() == specified["main"].get("options", {}).keys()


@pytest.mark.parametrize("module", MODULES)
def test_ansible_doc_shows_a_module_with_examples_and_what_it_returns(
    documented: dict[str, dict[str, Any]], module: str
) -> None:
    shown = documented[f"{NAME}.{module}"]
    assert shown["doc"]["author"] and all(option["description"] for option in shown["doc"]["options"].values())
    # A name that is not whole is found in this collection's own roles alone.
    assert all(f"{NAME}.{module}" in task for task in yaml.safe_load(shown["examples"]))
    # What has nothing to return says so in a comment.
    assert shown["return"] or "\nRETURN = " in (ROOT / "plugins/modules" / f"{module}.py").read_text()


def exceptions(path: Path) -> list[tuple[str, str, str]]:
    """What ansible-test sanity does not ask of a file: (its path, the check, the reason)."""
    return [re.fullmatch(r"(\S+) (\S+) *(?:# (.*))?", line).groups() for line in path.read_text().splitlines()]


# Ansible's versions check differently, and complain of an exception that is not needed.
EXCEPTIONS = sorted((ROOT / "tests/sanity").glob("ignore-*.txt"))
each_version = pytest.mark.parametrize("path", EXCEPTIONS, ids=lambda path: path.stem)


@each_version
def test_every_exception_from_a_sanity_check_is_of_a_file_that_is_there_and_has_a_reason(path: Path) -> None:
    assert [name for name, _, reason in exceptions(path) if not reason or not (ROOT / name).is_file()] == []


@each_version
def test_every_module_is_excepted_from_bearing_the_licence_of_ansible(path: Path) -> None:
    check = "validate-modules:missing-gplv3-license"
    assert sorted(Path(name).stem for name, ignored, _ in exceptions(path) if ignored == check) == MODULES


def test_nothing_is_called_by_the_name_that_ansible_test_keeps_for_translations() -> None:
    found = [f"{path.relative_to(ROOT)}:{node.lineno}" for path in sorted((ROOT / "plugins").rglob("*.py"))
             for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Name) and node.id == "_" and isinstance(node.ctx, ast.Store)]  # fmt: skip
    assert found == []
