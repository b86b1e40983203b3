"""What a failure of ssh is said to mean."""

from __future__ import annotations

import json

import pytest

from plugins.modules import reverse_ssh_tunnel as module


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "Host key verification failed."], "another host key"),
        (
            [
                "No ED25519 host key is known for gw and you have requested strict checking.",
                "Host key verification failed.",
            ],
            "of which reverse_ssh_known_hosts has no line",
        ),
        (["Debian GNU/Linux 13", "tunnel@gw: Permission denied (publickey,password)."], "refuses this machine's key"),
        (["ssh: Could not resolve hostname gw: Name or service not known"], "cannot be resolved"),
        (["ssh: connect to host gw port 22: Connection refused"], "cannot be reached: Connection refused."),
        (["ssh: connect to host gw port 22: Connection timed out"], "cannot be reached"),
        (["kex_exchange_identification: read: Connection reset by peer"], "cannot be reached"),
        (['debug1: Remote: Forwarding listen address "127.0.0.1" overridden by server GatewayPorts'], "to everybody"),
        (
            ["mux_client_forward: forwarding request failed: remote port forwarding failed for listen port 0"],
            "forwards no port",
        ),
        (
            ["mux_client_forward: forwarding request failed: remote port forwarding failed for listen port 2345"],
            "does not forward the port 2345",
        ),
        (["The moon is full."], "could not be used: The moon is full."),
    ],
)
def test_what_ssh_says_becomes_a_sentence_and_what_to_do(said, words):
    message, hint, code = module.explain(said, gateway="tunnel@gw", port=2345, authorize="LINE", log="/log")
    assert code.startswith("gateway-")
    assert words in message and message.endswith(".") and hint and "{" not in message + hint
    assert ("LINE" in hint) == ("refuses" in message or "forward the port" in message or "no port" in message)


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
