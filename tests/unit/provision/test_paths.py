"""Where the working folder is gone, all that has nothing to do with it works, and the rest says so in a sentence."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from provision import OptionError, paths
from provision.cli.main import main
from provision.demo import sample
from provision.engine import content, runner
from provision.pictures.picture import Picture

from .gone import gone  # noqa: F401

GONE = "leads nowhere, because the working folder"


def test_a_relative_path_is_refused_with_the_folder_that_is_gone(gone):
    with pytest.raises(OptionError, match=f"out {GONE} {gone} is gone") as failed:
        paths.absolute("out")
    assert "whole path" in failed.value.hint
    assert paths.absolute("/out") == Path("/out")


def test_what_was_written_relatively_is_told_where_it_would_have_been(gone):
    assert paths.working_folder() == str(gone)


def test_what_needs_a_folder_has_one_and_a_folder_that_is_there_stays(gone, tmp_path, monkeypatch):
    with paths.somewhere(tmp_path):
        assert Path.cwd() == tmp_path
    with pytest.raises(FileNotFoundError):
        Path.cwd()
    monkeypatch.chdir("/usr")
    with paths.somewhere(tmp_path):
        assert Path.cwd() == Path("/usr")


@pytest.mark.parametrize(
    "words",
    [
        "list", "describe mrtrix3", "status", "logs", "completion bash", "store ls", "store verify",
        "store prune --keep 2", "run mrtrix3 --help", "stop",
    ],
)  # fmt: skip
def test_commands_that_need_no_folder_work(gone, words, capsys, monkeypatch):
    for name in ("provision.status", "provision.actions.stop.status"):
        monkeypatch.setattr(name, lambda: {"hosts": {"localhost": {}}} if words == "stop" else {})
    assert main(words.split()) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "words",
    ["run sshd --state absent --on hosts.yml", "remove --yes --on hosts.yml", "stop --on hosts.yml", "demo",
     "store ls --store builds", "store import build.tar.zst --sha256 " + 64 * "0"],
)  # fmt: skip
def test_commands_with_a_relative_path_say_that_it_leads_nowhere_and_start_nothing(gone, words, capsys, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda *_, **__: pytest.fail("something was started"))
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and GONE in said and "Traceback" not in said


def test_data_are_made_where_a_whole_path_says_and_else_refused(gone, tmp_path):
    assert sample.sample("phantom", folder=tmp_path / "data").image.is_file()
    with pytest.raises(OptionError, match=GONE):
        sample.sample("phantom")


def test_a_picture_is_written_to_a_whole_path_and_else_refused(gone, tmp_path):
    picture = Picture(b"png", 1, 1, "a picture")
    assert picture.save(tmp_path / "a.png").is_file()
    with pytest.raises(OptionError, match=GONE):
        picture.save("a.png")


def test_the_package_starts_there(gone):
    done = subprocess.run(
        [sys.executable, "-c", "import provision; print(provision.store.ls())"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(content.root())}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("given", ["/nonexistent", "/dev/null", "relative", ""])
def test_a_home_that_cannot_be_used_gives_way_to_the_one_of_the_password_file(monkeypatch, given):
    monkeypatch.setenv("HOME", given)
    assert str(paths.home()) == pwd.getpwuid(os.getuid()).pw_dir


def test_another_users_home_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.home() == tmp_path
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 12345)
    assert paths.home() != tmp_path or tmp_path.stat().st_uid == 0


def test_a_user_without_an_entry_in_the_password_file_has_a_home(monkeypatch):
    def none(_uid):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", none)
    monkeypatch.setenv("HOME", "/nonexistent")
    assert str(paths.home()) == "/nonexistent"
    monkeypatch.delenv("HOME")
    assert str(paths.home()) == "/"
