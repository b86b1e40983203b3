"""What the probe finds out of an SSH server that runs, or of what has taken its port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading

import pytest

from plugins.module_utils.provision import alive
from plugins.module_utils.provision.look import sshd as look

from ..unit.plugins.module_utils.look.ssh_server import server  # noqa: F401


def test_a_port_that_our_own_server_has_taken_is_no_problem(server, monkeypatch):
    # Nothing is noted of it, as after a run that was interrupted when it had started the server.
    wanted, machine = server
    with socket.create_server(("127.0.0.1", wanted["port"])), subprocess.Popen(["sleep", "100"]) as other:
        for pid, codes in ((os.getpid(), []), (other.pid, ["port-taken"]), (0, ["port-taken"])):
            monkeypatch.setattr(look, "running", lambda pid_file, pid=pid: pid)
            assert look.look_at(wanted, machine)["problem"][2:] == codes
        other.kill()


@pytest.mark.parametrize("case", ["stopped", "ended", "deaf", "works"])
def test_it_is_told_whether_the_server_runs_and_answers(server, tmp_path, case):
    wanted, _ = server
    folder = tmp_path / "state/sshd"
    folder.mkdir(parents=True)
    (tmp_path / "state/sshd.json").write_text(json.dumps({"wanted": wanted}))
    me = {"pid": os.getpid(), "boot": alive.boot_id(), "start": alive.process(os.getpid())["start"]}
    if case != "stopped":
        (folder / "sshd.pid").write_text(json.dumps(me if case in ("deaf", "works") else {**me, "start": 1}))
    with socket.create_server(("127.0.0.1", wanted["port"])) as listening:
        if case == "works":
            threading.Thread(target=lambda: listening.accept()[0].sendall(b"SSH-2.0-made up\r\n")).start()
        found = look.now("sshd", {"port": wanted["port"]})
    state, works, word = {
        "stopped": ("stopped", False, ""),
        "ended": ("started", False, "ended"),
        "deaf": ("started", False, "answer"),
        "works": ("started", True, ""),
    }[case]
    assert (found["state"], found["works"], "problem" in found) == (state, works, bool(word))
    assert word in found.get("problem", "")
