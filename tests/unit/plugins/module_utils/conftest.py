"""Fixtures that several of these tests stand on."""

import json
import os
from pathlib import Path

import pytest

from plugins.module_utils.provision import places
from plugins.module_utils.provision.tool.prefix import RECEIPT


@pytest.fixture
def installation(tmp_path, monkeypatch):
    """A machine of an ordinary user with an MRtrix3 of ours, and what the role would want of it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    prefix, links = tmp_path / ".local/opt/mrtrix3", tmp_path / ".local/bin"
    (prefix / "bin").mkdir(parents=True)
    links.mkdir()
    command = prefix / "bin" / "mrinfo"
    command.write_text("#!/bin/sh\necho '== mrinfo 3.0.8 =='\n")
    command.chmod(0o755)
    (links / "mrinfo").symlink_to(command)
    (prefix / RECEIPT).write_text("{}")
    report = {"prefix": str(prefix), "bin": str(prefix / "bin"), "origin": "source", "cpu": "x86-64-v3"}
    state = {"report": report, "version": "3.0.8", "commands": ["mrinfo"], "complete": True, "link_dir": str(links)}
    wanted = {
        "name": "mrtrix3", "version": "3.0.8", "release": "3.0.8", "prefix": "auto", "link_dir": "auto",
        "origins": ["present", "store", "archive", "package", "source"], "origin": "auto", "commands": [],
        "cpu": "auto", "state": "present", "store": "none", "folder": "", "archive": {"url": "", "sha256": ""},
        "tells": {"command": ["mrinfo", "-version"]}, "can_become": False,
    }  # fmt: skip
    machine = {"root": False, "home": str(tmp_path), "cache": str(tmp_path / ".cache/provision"), "store": ""}
    monkeypatch.setenv("PATH", str(links), prepend=os.pathsep)
    return prefix, links, state, wanted, machine


@pytest.fixture
def note():
    """Return a function that notes the state of a role, as its last run would have left it."""

    def write(role, state):
        folder = Path(places.state_folder())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{role}.json").write_text(json.dumps(state))

    return write
