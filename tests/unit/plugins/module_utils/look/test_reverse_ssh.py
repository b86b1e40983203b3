"""What the probe finds out for the role reverse_ssh."""

from __future__ import annotations

import glob
import json
import time
from pathlib import Path

import pytest

from plugins.module_utils.provision import notes, places
from plugins.module_utils.provision.look import reverse_ssh as look

from .public_keys import KEY


@pytest.mark.parametrize(
    ("gateway", "parts"),
    [
        ("me@gw", ("me", "gw", 22)),
        ("me@gw.example.org:2200", ("me", "gw.example.org", 2200)),
        ("m.e-2@192.0.2.7", ("m.e-2", "192.0.2.7", 22)),
        ("me@[2001:db8::1]:2200", ("me", "2001:db8::1", 2200)),
    ],
)
def test_a_gateway_is_taken_apart(gateway, parts):
    assert tuple(look.gateway_parts(gateway).values()) == parts


@pytest.mark.parametrize(
    "gateway",
    [
        "",
        "gw",
        "me@",
        "@gw",
        "me@gw:0",
        "me@gw:65536",
        "me@gw:x",
        "-oProxyCommand=id@gw",
        "me@-oProxyCommand=id",
        "me@gw -oProxyCommand=id",
        "me@gw\n",
        "me@2001:db8::1",
        "me@a@b",
    ],
)
def test_what_could_be_anything_else_for_ssh_is_no_gateway(gateway):
    assert look.gateway_parts(gateway) == {}


@pytest.mark.parametrize(
    "line",
    [
        f"gw.example.org,192.0.2.7 {KEY}",
        f"GW.example.org {KEY} a comment",
        f"*.example.org {KEY}",
        f"@cert-authority *.example.org {KEY}",
    ],
)
def test_the_lines_of_the_gateway_are_found(line):
    assert look.known_lines(f"# {line}\nother.org {KEY}\n\n{line}\n", "gw.example.org", 22) == [line]


def test_the_lines_of_another_port_than_ssh_s_own_have_it_in_brackets():
    lines = [f"[gw.example.org]:2200 {KEY}", f"[*.example.org]:* {KEY}"]
    assert look.known_lines("\n".join([*lines, f"gw.example.org {KEY}"]), "gw.example.org", 2200) == lines


@pytest.mark.parametrize(
    ("port", "name"),
    [
        (22, "|1|k58FM5mMPaS44AnlVv3Z7lprqn0=|w/RBzGpGJNcivAY+9SF6d3mjYP8="),
        (2200, "|1|xEoczhlga8/3nInTKYbbwC0dVag=|dhuUXBzGxKSubYlzzH3HiomncqI="),
    ],
)
def test_hashed_lines_are_found_as_ssh_keygen_writes_them(port, name):
    assert look.known_lines(f"{name} {KEY}", "gw.example.org", port) == [f"{name} {KEY}"]
    assert look.known_lines(f"{name} {KEY}", "other.org", port) == []


@pytest.mark.parametrize(
    "line",
    [
        f"gw.example.org {KEY}",
        f"[gw.example.org]:2201 {KEY}",
        f"![gw.*,* {KEY}",
        f"[gw.example.org]:220 {KEY}",
        "[gw.example.org]:2200",
        "|1|x|y ssh-ed25519 AAAA",
        f"[g]:2200 {KEY}",
    ],
)
def test_lines_of_others_are_not_sent_along(line):
    assert look.known_lines(line, "gw.example.org", 2200) == []


