"""The program that keeps the way open, with a stand-in for ssh."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import wait_until

PROGRAM = Path(__file__).resolve().parents[2] / "roles/reverse_ssh/files/reverse_tunnel.py"
CONFIG = {
    "gateway_user": "tunnel",
    "gateway_host": "gw.example.org",
    "gateway_port": 2200,
    "identity": "id_ed25519",
    "port": 0,
    "local_port": 2222,
}
# It forwards what its file `free` names, and any with 0. A connection begins once there is no file `hold`, and goes on
# until its file `drop` is there.
SSH = f"""#!{sys.executable} -IS
import os, sys, time
told = " ".join(sys.argv)
with open("told", "a") as file:
    print(told, file=file)
read = lambda name: open(name).read() if os.path.exists(name) else ""
if "-O forward" in told:
    port = sys.argv[sys.argv.index("-R") + 1].split(":")[1]
    if port != "0" and port not in read("free").split():
        sys.exit("mux_client_forward: remote port forwarding failed for listen port " + port)
    print(40001 if port == "0" else "")
else:
    print("debug1: so much", read("says"), sep="\\n", file=sys.stderr, flush=True)
    if os.path.exists("refuses"):
        sys.exit("tunnel@gw: Permission denied (publickey).")
    while os.path.exists("hold"):
        time.sleep(0.02)
    open("control", "w").close()
    while not os.path.exists("drop"):
        time.sleep(0.02)
    os.unlink("drop")
    os.unlink("control")
    sys.exit("Connection to gw closed by remote host.")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "reverse_tunnel.py").write_text(PROGRAM.read_text().replace("PATIENCE = 10.0", "PATIENCE = 0.6"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def start(folder):
    """A function that starts the program; what still runs at the end is killed."""
    started = []

    def start():
        started.append(
            subprocess.Popen(
                [sys.executable, "-IS", str(folder / "reverse_tunnel.py")], stdout=(folder / "log").open("a")
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def await_state(folder, **expected):
    """Return what the program has written down, once it says what is expected."""

    def written():
        state = json.loads((folder / "tunnel.json").read_text()) if (folder / "tunnel.json").exists() else {}
        return state if {name: state.get(name) for name in expected} == expected else None

    return wait_until(written)


def running(folder):
    """Return the processes that work in the folder."""
    return [name for name in os.listdir("/proc") if name.isdigit() and works_in(name, folder)]


def works_in(pid, folder):
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:
        return False


def test_the_port_that_the_gateway_gave_is_told_to_the_owner_alone(folder, start):
    begin = time.time()
    start()
    state = await_state(folder, port=40001, up=True, said=[])
    assert begin <= state["started"] <= time.time()
    assert stat.S_IMODE((folder / "tunnel.json").stat().st_mode) == 0o600


def test_a_new_connection_has_the_port_of_the_one_before_where_it_is_free(folder, start):
    (folder / "free").write_text("40001")
    (folder / "says").write_text("Welcome to gw, which is no reason for anything.")
    start()
    started = await_state(folder, up=True)["started"]
    (folder / "hold").touch()
    (folder / "drop").touch()
    await_state(folder, up=False, port=40001, said=["Connection to gw closed by remote host."])
    (folder / "hold").unlink()
    assert await_state(folder, up=True)["started"] == started
    assert (folder / "told").read_text().count("-R 127.0.0.1:40001:127.0.0.1:2222") == 1


def test_a_new_process_asks_for_the_port_of_the_one_before_and_takes_another_when_that_stays_taken(folder, start):
    (folder / "tunnel.json").write_text(json.dumps({"port": 40009}))
    program = folder / "reverse_tunnel.py"
    program.write_text(program.read_text().replace("PATIENCE = 0.6", "PATIENCE = 4.0"))  # to ask more than once
    start()
    await_state(folder, port=40001, up=True)
    asked = (folder / "told").read_text()
    assert asked.count("-R 127.0.0.1:40009:") > 1 and asked.count("-R 127.0.0.1:0:") == 1


def test_a_port_that_was_asked_for_is_waited_for_and_no_other_is_taken(folder, start):
    (folder / "config.json").write_text(json.dumps({**CONFIG, "port": 2345}))
    (folder / "tunnel.json").write_text(json.dumps({"port": 40009}))
    (folder / "free").write_text("40009")
    start()
    state = await_state(folder, up=False, port=40009)
    assert state["said"] == ["mux_client_forward: remote port forwarding failed for listen port 2345"]
    (folder / "free").write_text("2345")
    await_state(folder, port=2345, up=True)


def test_what_ssh_says_is_told_when_it_does_not_get_in(folder, start):
    (folder / "refuses").touch()
    start()
    assert await_state(folder, up=False, port=0)["said"] == ["tunnel@gw: Permission denied (publickey)."]
    (folder / "refuses").unlink()
    await_state(folder, up=True)


def test_a_gateway_that_would_open_the_port_to_everybody_is_left_at_once(folder, start):
    said = 'debug1: Remote: Forwarding listen address "127.0.0.1" overridden by server GatewayPorts'
    (folder / "says").write_text(said)
    start()
    assert await_state(folder, up=False)["said"] == [said]
    assert "up at port" not in (folder / "log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ssh_ends_with_the_program(folder, start, number):
    process = start()
    await_state(folder, up=True)
    assert len(running(folder)) == 2
    process.send_signal(number)
    assert process.wait(60) == (0 if number == signal.SIGTERM else -9)
    wait_until(lambda: not running(folder))


def test_ssh_has_no_settings_but_ours_asks_nothing_and_trusts_no_unknown_host(folder, start):
    start()
    await_state(folder, up=True)
    told = (folder / "told").read_text().splitlines()[0]
    for words in (
        "-F none",
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=known_hosts",
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "IdentityFile=id_ed25519",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=3",
    ):
        assert words in told
    assert told.endswith("-p 2200 -l tunnel gw.example.org")
