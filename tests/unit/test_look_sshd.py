"""What the probe finds out for the role sshd."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading

import pytest

from plugins.module_utils import provision_checks as checks
from plugins.module_utils import provision_look_sshd as look

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


@pytest.mark.parametrize("line", [KEY, f"{KEY} me@home", f'restrict,command="echo a b" {KEY}'])
def test_a_whole_public_key_is_one(line):
    assert look.is_public_key(line)


@pytest.mark.parametrize(
    "line",
    [KEY[:-8], KEY.replace("ssh-ed25519", "ssh-rsa"), "ssh-ed25519", "ssh-ed25519 AAAA!", "-----BEGIN PRIVATE KEY-----",
     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", ""],
    ids=["cut off", "of another kind", "no key", "no base64", "private", "its name alone", "empty"],
)
def test_what_is_not_a_whole_public_key_is_none(line):
    assert not look.is_public_key(line)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What the role would want, and a machine on which this user may let themselves in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for module in (checks, look):
        monkeypatch.setattr(module, "state_folder", lambda: str(tmp_path / "state"))
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    wanted = {
        "port": port, "listen_addresses": ["127.0.0.1"], "user": "auto", "authorized_keys": [KEY],
        "with_password": False, "environment": {}, "host": "", "state": "started", "form": "one",
    }
    return wanted, {"root": False, "home": str(tmp_path), "state": str(tmp_path / "state")}


def test_sound_wishes_are_no_problem(server):
    wanted, machine = server
    assert look.look_at(wanted, machine)["problem"] == []


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"port": 0}, "from 1 to 65535"),
        ({"listen_addresses": []}, "is empty"),
        ({"listen_addresses": ["192.0.2.1"]}, "cannot be listened on"),
        ({"listen_addresses": ["127.0.0.1\nPermitRootLogin yes"]}, "cannot be listened on"),
        ({"user": "somebody"}, "Only root can let another user in"),
        ({"authorized_keys": []}, "Only root can set a password"),
        ({"authorized_keys": [KEY, "-----BEGIN OPENSSH PRIVATE KEY-----"]}, "private key"),
        ({"authorized_keys": [KEY[:-8]]}, "not a whole public key"),
        ({"environment": {"A": 'x" PermitTTY "no'}}, "cannot set A"),
        ({"environment": {"A=B": "x"}}, "cannot set A=B"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_sentence_and_what_to_do(server, wish, words):
    wanted, machine = server
    message, hint = look.look_at({**wanted, **wish}, machine)["problem"]
    assert words in message and hint


def test_a_user_that_there_is_not_is_a_problem_for_root_too(server):
    wanted, machine = server
    message, hint = look.look_at({**wanted, "user": "nobody-at-all"}, {**machine, "root": True})["problem"]
    assert "There is no user nobody-at-all" in message and hint


def test_a_port_that_our_own_server_has_taken_is_no_problem(server, monkeypatch):
    # Nothing is noted of it, as after a run that was interrupted when it had started the server.
    wanted, machine = server
    with socket.create_server(("127.0.0.1", wanted["port"])), subprocess.Popen(["sleep", "100"]) as other:
        for pid, words in ((os.getpid(), ""), (other.pid, "in use"), (0, "in use")):
            monkeypatch.setattr(look, "running", lambda pid_file, pid=pid: pid)
            assert words in " ".join(look.look_at(wanted, machine)["problem"][:1])
            assert bool(words) == bool(look.look_at(wanted, machine)["problem"])
        other.kill()


def test_what_another_version_of_the_role_has_set_up_has_drifted(server, tmp_path):
    wanted, machine = server
    noted = look.sshd_now(wanted, look.user_name(), str(tmp_path / "state/sshd"), machine)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/sshd.json").write_text(json.dumps({**noted, "report": {"user": "me"}}))
    assert "version" not in look.look_at(wanted, machine)["drift"]
    assert "another version of this role" in look.look_at({**wanted, "form": "two"}, machine)["drift"]


def test_a_port_that_is_taken_is_a_problem(server):
    wanted, machine = server
    with socket.create_server(("127.0.0.1", wanted["port"])):
        assert "in use" in look.look_at(wanted, machine)["problem"][0]


def test_sessions_have_the_commands_of_tools_that_are_linked_nowhere_else(server, tmp_path):
    _, machine = server
    (tmp_path / "state").mkdir()
    (tmp_path / "state/mrtrix3.json").write_text(json.dumps({"link_dir": "", "report": {"bin": "/srv/mrtrix3/bin"}}))
    found = look.session_environment({"OMP_NUM_THREADS": 2}, machine)
    folders = found["PATH"].split(":")
    assert folders[:2] == ["/srv/mrtrix3/bin", f"{tmp_path}/.local/bin"] and "/usr/bin" in folders
    assert found["OMP_NUM_THREADS"] == "2" and found["PROVISION_PATH"] == found["PATH"]


@pytest.mark.parametrize(
    ("port", "addresses", "host", "name"),
    [
        (2222, ["127.0.0.1"], "", "[127.0.0.1]:2222"),
        (22, ["192.0.2.7"], "", "192.0.2.7"),
        (2222, ["0.0.0.0"], "node1.example.org", "[node1.example.org]:2222"),
    ],
)
def test_the_line_of_known_hosts_names_the_server_as_a_client_does(server, tmp_path, port, addresses, host, name):
    wanted, _ = server
    (tmp_path / "ssh_host_ed25519_key.pub").write_text(f"{KEY} provision@box\n")
    report = look.sshd_report(
        {**wanted, "port": port, "listen_addresses": addresses, "host": host}, "me", str(tmp_path)
    )
    assert report["known_hosts"] == f"{name} {KEY}"
    # As `ssh-keygen -l` prints it.
    assert report["fingerprint"].startswith("SHA256:") and len(report["fingerprint"]) == 50


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19", False),
        ("unknown option -- V\nOpenSSH_8.9p1 Ubuntu-3", False),
        ("OpenSSH_9.8p1", True),
        ("OpenSSH_10.0p2", True),
    ],
)
def test_penalties_are_known_by_the_version(monkeypatch, said, expected):
    monkeypatch.setattr(look, "run", lambda argv: (1, "", said))
    assert look.has_penalties("sshd") is expected


@pytest.mark.parametrize("case", ["stopped", "ended", "deaf", "works"])
def test_it_is_told_whether_the_server_runs_and_answers(server, tmp_path, case):
    wanted, _ = server
    folder = tmp_path / "state/sshd"
    folder.mkdir(parents=True)
    (tmp_path / "state/sshd.json").write_text(json.dumps({"wanted": wanted}))
    me = {"pid": os.getpid(), "boot": checks.boot_id(), "start": checks.process(os.getpid())["start"]}
    if case != "stopped":
        (folder / "sshd.pid").write_text(json.dumps(me if case in ("deaf", "works") else {**me, "start": 1}))
    with socket.create_server(("127.0.0.1", wanted["port"])) as listening:
        if case == "works":
            threading.Thread(target=lambda: listening.accept()[0].sendall(b"SSH-2.0-made up\r\n")).start()
        found = look.now({"port": wanted["port"]})
    assert found == {
        "stopped": {"state": "stopped", "works": False},
        "ended": {"state": "started", "works": False, "problem": "it has ended"},
        "deaf": {"state": "started", "works": False, "problem": "it does not answer"},
        "works": {"state": "started", "works": True},
    }[case]
