"""What this process finds after a run: the commands, and help pages that need no pager."""

import contextlib
import os
import subprocess
from pathlib import Path

import provision
from provision import notebook
from provision.actions import notebook_path
from provision.display import progress


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


def test_cells_have_the_variables_that_the_commands_need(monkeypatch):
    monkeypatch.setenv("FSLDIR", "/an/older/one")
    notebook_path.extend({"localhost": {"fsl": {"environment": {"FSLDIR": "/opt/fsl"}}, "deps": {}}})
    assert os.environ["FSLDIR"] == "/opt/fsl"


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
    assert ran["inventory"].path == tmp_path / "fleet.yml"
