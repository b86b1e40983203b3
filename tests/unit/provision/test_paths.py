"""Where the working folder is gone, what needs none works, and all else says so in a sentence."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

import provision
from provision import OptionError, paths
from provision.cli.main import main
from provision.engine import content, inventory, launch, runner
from provision.machine import places
from provision.pictures.picture import Picture

from .gone import gone  # noqa: F401


@pytest.fixture
def nothing_starts(monkeypatch):
    monkeypatch.setattr(launch, "private_folder", lambda: pytest.fail("something was started"))


def test_a_relative_path_is_refused_where_it_leads_nowhere_and_a_whole_one_is_taken(gone):
    with pytest.raises(OptionError) as failed:
        paths.absolute("out")
    assert failed.value.code == "no-working-folder" and "%cd /content" in failed.value.hint
    assert paths.absolute("/out/../a") == Path("/out/../a")


def test_a_relative_path_begins_at_the_working_folder_and_its_links_stay(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to("/usr")
    monkeypatch.chdir(tmp_path)
    assert paths.absolute("link/bin") == tmp_path / "link/bin"


@pytest.mark.parametrize(
    "words",
    [
        "list", "describe mrtrix3", "status", "logs", "completion bash", "store ls", "store verify",
        "store prune --keep 2", "run mrtrix3 --help", "stop",
    ],
)  # fmt: skip
def test_commands_that_need_no_folder_work(gone, words, capsys, monkeypatch):
    for name in ("provision.status", "provision.actions.stop.status"):
        monkeypatch.setattr(name, lambda **_: {"hosts": {"localhost": {}}} if words == "stop" else {})
    assert main(words.split()) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "words",
    ["run deps", "run sshd --state absent --on hosts.yml", "remove --yes", "remove --yes --on hosts.yml",
     "stop --on hosts.yml", "demo", "demo --folder /nonexistent/demo", "sample phantom",
     "sample phantom --folder /nonexistent/data", "store ls --store builds",
     "store import build.tar.zst --sha256 " + 64 * "0"],
)  # fmt: skip
def test_commands_that_need_one_say_that_it_is_gone_and_start_nothing(gone, nothing_starts, words, capsys):
    assert main([*words.split(), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "no-working-folder"


@pytest.mark.parametrize(
    "call",
    [
        lambda: provision.run("deps"),
        lambda: provision.remove("deps"),
        lambda: provision.sample("phantom", folder="/nonexistent/data"),
        lambda: Picture(b"png", 1, 1, "a picture").save("a.png"),
    ],
    ids=["run", "remove", "sample", "save"],
)
def test_calls_that_need_one_raise_that_it_is_gone(gone, nothing_starts, call):
    with pytest.raises(OptionError) as failed:
        call()
    assert failed.value.code == "no-working-folder"


def test_the_package_starts_there(gone):
    done = subprocess.run(
        [sys.executable, "-c", "import provision; print(provision.store.ls())"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(content.root())}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("given", ["/nonexistent", "/dev/null", "relative", ""])
def test_a_home_that_cannot_be_used_gives_way_to_the_one_of_the_password_file(monkeypatch, given):
    monkeypatch.setenv("HOME", given)
    assert places.home() == pwd.getpwuid(os.getuid()).pw_dir


@pytest.mark.parametrize("what", ["folder", "inventory"])
def test_what_ansible_would_get_is_utf_8(tmp_path, monkeypatch, what):
    place = tmp_path / os.fsdecode(b"\xe9")
    place.mkdir()
    monkeypatch.chdir(place)
    with pytest.raises(OptionError) as caught:
        inventory.given(place) if what == "inventory" else runner.run(["deps"], {})
    assert caught.value.code == "bad-value"


def test_another_users_home_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.home() == str(tmp_path)
    # What is root's is nobody else's to change.
    real = os.stat(tmp_path)
    monkeypatch.setattr(os, "stat", lambda _: os.stat_result((*real[:4], 1234, *real[5:10])))
    monkeypatch.setattr(os, "getuid", lambda: pwd.getpwnam("nobody").pw_uid)
    assert places.home() == pwd.getpwnam("nobody").pw_dir


def test_a_user_without_an_entry_in_the_password_file_has_a_home(monkeypatch):
    def none(_uid):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", none)
    monkeypatch.setenv("HOME", "/nonexistent")
    assert places.home() == "/nonexistent"
    monkeypatch.delenv("HOME")
    assert places.home() == "/"
