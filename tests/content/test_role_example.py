"""The role that docs/howto/add_a_role.md works out is whole, and keeps to what every role keeps to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from role_example import with_example

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git applies the changes; it is not installed")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that has the role, as one has it who follows the page."""
    return with_example(tmp_path_factory.mktemp("clone"))


def call(clone: Path, *words: str) -> str:
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(clone), "LC_ALL": "C.UTF-8",
                   "ANSIBLE_CONFIG": str(clone / "ansible.cfg")}  # fmt: skip
    done = subprocess.run([sys.executable, "-m", *words], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_role_keeps_to_what_every_role_keeps_to(clone: Path) -> None:
    said = call(clone, "pytest", "-q", "-p", "no:cacheprovider", "tests/content/test_roles.py", "-k", "ants or removed")
    assert "passed" in said and "skipped" not in said


def test_the_code_is_in_the_style_of_the_project(clone: Path) -> None:
    call(clone, "ansiblelint", "--offline", "--profile", "production", "roles/ants", "playbooks/ants.yml")


def test_the_command_line_knows_the_role_with_its_options(clone: Path) -> None:
    described = json.loads(call(clone, "provision", "describe", "ants", "--json"))
    assert described["options"]["ants_archive_sha256"]["default"] == ""


def test_a_playbook_looks_for_it_and_finds_nothing_to_remove(clone: Path) -> None:
    play = ["ansible", "playbook", "playbooks/ants.yml", "-i", "localhost,", "-c", "local", "-e"]
    said = call(clone, *play, f"ants_state=absent ansible_python_interpreter={sys.executable}")
    assert "changed=0" in said and "failed=0" in said
