"""What the status tells."""

from __future__ import annotations

import json
import os
import stat
import time

import pytest

import provision
from provision.actions.status import Status
from provision.machine import alive, places
from provision.machine import status as overview
from provision.machine.tool.prefix import RECEIPT

MRTRIX3 = {
    "version": "3.0.8", "origin": "store", "works": True, "prefix": "/opt/m", "bin": "/opt/m/bin", "size": 9_000_000,
}  # fmt: skip
SSHD = {
    "state": "started", "works": True, "host": "127.0.0.1", "port": 2222, "pid": 42, "since": 1_800_000_000,
    "command": "ssh -p 2222 root@127.0.0.1",
}  # fmt: skip
STATUS = Status({
    "hosts": {"localhost": {"mrtrix3": MRTRIX3, "sshd": SSHD}},
    "store": {"folder": "/store", "builds": 2, "size": 40_000_000},
})  # fmt: skip


@pytest.fixture
def state(monkeypatch, tmp_path):
    """An empty machine: no notes of roles, no store."""
    monkeypatch.setattr(places, "state_folder", lambda: str(tmp_path))
    monkeypatch.setattr(places, "default_store", lambda: str(tmp_path / "store"))
    return tmp_path


def test_what_keeps_a_shell_from_the_commands_is_told_once():
    found = Status({"hosts": {"localhost": {role: {**MRTRIX3, "notes": ["Not <there>."]} for role in ("a", "b")}}})
    assert repr(found).splitlines()[2:] == ["Note: Not <there>."]
    assert found._repr_html_().count("Note: Not &lt;there&gt;.") == 1


def test_a_line_tells_what_is_installed_and_where_and_what_runs_since_when():
    assert repr(STATUS).splitlines() == [
        "mrtrix3  3.0.8 ready (store)  /opt/m, 9.0 MB",
        "sshd     ready                process 42, 127.0.0.1:2222, since 2027-01-15 08:00 UTC",
        "2 builds in the store /store, 40.0 MB",
        "    from here    ssh -p 2222 root@127.0.0.1",
    ]


def test_what_runs_through_a_tunnel_is_told_with_its_address():
    ngrok = {"state": "started", "works": True, "pid": 7, "since": 0, "url": "tcp://a.example.org:1", "host": "a"}
    assert "process 7, tcp://a.example.org:1, since" in repr(Status({"hosts": {"localhost": {"ngrok": ngrok}}}))


def test_a_notebook_shows_a_table_and_how_to_get_in():
    html = STATUS._repr_html_()
    assert ">mrtrix3</th>" in html and "/opt/m, 9.0 MB" in html and "2 builds in the store" in html
    assert "ssh -p 2222 root@127.0.0.1" in html
    assert "Nothing is installed" in Status({"hosts": {"localhost": {}}})._repr_html_()


def test_it_is_a_mapping_and_prints_as_json():
    assert STATUS["hosts"]["localhost"]["mrtrix3"]["version"] == "3.0.8"
    copied = json.loads(json.dumps(STATUS.to_dict()))
    assert copied == STATUS
    STATUS.to_dict()["hosts"].clear()
    assert STATUS["hosts"]


def test_only_a_prefix_of_the_roles_own_is_measured(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mrinfo").write_bytes(b"x" * 100_000)
    assert overview.measured("mrtrix3", {"prefix": str(tmp_path)}) == {}
    (tmp_path / RECEIPT).write_text("{}")
    assert 100_000 <= overview.measured("mrtrix3", {"prefix": str(tmp_path)})["size"] < 150_000


def test_a_process_is_told_while_it_runs(state):
    (state / "sshd").mkdir()
    noted = {"pid": os.getpid(), "start": alive.process(os.getpid())["start"], "boot": alive.boot_id()}
    (state / "sshd/sshd.pid").write_text(json.dumps(noted))
    found = overview.measured("sshd", {})
    assert found["pid"] == os.getpid() and 0 <= time.time() - found["since"] < 3600
    (state / "sshd/sshd.pid").write_text(json.dumps({**noted, "start": 1}))
    assert overview.measured("sshd", {}) == {}


def test_what_goes_while_it_is_looked_at_does_no_harm(state, monkeypatch):
    (state / "store").mkdir()
    (state / "store/a.tar.zst").write_bytes(b"build")
    (state / "store/b.tar.zst").symlink_to("/not/mounted")
    found = overview.stored()
    assert (found["builds"], found["size"], found.get("problem")) == (2, 5, None)
    monkeypatch.setattr(os, "walk", lambda folder: [(folder, [], ["gone"])])
    assert overview.size_of(str(state)) == 0
    monkeypatch.setattr(alive, "running", lambda path: 42)
    monkeypatch.setattr(alive, "process", lambda pid: {})
    assert overview.measured("sshd", {}) == {}


def test_the_builds_of_the_store_are_counted_and_not_read(state):
    (state / "store").mkdir()
    (state / "store/mrtrix3-3.0.8.tar.zst").write_bytes(b"no archive")
    (state / "store/mrtrix3-3.0.8.json").write_text("{}")
    assert provision.status()["store"] == {"folder": str(state / "store"), "builds": 1, "size": 10}


def test_a_store_that_is_dead_is_told_and_does_no_harm(monkeypatch):
    def dead(folder):
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(os, "listdir", dead)
    found = overview.stored("/drive/provision")
    assert "cannot be read: transport endpoint is not connected" in found["problem"]
    assert "The store /drive/provision cannot be read" in repr(Status({"hosts": {"localhost": {}}, "store": found}))


def test_packages_that_came_for_roles_are_told_though_deps_alone_was_run(state):
    notes = {"installed": {"deps": ["git"], "mrtrix3": ["g++", "git"]}}
    (state / "deps.json").write_text(json.dumps(notes))
    status = provision.status()
    assert status["hosts"]["localhost"] == {"deps": {"packages": ["g++", "git"]}}
    assert repr(status) == "deps  ready  2 distribution packages"
    assert "2 distribution packages" in status._repr_html_()


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
