"""The variables that a tool's commands need."""

import subprocess

import pytest

from plugins.module_utils.provision.tool import environment

TOOL = {"environment": {"FSLDIR": "PREFIX", "FSLOUTPUTTYPE": "NIFTI_GZ"}}


@pytest.fixture
def profiles(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_PROFILES", str(tmp_path))
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    return tmp_path


def test_a_login_shell_gets_them_as_text_whatever_they_hold(profiles):
    given = environment.variables(TOOL, "/opt/it's $HOME `id`")
    path = environment.make_profile("fsl", given)
    said = subprocess.run(["sh", "-c", f". '{path}'; env"], capture_output=True, text=True, env={}, check=True).stdout
    assert {"FSLDIR=/opt/it's $HOME `id`", "FSLOUTPUTTYPE=NIFTI_GZ"} <= set(said.splitlines())
    environment.drop_profile({"profile": path})
    assert list(profiles.iterdir()) == []
    environment.drop_profile({"profile": path})
    environment.drop_profile({})


def test_an_ordinary_user_and_a_tool_without_any_get_no_file(profiles, monkeypatch):
    assert environment.make_profile("ants", {}) == ""
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    assert environment.make_profile("fsl", {"FSLDIR": "/opt/fsl"}) == ""
    assert list(profiles.iterdir()) == []


def test_a_shell_that_lacks_one_is_given_the_line_to_type(monkeypatch):
    report = {"environment": environment.variables(TOOL, "/opt/f s l")}
    monkeypatch.setenv("FSLDIR", "/other")
    monkeypatch.setenv("FSLOUTPUTTYPE", "NIFTI_GZ")
    line = environment.environment_problem(report, {}).partition(" Type: ")[2]
    assert line == "export FSLDIR='/opt/f s l'"
    monkeypatch.setenv("FSLDIR", "/opt/f s l")
    assert environment.environment_problem(report, {}) == environment.environment_problem({}, {}) == ""
