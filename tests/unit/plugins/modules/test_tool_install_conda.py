"""Installing the conda packages of a lock: complete, tested first, and with nothing left of a failure."""

import json
import os
from pathlib import Path

import channel
import pytest
from channel import PLACEHOLDER

from plugins.module_utils.provision.failures import Problem
from plugins.module_utils.provision.tool import mrtrix3
from plugins.module_utils.provision.tool.described import Described
from plugins.modules import tool_install

from .built_tree import ABOUT, MRINFO, RESPONSE, run_module, snapshot

TOOL = mrtrix3.MRtrix3({**ABOUT, "hidden": ["mrview"]})


@pytest.fixture
def locked(given, tmp_path, monkeypatch):
    """The module's options for the packages of a lock."""
    monkeypatch.setattr(mrtrix3, "is_elf", lambda path: b"# compiled" in Path(path).read_bytes())
    place = tmp_path / "channel"
    library = channel.made(place, "libx", {"lib/libx.so": b"\x7fELF", "bin/xtool": b"#!/bin/sh\n"})
    programs = {"mrinfo": MRINFO, "mrview": MRINFO, "dwi2response": RESPONSE}
    files = {f"bin/{name}": text.encode() for name, text in programs.items()}
    files["share/x.cfg"] = ("text", f"{PLACEHOLDER}/share".encode())
    tool = channel.made(place, "mrtrix3", files, version="3.0.8")
    return {
        **given, "tree": None, "origin": "conda", "mirror": "", "near": {}, "cache": str(tmp_path / "cache"),
        "keep": str(tmp_path / "store"), "lock": channel.lock("mrtrix3", library, tool, version="3.0.8"),
    }  # fmt: skip


def test_the_commands_of_the_tool_are_linked_and_no_others(locked, tmp_path):
    state = TOOL.install(locked)
    prefix = tmp_path / "opt/mrtrix3"
    assert sorted(os.listdir(prefix)) == [".provision.json", "bin", "env"]
    assert state["commands"] == ["mrinfo", "dwi2response"]
    assert sorted(os.listdir(prefix / "bin")) == ["dwi2response", "mrinfo"]
    assert os.readlink(prefix / "bin/mrinfo") == "../env/bin/mrinfo" and (prefix / "env/bin/xtool").exists()
    assert (prefix / "env/share/x.cfg").read_text() == f"{prefix}/env/share"
    assert sorted(os.listdir(tmp_path / "links")) == ["dwi2response", "mrinfo"]


def test_what_was_installed_is_reported_and_noted(locked):
    state = TOOL.install(locked)
    report = state["report"]
    assert (report["version"], report["origin"], report["cpu"]) == ("3.0.8", "conda", "x86-64")
    assert state["complete"] and len(state["lock"]) == 64
    assert json.loads(Path(locked["state_file"]).read_text()) == state


def test_packages_stay_in_the_store_and_nowhere_else(locked, tmp_path):
    TOOL.install(locked)
    assert len(os.listdir(tmp_path / "store/packages")) == 2 and not (tmp_path / "cache/packages").exists()


@pytest.mark.parametrize(
    "damage, code",
    [
        (lambda entry: entry.update(sha256="0" * 64), "wrong-checksum"),
        (lambda entry: Path(entry["url"].removeprefix("file://")).unlink(), "no-file"),
        (lambda entry: entry.update(channel.entry("libx", _hostile(entry))), "unsafe-archive"),
        (lambda entry: entry.update(channel.entry("libx", _cut(entry))), ""),
    ],
    ids=["digest", "gone", "hostile", "cut"],
)
@pytest.mark.parametrize("earlier", [False, True], ids=["first", "earlier"])
def test_a_bad_package_leaves_what_was_there(locked, given, tree, tmp_path, damage, code, earlier):
    if earlier:
        TOOL.install({**given, "tree": str(tree)})
    before = snapshot(tmp_path / "opt") if (tmp_path / "opt").exists() else []
    damage(locked["lock"]["packages"][0])
    with pytest.raises(Problem) as caught:
        TOOL.install(locked)
    assert caught.value.code == (code or caught.value.code) and caught.value.message.endswith(".")
    assert snapshot(tmp_path / "opt") == before


def _hostile(entry):
    path = Path(entry["url"].removeprefix("file://"))
    channel.made(path.parents[1], "evil", {}, members={"../../../out": b"x"})
    return path.with_name("evil-1.0-0.conda")


def _cut(entry):
    path = Path(entry["url"].removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:-200])
    return path


def test_packages_whose_commands_do_not_run_are_not_installed(locked, tmp_path):
    files = {"bin/mrinfo": b"#!/bin/sh\n# compiled\nexit 1\n"}
    broken = channel.made(tmp_path / "channel", "mrtrix3", files, version="3.0.8")
    locked["lock"]["packages"][1] = broken
    with pytest.raises(Problem) as caught:
        TOOL.install(locked)
    assert caught.value.code == "does-not-run" and os.listdir(tmp_path / "opt") == []


def test_another_version_than_the_lock_says_is_refused(locked):
    with pytest.raises(Problem) as caught:
        TOOL.install({**locked, "version": "3.0.4"})
    assert caught.value.code == "other-version"


def test_a_tool_described_as_data_has_the_commands_it_names(locked, tmp_path):
    about = {
        "name": "mrtrix3", "title": "MRtrix3", "commands": ["dwi2response"], "environment": {"HERE": "PREFIX/env"},
        "tells": {"command": ["mrinfo"], "pattern": r"(3\S+)"},
    }  # fmt: skip
    with pytest.raises(Problem):  # the command that tells the version is not among them
        Described(about).install(locked)
    about["commands"].append("mrinfo")
    state = Described(about).install(locked)
    assert sorted(state["commands"]) == ["dwi2response", "mrinfo"]
    assert state["report"]["environment"] == {"HERE": str(tmp_path / "opt/mrtrix3/env")}


def test_the_module_installs_and_removes_them(locked, capsys, tmp_path):
    options = {name: value for name, value in locked.items() if value is not None}
    _, answer = run_module(tool_install, capsys, **options)
    assert answer["changed"] and answer["report"]["origin"] == "conda"
    place = {name: options[name] for name in ("tool", "prefix", "link_dir", "state_file")}
    run_module(tool_install, capsys, **place, state="absent")
    assert os.listdir(tmp_path / "opt") == os.listdir(tmp_path / "links") == []
