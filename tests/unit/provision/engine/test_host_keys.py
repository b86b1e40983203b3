"""What is said of a host whose key is unknown: its fingerprint where it can be had, with doubles of ssh's programs."""

import base64
import hashlib

import pytest

from provision.engine import host_keys

KEY = base64.b64encode(b"a key").decode()
PRINT = "SHA256:" + base64.b64encode(hashlib.sha256(b"a key").digest()).decode().rstrip("=")


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """Return a function that puts doubles of ssh and ssh-keyscan on PATH, and the file with how they were called."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(config="", keys=f"10.0.0.1 ecdsa-sha2-nistp256 AAAA\n10.0.0.1 ssh-ed25519 {KEY}\n", code=0):
        for name, text in (
            ("ssh", f"hostname 10.0.0.1\nport 2222\nuserknownhostsfile ~/.ssh/known_hosts ~/2\n{config}"),
            ("ssh-keyscan", keys),
        ):
            (tmp_path / name).write_text(f"#!/bin/sh\necho {name} \"$@\" >> {tmp_path}/called\ncat <<'X'\n{text}X\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "ssh").write_text((tmp_path / "ssh").read_text() + f"exit {code}\n")
        return tmp_path / "called"

    return make


def test_the_fingerprint_that_the_host_offers_and_the_command_that_accepts_it_are_named(ssh):
    called = ssh()
    variables = {"ansible_host": "node.example.org", "ansible_port": 2222, "ansible_user": "me"}
    message, hint = host_keys.explained({"one": variables})["one"]
    assert PRINT in message and message.startswith("one ")
    assert "`ssh-keyscan -p 2222 -t ed25519 10.0.0.1 >> ~/.ssh/known_hosts`" in hint
    first, second = called.read_text().splitlines()
    assert first == "ssh -G -p 2222 -l me node.example.org"
    assert second.endswith("-p 2222 -t ed25519,ecdsa,rsa -- 10.0.0.1") and " -T " in second


@pytest.mark.parametrize(
    "how",
    [
        {"config": "proxyjump gate\n"},
        {"config": "proxycommand nc gate\n"},
        {"config": "hostkeyalias other\n"},
        {"keys": ""},
        {"keys": "# a comment\n"},
        {"keys": "10.0.0.1 ssh-ed25519 ?\n"},
        {"code": 255},
    ],
)
def test_where_the_key_cannot_be_had_there_is_no_fingerprint_but_advice(ssh, how):
    ssh(**how)
    message, hint = host_keys.explained({"one": {"ansible_user": "me"}})["one"]
    assert "SHA256" not in message and "`ssh -l me one`" in hint


def test_without_ssh_there_is_advice_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(host_keys.explained({"one": {}, "two": {}})) == ["one", "two"]


def test_a_host_whose_address_only_ansible_knows_is_named_without_it(ssh):
    called = ssh()
    message, hint = host_keys.explained({"one": {"ansible_host": "{{ inventory_hostname }}.lab"}})["one"]
    assert message.startswith("one ") and "{{" not in hint and not called.exists()
