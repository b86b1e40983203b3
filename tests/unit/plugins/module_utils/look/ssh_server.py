"""What the role sshd is to set up for an ordinary user, and the machine it is for."""

from __future__ import annotations

import os
import pwd
from collections import namedtuple

import pytest
from ports import free_port

from plugins.module_utils.provision import places
from plugins.module_utils.provision.look import login
from plugins.module_utils.provision.look import sshd as look

from .public_keys import KEY as KEY

AT_CORP = "jane@corp.example"
FakeEntry = namedtuple("FakeEntry", "pw_name pw_uid pw_dir pw_shell")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What the role would want, and a machine on which this user may let themselves in."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for module in (places, look):
        monkeypatch.setattr(module, "state_folder", lambda: str(tmp_path / "state"))
    me = pwd.getpwuid(os.getuid())
    entries = {name: FakeEntry(name, me.pw_uid, str(tmp_path), "/bin/sh") for name in (me.pw_name, AT_CORP)}
    monkeypatch.setattr(login, "passwd_entry", entries.get)
    monkeypatch.setattr(login, "shadow_entry", lambda user: {})
    wanted = {
        "port": free_port(),
        "listen_addresses": ["127.0.0.1"],
        "user": "auto",
        "authorized_keys": [KEY],
        "with_password": False,
        "environment": {},
        "host": "",
        "state": "started",
        "form": "one",
    }
    return wanted, {"root": False, "home": str(tmp_path), "state": str(tmp_path / "state")}


def speaks_against(server, **changes):
    wanted, machine = server
    return look.look_at({**wanted, **changes}, machine)["problem"]