def test_the_key_is_limited_to_the_port_that_was_asked_for():
    assert look.key_line({"gateway_port": 0}, KEY) == (
        f'restrict,command="false",port-forwarding,permitlisten="127.0.0.1:*",permitopen="127.0.0.1:1" {KEY}'
    )
    assert 'permitlisten="127.0.0.1:2345",' in look.key_line({"gateway_port": 2345}, KEY)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose SSH server answers and to which a tunnel leads, as far as the files say."""
    folder = tmp_path / "reverse_ssh"
    folder.mkdir()
    for name in ("config.json", "known_hosts", "reverse_tunnel.py", "id_ed25519"):
        (folder / name).write_text(name)
    (folder / "id_ed25519.pub").write_text(f"{KEY} provision\n")
    started = time.mktime((2026, 11, 23, 22, 0, 0, 0, 0, 0)) - time.timezone
    (folder / "tunnel.json").write_text(json.dumps({"started": started, "port": 40123, "up": True, "said": []}))
    for part in (places, look):
        monkeypatch.setattr(part, "state_folder", lambda: str(tmp_path))
    monkeypatch.setattr(look, "offered_key", lambda host, port, seconds: KEY)
    monkeypatch.setattr(look, "answers", lambda host, port, banner: True)
    monkeypatch.setattr(look, "running", lambda pid_file: 17)
    monkeypatch.setattr(look, "tunnel_answers", lambda folder: True)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.setattr(glob, "glob", lambda pattern: [])
    machine = {"state": str(tmp_path)}
    found = look.look_at(WANTED, machine)
    (tmp_path / "reverse_ssh.json").write_text(json.dumps(found["now"]))
    return machine


WANTED = {
    "gateway": "tunnel@gw.example.org",
    "known_hosts": f"gw.example.org {KEY}\nother.org {KEY}",
    "identity": "",
    "port": 2222,
    "gateway_port": 0,
    "jump": "",
    "max_seconds": 43200,
    "accept_colab_policy": False,
    "state": "started",
}


def test_what_is_as_it_was_set_up_has_not_drifted_and_says_how_one_comes_in(machine):
    found = look.look_at(WANTED, machine)
    assert found["converged"] and found["drift"] == "" and found["problem"] == []
    report = found["report"]
    assert report["command"].startswith("ssh -J gw.example.org -p 40123 ")
    assert report["command"].endswith("@127.0.0.1") and "ProxyJump gw.example.org\n" in report["config"]
    assert report["known_hosts"] == f"[127.0.0.1]:40123 {KEY}"
    assert report["authorize"].endswith(f" {KEY} provision") and report["expires"] == "2026-11-24T10:00:00Z"


def test_the_port_is_that_of_the_role_sshd_unless_told_otherwise(machine):
    assert look.look_at({**WANTED, "port": 0}, machine)["converged"]
    Path(machine["state"], "sshd.json").write_text(json.dumps({"wanted": {"port": 2200}}))
    assert "reverse_ssh_port " in look.look_at({**WANTED, "port": 0}, machine)["drift"]
    assert look.look_at({**WANTED, "port": 0}, machine)["config"]["local_port"] == 2200


def test_only_the_gateways_lines_of_known_hosts_matter(machine):
    more = {**WANTED, "known_hosts": WANTED["known_hosts"] + f"\nthird.org {KEY}"}
    assert look.look_at(more, machine)["converged"]
    assert look.look_at(more, machine)["now"]["known"] == [f"gw.example.org {KEY}"]


def test_another_port_after_a_new_connection_is_reported_and_no_drift(machine):
    Path(machine["state"], "reverse_ssh/tunnel.json").write_text(json.dumps({"port": 40999, "started": 0}))
    found = look.look_at(WANTED, machine)
    assert found["converged"] and (found["report"]["port"], found["report"]["expires"]) == (40999, "")


def test_status_tells_whether_it_is_up_and_at_which_port(machine, monkeypatch):
    report = notes.read_state("reverse_ssh")["report"]
    assert look.now("reverse_ssh", report) == {"state": "stopped", "works": False}
    folder = Path(machine["state"], "reverse_ssh")
    (folder / "reverse_ssh.pid").touch()
    found = look.now("reverse_ssh", report)
    assert (found["state"], found["works"], found["port"]) == ("started", True, 40123)
    (folder / "tunnel.json").write_text(json.dumps({"port": 40999, "started": 0}))
    assert (
        "-p 40999" in look.now("reverse_ssh", report)["command"]
        and "[127.0.0.1]:40999" in look.now("reverse_ssh", report)["known_hosts"]
    )
    monkeypatch.setattr(look, "tunnel_answers", lambda folder: False)
    found = look.now("reverse_ssh", report)
    assert (found["state"], found["works"], "gateway" in found["problem"]) == ("started", False, True)


@pytest.mark.parametrize(
    ("jump", "gateway", "expected"),
    [
        ("me@gw", "tunnel@gw.example.org", "me@gw"),
        ("", "tunnel@gw.example.org:2200", "gw.example.org:2200"),
        ("", "tunnel@[2001:db8::1]:2200", "[2001:db8::1]:2200"),
    ],
)
def test_one_comes_by_the_gateway_as_oneself_unless_told_otherwise(machine, jump, gateway, expected):
    assert look.look_at({**WANTED, "jump": jump, "gateway": gateway}, machine)["report"]["jump"] == expected


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"gateway_port": 2345}, "reverse_ssh_gateway_port"),
        ({"identity": "0123"}, "reverse_ssh_identity"),
        ({"max_seconds": 0}, "reverse_ssh_max_seconds"),
        ({"known_hosts": f"gw.example.org {KEY} again"}, "known_hosts"),
    ],
)
def test_what_was_asked_for_otherwise_is_drift(machine, change, name):
    found = look.look_at({**WANTED, **change}, machine)
    assert not found["converged"] and name in found["drift"]


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("running", lambda pid_file: 0, "run"),
        ("offered_key", lambda host, port, seconds: "", "answer"),
        ("offered_key", lambda host, port, seconds: KEY[:-4] + "AAAA", "another"),
        ("tunnel_answers", lambda folder: False, "gateway"),
    ],
)
def test_what_is_not_alive_is_drift(machine, monkeypatch, name, value, word):
    monkeypatch.setattr(look, name, value)
    assert word in look.look_at(WANTED, machine)["drift"]


@pytest.mark.parametrize("name", ["config.json", "known_hosts", "reverse_tunnel.py", "id_ed25519", "id_ed25519.pub"])
def test_a_file_that_was_changed_is_drift(machine, name):
    Path(machine["state"], "reverse_ssh", name).write_text("another")
    assert name in look.look_at(WANTED, machine)["drift"]


@pytest.mark.parametrize(
    ("change", "code", "value"),
    [
        ({"gateway": ""}, "bad-value", "reverse_ssh_gateway=user@host"),
        ({"gateway": "gw.example.org"}, "bad-value", "'gw.example.org'"),
        ({"known_hosts": ""}, "gateway-key-unknown", "ssh-keyscan -t ed25519 -p 22 gw.example.org"),
        ({"known_hosts": f"other.org {KEY}"}, "gateway-key-unknown", " gw.example.org"),
        ({"gateway": "tunnel@gw.example.org:2200"}, "gateway-key-unknown", "[gw.example.org]:2200"),
        ({"port": -1}, "bad-value", "reverse_ssh_port"),
        ({"gateway_port": 65536}, "bad-value", "reverse_ssh_gateway_port"),
        ({"max_seconds": -1}, "bad-value", "reverse_ssh_max_seconds"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_sentence_and_what_to_do(machine, change, code, value):
    message, hint, kind = look.look_at({**WANTED, **change}, machine)["problem"]
    assert kind == code and value in f"{message} {hint}" and hint


@pytest.mark.parametrize("line", [f"gw.example.org {KEY[:-8]}", f"@revoked gw.example.org {KEY}", "gw.example.org a b"])
def test_a_line_of_the_gateway_without_a_key_to_trust_is_no_line(machine, line):
    message, _hint, code = look.look_at({**WANTED, "known_hosts": line}, machine)["problem"]
    assert code == "bad-key" and "gw.example.org" in message
    assert look.look_at({**WANTED, "known_hosts": f"{line}\n{WANTED['known_hosts']}"}, machine)["problem"] == []


def test_what_is_given_is_read_where_the_play_is_run_from_and_the_key_stays_there(tmp_path):
    wanted = {**WANTED, "folder": str(tmp_path), "known_hosts": "hosts", "identity": ""}
    message, _hint, code = look.read_here(wanted)["given_problem"]
    assert code == "no-file" and str(tmp_path / "hosts") in message
    (tmp_path / "hosts").write_text(f"gw {KEY}\n")
    assert look.read_here(wanted)["known_hosts"] == f"gw {KEY}\n"
    text = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n"
    (tmp_path / "key").write_text(text)
    given = look.read_here({**wanted, "identity": "key"})
    assert len(given["identity"]) == 64 and "MC4CAQ" not in json.dumps(given) and "folder" not in given
    assert "MC4CAQ" not in json.dumps(look.read_here({**wanted, "identity": text}))


@pytest.mark.parametrize("state", ["{}", '{"report": {"jump": "gw"}}', '{"report": {"user": "me"}}'])
def test_notes_that_are_broken_are_told_as_that_and_made_anew(machine, state):
    Path(machine["state"], "reverse_ssh", "reverse_ssh.pid").touch()
    Path(machine["state"], "reverse_ssh.json").write_text(state)
    found = look.now("reverse_ssh", notes.read_state("reverse_ssh").get("report", {}))
    assert (found["state"], found["works"], "lost" in found["problem"]) == ("started", False, True)
    assert look.look_at(WANTED, machine)["drift"]


def test_without_a_server_to_lead_to_nothing_is_begun(machine, monkeypatch):
    monkeypatch.setattr(look, "answers", lambda host, port, banner: False)
    monkeypatch.setattr(look, "running", lambda pid_file: 0)
    message, hint, code = look.look_at(WANTED, machine)["problem"]
    assert code == "no-ssh-server" and "2222" in message and "reverse_ssh_port" in hint
