"""What the probe finds out for the role sshd."""

from __future__ import annotations

import json
import socket

import pytest

from plugins.module_utils.provision.look import login
from plugins.module_utils.provision.look import sshd as look

from .ssh_server import KEY


def test_sound_wishes_are_no_problem(server):
    wanted, machine = server
    assert look.look_at(wanted, machine)["problem"] == []


@pytest.mark.parametrize(
    ("wish", "code", "value"),
    [
        ({"port": 0}, "bad-value", "2222"),
        ({"listen_addresses": []}, "bad-value", "sshd_listen_addresses"),
        ({"listen_addresses": [""]}, "bad-value", "sshd_listen_addresses"),
        ({"listen_addresses": ["a" * 64]}, "bad-value", "a" * 64),
        ({"listen_addresses": ["\x00"]}, "bad-value", "\x00"),
        ({"port": 65536}, "bad-value", "2222"),
        ({"port": -1}, "bad-value", "2222"),
        ({"listen_addresses": ["192.0.2.1"]}, "bad-value", "192.0.2.1"),
        ({"listen_addresses": ["127.0.0.1\nPermitRootLogin yes"]}, "bad-value", "PermitRootLogin"),
        ({"user": "somebody"}, "needs-root", "sshd_user"),
        ({"authorized_keys": []}, "needs-root", "sshd_authorized_keys"),
        ({"given_problem": ["The key is lost", "Look for it.", "no-file"]}, "no-file", "The key is lost"),
        ({"authorized_keys": [f'expiry-time="20200101" {KEY}']}, "no-key", "sshd_authorized_keys"),
        ({"authorized_keys": [f'from="10.0.0.0/8" {KEY}']}, "no-key", "sshd_authorized_keys"),
        ({"environment": "A"}, "bad-value", '{"NAME": "value"}'),
        ({"environment": ["A"]}, "bad-value", '{"NAME": "value"}'),
        ({"environment": {"A": None}}, "bad-value", "sshd_environment"),
        ({"environment": {"A": ["x"]}}, "bad-value", "sshd_environment"),
        ({"environment": {"Ä": "x"}}, "bad-value", "Ä"),
        ({"environment": {"A": "\ud800"}}, "bad-value", "sshd_environment"),
        ({"environment": {"A": 'x" PermitTTY "no'}}, "bad-value", "sshd_environment"),
        ({"environment": {"A=B": "x"}}, "bad-value", "A=B"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_sentence_and_what_to_do(server, wish, code, value):
    wanted, machine = server
    message, hint, kind = look.look_at({**wanted, **wish}, machine)["problem"]
    assert kind == code and value in f"{message} {hint}" and hint


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
    problem = ["The key is lost", "Look for it.", "no-file"]
    lost = look.look_at({**wanted, "authorized_keys": [], "given_problem": problem}, machine)
    assert not lost["converged"] and lost["problem"] == problem


def test_what_another_version_of_the_role_has_set_up_has_drifted(server, tmp_path):
    wanted, machine = server
    noted = look.sshd_now(wanted, login.user_name(), str(tmp_path / "state/sshd"), machine)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/sshd.json").write_text(json.dumps({**noted, "report": {"user": "me"}}))
    assert "version" not in look.look_at(wanted, machine)["drift"]
    assert "version" in look.look_at({**wanted, "form": "two"}, machine)["drift"]


def test_a_port_that_is_taken_is_a_problem(server):
    wanted, machine = server
    with socket.create_server(("127.0.0.1", wanted["port"])):
        message, _hint, code = look.look_at(wanted, machine)["problem"]
        assert code == "port-taken" and str(wanted["port"]) in message


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
