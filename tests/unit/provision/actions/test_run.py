"""Running roles from Python, with a run of our own in Ansible's place."""

import contextlib
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

import provision
from provision import notebook
from provision.actions import notebook_path
from provision.demo import pipeline
from provision.demo.demo import demo
from provision.display import progress
from provision.engine import launch, runner
from provision.errors import Declined, Interrupted, OptionError, ProvisionError
from provision.machine import places


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Put a run in Ansible's place that reports one folder of commands; return what it was asked for."""
    asked = {}

    def run(roles, variables, **rest):
        asked.update(roles=roles, variables=variables, **rest)
        hosts = {"localhost": {"mrtrix3": {"version": "3.0.8", "bin": str(tmp_path / "bin")}}}
        return runner.Outcome(1, 2.0, hosts, tmp_path / "log")

    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return asked


def test_the_commands_are_on_this_process_path_at_once_and_only_once(ran, tmp_path):
    for _ in range(2):
        provision.run("mrtrix3", version="3.0.8")
    assert os.environ["PATH"] == f"{tmp_path / 'bin'}:/usr/bin:/bin"
    assert ran["variables"] == {"mrtrix3_version": "3.0.8"}


def test_the_path_keeps_its_order_for_a_folder_that_is_on_it(ran, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"/venv/bin:{tmp_path / 'bin'}")
    provision.run("mrtrix3")
    assert os.environ["PATH"] == f"/venv/bin:{tmp_path / 'bin'}"


def test_what_is_in_a_prefix_of_its_own_comes_first(ran, tmp_path, monkeypatch):
    (tmp_path / ".provision.json").write_text("{}")
    monkeypatch.setenv("PATH", f"/usr/bin:{tmp_path / 'bin'}:/bin")
    for _ in range(2):
        provision.run("mrtrix3")
    assert os.environ["PATH"] == f"{tmp_path / 'bin'}:/usr/bin:/bin"


def test_help_pages_in_cells_need_no_pager_and_no_setting_of_a_user_is_replaced(ran, monkeypatch, tmp_path):
    monkeypatch.setenv("MRTRIX_CONFIGFILE", "mine")
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "progress", contextlib.nullcontext)
    notebook_path.extend({})
    assert os.environ["MRTRIX_CONFIGFILE"] == "mine"
    monkeypatch.delenv("MRTRIX_CONFIGFILE")
    monkeypatch.setattr(notebook_path.Path, "exists", lambda path: str(path) == "/etc/mrtrix.conf")
    notebook_path.extend({})
    assert "MRTRIX_CONFIGFILE" not in os.environ
    monkeypatch.setattr(notebook_path.Path, "exists", lambda path: False)
    notebook_path.extend({})
    # As both MRtrix3's programs (split at the first colon, run by a shell) and its scripts (at ": ") read it.
    name, _, command = Path(os.environ["MRTRIX_CONFIGFILE"]).read_text().splitlines()[-1].partition(": ")
    assert name == "HelpCommand"
    bold = b"m\bmr\br _\bx\n"
    for run in ({"args": command, "shell": True}, {"args": command.split(" ")}):
        assert subprocess.run(**run, input=bold, capture_output=True, check=True).stdout == b"mr x\n"
    monkeypatch.delenv("MRTRIX_CONFIGFILE")


def test_outside_a_notebook_help_pages_are_left_to_their_pager(ran, monkeypatch):
    monkeypatch.delenv("MRTRIX_CONFIGFILE", raising=False)
    provision.run("mrtrix3")
    assert "MRTRIX_CONFIGFILE" not in os.environ


def test_other_machines_do_not_change_this_process(ran, tmp_path):
    (tmp_path / "fleet.yml").write_text("all: {}")
    provision.run("mrtrix3", on=tmp_path / "fleet.yml")
    assert os.environ["PATH"] == "/usr/bin:/bin"
    assert ran["inventory"] == tmp_path / "fleet.yml"


@pytest.fixture
def shown(monkeypatch):
    """Have this be a notebook; return what its displays are told."""
    told = []

    class Display:
        step = staticmethod(told.append)
        end = staticmethod(told.append)

    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "progress", lambda: contextlib.nullcontext(Display()))
    return told


def test_a_run_in_a_notebook_ends_with_the_results_own_line(ran, shown):
    result = provision.run("mrtrix3")
    assert shown == [repr(result)]


def test_who_takes_the_steps_gets_no_display_besides(ran, shown):
    provision.run("mrtrix3", progress=print)
    assert shown == [] and ran["on_step"] is print


def test_outside_a_notebook_nobody_is_told_the_result_twice(ran, capsys):
    provision.run("mrtrix3")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("in_notebook", "kind"), [(True, Interrupted), (False, KeyboardInterrupt)])
def test_an_interrupt_says_how_to_go_on_in_a_notebook_and_is_itself_elsewhere(ran, monkeypatch, in_notebook, kind):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("provision.colab.consent.complete", interrupt)
    monkeypatch.setattr(notebook, "in_notebook", lambda: in_notebook)
    with pytest.raises(KeyboardInterrupt) as raised:
        provision.run("mrtrix3")
    assert type(raised.value) is kind


