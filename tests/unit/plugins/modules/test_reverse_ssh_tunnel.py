"""What a failure of ssh is said to mean."""

from __future__ import annotations

import json

import pytest

from plugins.modules import reverse_ssh_tunnel as module

from .built_tree import run_module


@pytest.mark.parametrize(
    ("said", "code", "value"),
    [
        (
            ["@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "Host key verification failed."],
            "gateway-key-changed",
            "reverse_ssh_known_hosts",
        ),
        (
            [
                "No ED25519 host key is known for gw and you have requested strict checking.",
                "Host key verification failed.",
            ],
            "gateway-key-unknown",
            "reverse_ssh_known_hosts",
        ),
        (["Debian GNU/Linux 13", "tunnel@gw: Permission denied (publickey,password)."], "gateway-refuses-key", ""),
        (["ssh: Could not resolve hostname gw: Name or service not known"], "gateway-not-found", ""),
        (["ssh: connect to host gw port 22: Connection refused"], "gateway-unreachable", "Connection refused"),
        (["ssh: connect to host gw port 22: Connection timed out"], "gateway-unreachable", "Connection timed out"),
        (
            ["kex_exchange_identification: read: Connection reset by peer"],
            "gateway-unreachable",
            "Connection reset by peer",
        ),
        (
            ['debug1: Remote: Forwarding listen address "127.0.0.1" overridden by server GatewayPorts'],
            "gateway-opens-to-all",
            "",
        ),
        (
            ["mux_client_forward: forwarding request failed: remote port forwarding failed for listen port 0"],
            "gateway-forwards-nothing",
            "",
        ),
        (
            ["mux_client_forward: forwarding request failed: remote port forwarding failed for listen port 2345"],
            "gateway-port-taken",
            "2345",
        ),
        (["The moon is full."], "gateway-failed", "The moon is full."),
    ],
)
def test_what_ssh_says_becomes_a_sentence_and_what_to_do(said, code, value):
    message, hint, kind = module.explain(said, gateway="tunnel@gw", port=2345, authorize="LINE", log="/log")
    assert kind == code and value in message and "tunnel@gw" in message
    assert message.endswith(".") and hint and "{" not in message + hint
    assert ("LINE" in hint) == (code in ("gateway-refuses-key", "gateway-forwards-nothing", "gateway-port-taken"))


def test_what_the_program_tells_of_its_failure_is_what_ssh_said(tmp_path):
    ready = module.forwarding(str(tmp_path / "tunnel.json"))
    assert not ready()
    (tmp_path / "tunnel.json").write_text(json.dumps({"port": 40001, "up": True, "said": []}))
    assert ready()
    (tmp_path / "tunnel.json").write_text(json.dumps({"port": 0, "up": False, "said": ["first", "last"]}))
    with pytest.raises(module.Refused) as error:
        ready()
    error.value.lines = ["the log"]  # as one that was started has it set
    assert error.value.said == ["first", "last"]


def test_a_tunnel_whose_time_is_up_before_it_is_open_is_said_to_have_had_too_little(tmp_path, capsys):
    (tmp_path / "reverse_tunnel.py").write_text("import time; time.sleep(60)")
    given = {"folder": str(tmp_path), "max_seconds": 1, "gateway": "tunnel@gw", "identity": "key"}
    _code, answer = run_module(module, capsys, **given)
    assert answer["code"] == "tunnel-closed" and "reverse_ssh_max_seconds" in answer["msg"]
    assert not (tmp_path / "reverse_ssh.pid").exists()
