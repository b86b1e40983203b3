"""What the probe finds out about tools that are described as data."""

import os

import pytest

from plugins.module_utils.provision import places
from plugins.module_utils.provision.look import described

LICENCE = {"option": "tool_licence", "accepts": "non-commercial", "given": "", "terms": "The tool is not free"}
WHEEL = {"name": "tool", "file": "tool-1.0-cp38-abi3-manylinux2014_x86_64.whl", "sha256": "0" * 64}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of an ordinary user, whose PATH has a folder ``bin`` alone."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(places, "state_folder", lambda: str(tmp_path / "state"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return {
        "root": False, "home": str(tmp_path), "cache": str(tmp_path / "cache"), "store": "", "arch": "x86_64",
    }  # fmt: skip


@pytest.fixture
def program(tmp_path):
    def make(name, text="", folder="bin"):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


def look(machine, **changes):
    wanted = {
        "name": "tool", "title": "Tool", "version": "auto", "release": "1.0", "state": "present", "prefix": "auto",
        "link_dir": "none", "folder": "", "can_become": True, "origins": ["present", "wheel", "package"], **changes,
    }  # fmt: skip
    return described.look_at(wanted, machine)


TELLS = {"command": ["tool", "--version"], "pattern": "(1[.]0)"}


def test_a_tool_that_does_not_tell_its_version_is_known_by_its_commands(machine, program):
    program("tool")
    assert look(machine, required=["tool"])["unfit"].get("present") is None
    assert "present" in look(machine, required=["tool", "other"])["unfit"]


def test_a_tool_that_is_there_without_a_command_that_was_asked_for_is_passed_over(machine, program):
    program("tool", "echo 1.0")
    assert "present" not in look(machine, tells=TELLS, commands=["tool"])["unfit"]
    assert "helper is not on PATH" in look(machine, tells=TELLS, commands=["tool", "helper"])["unfit"]["present"]
    assert "helper is not on PATH" in look(machine, tells=TELLS, tests=[["helper", "IMAGE"]])["unfit"]["present"]


@pytest.mark.parametrize(
    ("changes", "word"), [({"version": "2.0"}, "1.0"), ({"arch": "aarch64"}, "aarch64"), ({"wheel": {}}, "PyPI")]
)
def test_a_package_of_pypi_that_is_not_what_is_wanted_is_passed_over(machine, changes, word):
    arch = {"arch": changes.pop("arch", "x86_64")}
    found = look({**machine, **arch}, **{"tells": TELLS, "wheel": WHEEL, **changes})
    assert word in found["unfit"]["wheel"]
    assert "wheel" not in look(machine, tells=TELLS, wheel=WHEEL)["unfit"]


def test_a_licence_has_to_be_accepted_once(machine, note):
    message, hint, code = look(machine, tells=TELLS, licence=LICENCE)["refusal"]
    assert code == "licence" and "tool_licence" in hint and message.startswith(LICENCE["terms"])
    assert look(machine, tells=TELLS, licence={**LICENCE, "given": "non-commercial"})["refusal"] == []
    note("tool", {"licence": "non-commercial"})
    assert look(machine, tells=TELLS, licence=LICENCE)["refusal"] == []


def test_a_lost_link_to_a_package_is_a_drift(machine, program, note, tmp_path):
    path = program("tool", "echo 1.0", folder="lib")
    (tmp_path / "bin/tool").symlink_to(path)
    report = {"origin": "package", "bin": str(path.parent), "prefix": str(tmp_path), "version": "1.0"}
    state = {"report": report, "version": "1.0", "commands": ["tool"], "link_dir": str(tmp_path / "bin")}
    note("tool", state)
    assert look(machine, tells=TELLS)["converged"]
    os.unlink(tmp_path / "bin/tool")
    assert "links are missing" in look(machine, tells=TELLS)["drift"]
