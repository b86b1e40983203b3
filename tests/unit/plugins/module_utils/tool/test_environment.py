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
    environment.make_profile("fsl", given)
    (path,) = profiles.iterdir()
    assert str(path) == environment.profile_of("fsl", given)
    said = subprocess.run(["sh", "-c", f". '{path}'; env"], capture_output=True, text=True, env={}, check=True).stdout
    assert {"FSLDIR=/opt/it's $HOME `id`", "FSLOUTPUTTYPE=NIFTI_GZ"} <= set(said.splitlines())


def test_what_an_earlier_or_a_killed_run_has_left_goes_with_the_tool_and_where_it_needs_none_any_more(profiles):
    for leave in (lambda: environment.drop_profile("fsl"), lambda: environment.make_profile("fsl", {})):
        environment.make_profile("fsl", {"FSLDIR": "/opt/fsl"})
        (profiles / ".new-provision-fsl.sh-x1y2").touch()
        (profiles / "provision-ants.sh").touch()
        leave()
        leave()
        assert [path.name for path in profiles.iterdir()] == ["provision-ants.sh"]


def test_an_ordinary_user_and_a_tool_without_any_get_no_file(profiles, monkeypatch):
    environment.make_profile("ants", {})
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    environment.make_profile("fsl", {"FSLDIR": "/opt/fsl"})
    environment.drop_profile("fsl")
    assert environment.profile_of("fsl", {"FSLDIR": "/opt/fsl"}) == ""
    assert list(profiles.iterdir()) == []


def test_a_shell_that_lacks_one_is_given_the_line_to_type(profiles, monkeypatch):
    needed = environment.variables(TOOL, "/opt/f s l")
    monkeypatch.setenv("FSLDIR", "/other")
    monkeypatch.setenv("FSLOUTPUTTYPE", "NIFTI_GZ")
    line = environment.environment_problem("fsl", needed).partition(" Type: ")[2].partition(", or ")[0]
    assert line == "export FSLDIR='/opt/f s l'"
    monkeypatch.setenv("FSLDIR", "/opt/f s l")
    assert environment.environment_problem("fsl", needed) == environment.environment_problem("fsl", {}) == ""