@pytest.fixture
def declined(monkeypatch):
    """Let nobody be there who gives what a tunnel needs."""

    def complete(*_, **__):
        raise Declined("There is no token.", hint="Get one.")

    monkeypatch.setattr("provision.colab.consent.complete", complete)


def test_what_is_optional_is_left_out_with_the_reason_where_nobody_gives_what_it_needs(ran, declined, capsys):
    result = provision.run("sshd", "ngrok", optional=True)
    assert (ran, result.changed, dict(result.hosts)) == ({}, 0, {})
    assert capsys.readouterr().err == "Left out: There is no token. Get one.\n"
    assert (repr(result), result._repr_html_()) == ("nothing was done", "<div>nothing was done</div>")


def test_what_is_not_optional_is_an_error_then(ran, declined):
    with pytest.raises(provision.OptionError, match="There is no token"):
        provision.run("sshd", "ngrok")
    assert ran == {}


def test_a_wrong_option_is_an_error_in_what_is_optional_too(ran):
    with pytest.raises(provision.OptionError, match="versoin"):
        provision.run("mrtrix3", versoin="3", optional=True)


def test_nothing_is_started_for_a_wrong_option(ran, tmp_path):
    for options in ({"versoin": "3"}, {"jobs": "many"}, {"on": tmp_path / "none.yml"}):
        with pytest.raises(provision.OptionError):
            provision.run("mrtrix3", **options)
    assert ran == {}


@pytest.mark.parametrize(("script", "works"), [("echo '== mrinfo 3.0.8 =='", True), ("exit 1", False)])
def test_status_tells_what_is_there_and_whether_it_still_runs(monkeypatch, tmp_path, script, works):
    monkeypatch.setattr(places, "state_folder", lambda: str(tmp_path))
    command = tmp_path / "bin" / "mrinfo"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(stat.S_IRWXU)
    (tmp_path / "mrtrix3.json").write_text(json.dumps({"report": {"version": "3.0.8", "bin": str(command.parent)}}))
    found = provision.status()["hosts"]["localhost"]["mrtrix3"]
    assert (found["version"], found["works"]) == ("3.0.8", works)


def running(monkeypatch, **states):
    found = {role: {"state": state, "works": True} for role, state in states.items()}
    monkeypatch.setattr("provision.actions.stop.status", lambda: {"hosts": {"localhost": found}})


@pytest.fixture
def stopped(monkeypatch):
    """Put a run in Ansible's place that stops what it is asked to; return what it was asked for."""
    asked = []

    def run(roles, variables, **rest):
        asked.append((roles, variables))
        return runner.Outcome(len(roles), 0.5, {"localhost": {role: {"state": "stopped"} for role in roles}}, None)

    monkeypatch.setattr(runner, "run", run)
    return asked


def test_the_tunnel_is_closed_before_the_server_is_stopped(monkeypatch, stopped):
    running(monkeypatch, sshd="started", ngrok="started", mrtrix3="present")
    result = provision.stop()
    assert stopped == [(("ngrok",), {"ngrok_state": "stopped"}), (("sshd",), {"sshd_state": "stopped"})]
    assert (result.changed, result.seconds) == (2, 1.0)
    assert "ngrok stopped\nsshd stopped" in repr(result)


def test_stopping_in_a_notebook_ends_with_one_result(monkeypatch, stopped, shown):
    running(monkeypatch, sshd="started")
    result = provision.stop()
    assert shown == [repr(result)]


def test_what_does_not_run_is_not_stopped(monkeypatch, stopped):
    running(monkeypatch, sshd="stopped", mrtrix3="present")
    assert provision.stop().hosts == {} and stopped == []


def test_what_a_stop_that_was_killed_has_left_goes_where_nothing_runs_any_more(monkeypatch, stopped, tmp_path):
    monkeypatch.setattr(launch, "left_behind", lambda folder: [tmp_path / "provision-x"])
    (tmp_path / "provision-x" / "home").mkdir(parents=True)
    running(monkeypatch, sshd="stopped")
    provision.stop()
    assert not (tmp_path / "provision-x").exists()


def test_on_other_machines_all_that_could_run_is_stopped(stopped, tmp_path):
    (tmp_path / "fleet.yml").write_text("all: {}")
    provision.stop(on=tmp_path / "fleet.yml")
    assert [set(roles) for roles, _ in stopped] == [{"ngrok", "reverse_ssh"}, {"sshd"}]


def test_public_names_are_those_that_the_package_lists():
    for name in provision.__all__:
        assert getattr(provision, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        _ = provision.rum


def test_what_the_demo_lacks_is_told_before_anything_is_installed(ran, monkeypatch, tmp_path):
    with pytest.raises(OptionError, match="no data called 'head'"):
        demo(tmp_path / "demo", data="head")
    monkeypatch.setattr(pipeline, "_EXTRA", ("no_such_package",))
    with pytest.raises(ProvisionError, match="no_such_package"):
        demo(tmp_path / "demo")
    assert ran == {}
