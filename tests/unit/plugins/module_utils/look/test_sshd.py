"""What the probe finds out for the role sshd."""

from __future__ import annotations

import json
import socket

import pytest

from plugins.module_utils.provision.look import login
from plugins.module_utils.provision.look import sshd as look

from .ssh_server import (
    KEY,
    server,  # noqa: F401
)


def test_sound_wishes_are_no_problem(server):
    wanted, machine = server
    assert look.look_at(wanted, machine)["problem"] == []


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"port": 0}, "from 1 to 65535"),
        ({"listen_addresses": []}, "is empty"),
        ({"listen_addresses": [""]}, "is empty"),
        ({"listen_addresses": ["a" * 64]}, "cannot be listened on"),
        ({"listen_addresses": ["\x00"]}, "cannot be listened on"),
        ({"port": 65536}, "from 1 to 65535"),
        ({"port": -1}, "from 1 to 65535"),
        ({"listen_addresses": ["192.0.2.1"]}, "cannot be listened on"),
        ({"listen_addresses": ["127.0.0.1\nPermitRootLogin yes"]}, "cannot be listened on"),
        ({"user": "somebody"}, "Only root can let another user in"),
        ({"authorized_keys": []}, "Only root can set a password"),
        ({"given_problem": ["The key is lost", "Look for it."]}, "The key is lost"),
        ({"authorized_keys": [f'expiry-time="20200101" {KEY}']}, "No key of sshd_authorized_keys lets anybody in"),
        ({"authorized_keys": [f'from="10.0.0.0/8" {KEY}']}, "No key of sshd_authorized_keys lets anybody in"),
        ({"environment": "A"}, "must be names with values"),
        ({"environment": ["A"]}, "must be names with values"),
        ({"environment": {"A": None}}, "cannot set A"),
        ({"environment": {"A": ["x"]}}, "cannot set A"),
        ({"environment": {"Ä": "x"}}, "cannot set Ä"),
        ({"environment": {"A": "\ud800"}}, "cannot set A"),
        ({"environment": {"A": 'x" PermitTTY "no'}}, "cannot set A"),
        ({"environment": {"A=B": "x"}}, "cannot set A=B"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_sentence_and_what_to_do(server, wish, words):
    wanted, machine = server
    message, hint = look.look_at({**wanted, **wish}, machine)["problem"]
    assert words in message and hint


@pytest.mark.parametrize("given", ["", None, {}, '{"A": 1}', {"A": "1"}])
def test_the_environment_may_be_given_as_text(server, given):
    wanted, machine = server
    found = look.look_at({**wanted, "environment": given}, machine)
    assert found["problem"] == [] and found["environment"].get("A", "") == ("1" if given else "")


def test_a_server_that_runs_is_no_reason_to_take_a_wrong_wish_for_done(server, monkeypatch):
    wanted, machine = server
    monkeypatch.setattr(look, "what_is_lost", lambda *_: "")
    monkeypatch.setattr(look, "sshd_drift", lambda *_: "")
    assert look.look_at(wanted, machine)["converged"]
    lost = look.look_at({**wanted, "authorized_keys": [], "given_problem": ["The key is lost", "Look."]}, machine)
    assert not lost["converged"] and lost["problem"][0] == "The key is lost"


def test_what_another_version_of_the_role_has_set_up_has_drifted(server, tmp_path):
    wanted, machine = server
    noted = look.sshd_now(wanted, login.user_name(), str(tmp_path / "state/sshd"), machine)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/sshd.json").write_text(json.dumps({**noted, "report": {"user": "me"}}))
    assert "version" not in look.look_at(wanted, machine)["drift"]
    assert "another version of this role" in look.look_at({**wanted, "form": "two"}, machine)["drift"]


def test_a_port_that_is_taken_is_a_problem(server):
    wanted, machine = server
    with socket.create_server(("127.0.0.1", wanted["port"])):
        assert "in use" in look.look_at(wanted, machine)["problem"][0]


def test_sessions_have_the_commands_of_tools_that_are_linked_nowhere_else_and_their_variables(server, tmp_path):
    _, machine = server
    (tmp_path / "state").mkdir()
    for tool in ("mrtrix3", "ants"):
        environment = {f"{tool.upper()}_HOME": f"/srv/{tool}"}
        state = {"link_dir": "", "report": {"bin": f"/srv/{tool}/bin", "environment": environment}}
        (tmp_path / f"state/{tool}.json").write_text(json.dumps(state))
    found = look.session_environment({"OMP_NUM_THREADS": 2}, machine)
    folders = found["PATH"].split(":")
    assert folders[:3] == ["/srv/mrtrix3/bin", "/srv/ants/bin", f"{tmp_path}/.local/bin"] and "/usr/bin" in folders
    assert (found["ANTS_HOME"], found["MRTRIX3_HOME"]) == ("/srv/ants", "/srv/mrtrix3")
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
