"""What the commands that look at this machine promise."""

from __future__ import annotations

import json
import sys

import pytest

from provision.checkup import doctor
from provision.checkup.diagnosis import Diagnosis, Finding
from provision.cli import machine
from provision.cli.main import main


def provision(line):
    return main(line.split())


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor_ends_with_a_code_that_scripts_can_ask(monkeypatch, capsys, verdict, code):
    monkeypatch.setattr(
        doctor, "doctor", lambda for_, **_: Diagnosis({"cpu": Finding(verdict, "2 cores", "Add.")}, 0.1)
    )
    assert provision("doctor") == code
    assert capsys.readouterr().out.startswith(f"{verdict}  cpu  2 cores\n")
    assert provision("doctor --json") == code
    assert json.loads(capsys.readouterr().out)["checks"]["cpu"]["verdict"] == verdict


def test_doctor_takes_a_script_and_its_algorithm_as_one_or_two_words(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(doctor, "doctor", lambda for_, **_: asked.append(for_) or Diagnosis({}, 0.1))
    for line in (["--for", "dwibiascorrect", "ants"], ["--for", "dwibiascorrect ants"], ["--json"]):
        assert main(["doctor", *line]) == 0
    assert asked == ["dwibiascorrect ants", "dwibiascorrect ants", None]


def test_doctor_for_a_script_that_does_not_exist_is_wrong_usage(capsys):
    assert provision("doctor --for dwifslpreprocc --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no-script" and "'dwifslpreproc'" in error["hint"]


@pytest.mark.parametrize("there", [True, False])
def test_doctor_for_a_script_ends_with_a_code_that_scripts_can_ask(monkeypatch, capsys, tmp_path, there):
    (tmp_path / "N4BiasFieldCorrection").touch(mode=0o755 if there else 0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provision("doctor --for dwibiascorrect ants --json") == (0 if there else 1)
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {name: check["verdict"] for name, check in checks.items()} == {
        "N4BiasFieldCorrection": "ok" if there else "fail"
    }


@pytest.mark.parametrize(
    ("terminal", "variables", "colours"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_whose_user_has_nothing_against_them(monkeypatch, terminal, variables, colours):
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert machine.wants_colours() == colours


@pytest.mark.parametrize("command", machine.COMMANDS)
def test_every_command_has_help_with_examples_and_exit_codes(capsys, command):
    assert provision(f"{command} --help") == 0
    said = capsys.readouterr().out
    assert f"examples:\n  provision {command}" in said and "exit codes:" in said


@pytest.mark.parametrize("command", machine.COMMANDS)
def test_a_flag_that_does_not_exist_is_wrong_usage(capsys, command):
    assert provision(f"{command} --jsno --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no-option" and "--jsno" in error["message"] and command in error["message"]


@pytest.mark.parametrize("command", ["list", "describe", "status", "stop", "completion"])
def test_the_help_of_the_other_commands_has_examples_and_exit_codes_too(capsys, command):
    assert provision(f"{command} --help") == 0
    said = capsys.readouterr().out
    assert f"examples:\n  provision {command}" in said and "\nexit codes:\n  0" in said


def test_roles_and_their_options_are_told_to_programs(capsys):
    assert provision("list --json") == 0
    assert {"name": "mrtrix3", "about": "Install MRtrix3 and test that it runs"} in (
        json.loads(capsys.readouterr().out)["roles"]
    )
    assert provision("describe mrtrix3 --json") == 0
    assert json.loads(capsys.readouterr().out)["options"]["mrtrix3_version"]["default"] == "auto"
