"""What ngrok's agent is told."""

from __future__ import annotations

import subprocess

import pytest

from plugins.modules import ngrok_configuration as configure

TOKEN = "2Nq9771bPxe8ctg7LKr_2ClH7Y15Zqe4bWLWF9p"
GIVEN = {"port": 2222, "remote_addr": "", "region": "", "server_addr": "", "root_cas": ""}


def test_agents_of_version_3_get_the_form_of_version_3():
    found = configure.configuration({**GIVEN, "agent_version": "3.39.10", "region": "eu"}, TOKEN)
    assert (found["version"], found["agent"]["authtoken"]) == (3, TOKEN)
    assert found["agent"]["connect_url"] == "connect.eu.ngrok-agent.com:443"
    assert found["endpoints"] == [{"name": "ssh", "url": "tcp://", "upstream": {"url": "tcp://127.0.0.1:2222"}}]
    assert "crl_noverify" not in found["agent"]


@pytest.mark.parametrize("version", ["2.3.41", "3.15.0"])
def test_older_agents_get_the_form_of_version_2(version):
    given = {**GIVEN, "agent_version": version, "remote_addr": "1.tcp.ngrok.io:12345", "server_addr": "a:1"}
    found = configure.configuration(given, TOKEN)
    assert (found["version"], found["authtoken"], found["server_addr"]) == ("2", TOKEN, "a:1")
    tunnel = {"proto": "tcp", "addr": "127.0.0.1:2222", "remote_addr": "1.tcp.ngrok.io:12345"}
    assert found["tunnels"] == {"ssh": tunnel} and "region" not in found


@pytest.mark.parametrize("version", ["2.3.41", "3.39.10"])
def test_no_agent_opens_its_local_api_or_lets_itself_be_managed_or_updated(version):
    found = configure.configuration({**GIVEN, "agent_version": version}, TOKEN)
    settings = found.get("agent", found)
    assert not any(settings[name] for name in ("web_addr", "remote_management", "update_check", "console_ui"))
    assert settings["log_level"] == "info"


@pytest.mark.parametrize("token", [TOKEN, r"a/b\c.d*e[f]g^h$i&j|k"])
def test_the_token_is_taken_out_of_what_is_printed_wherever_it_stands(tmp_path, token):
    (tmp_path / "redact.sed").write_text(configure.redaction(token))
    text = f"Your authtoken: {token}\\nand {token}\n"
    done = subprocess.run(["sed", "-u", "-f", tmp_path / "redact.sed"], input=text, capture_output=True, text=True)
    assert done.stdout == "Your authtoken: ***\\nand ***\n"
