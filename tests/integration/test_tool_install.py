"""Putting an MRtrix3 in its place, killed before any of its steps."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import channel
import pytest

pytest.importorskip("ansible")

from plugins.module_utils.provision.tool import mrtrix3, prefix

from ..unit.plugins.module_utils.tool.file_systems import no_exchange, of_an_image
from ..unit.plugins.modules.built_tree import (
    ROOT,
    TOOL,
    _shell_scripts_are_compiled,  # noqa: F401
    build,
    everything,
    given,  # noqa: F401
    library,
    shelf,  # noqa: F401
    snapshot,
    tree,  # noqa: F401
    wanted,  # noqa: F401
)
from .killed import ended_at


@pytest.mark.parametrize("earlier", [True, False], ids=["earlier", "first"])
def test_an_installer_killed_before_any_step_leaves_the_old_or_the_new_whole(wanted, shelf, tmp_path, earlier):
    whole = []
    for text in ("new", "old"):
        build(shelf, text, created_for=text)
        TOOL.restore(wanted)
        whole.append(everything(Path(wanted["prefix"])))
    build(shelf, "new", created_for="new")
    ended, step = False, 0
    while not ended:
        step += 1
        if not earlier:
            shutil.rmtree(wanted["prefix"], ignore_errors=True)
        assert step < 500  # what the killed ones have left must not be more and more to do
        ended = ended_at(step, lambda: TOOL.restore(wanted))
        if earlier or os.path.exists(wanted["prefix"]):
            assert library(wanted) in ("old", "new")
            now = everything(Path(wanted["prefix"]))
            for names in (now, *whole):
                names.pop("manifest.json", None)  # which tells when it was packed
            assert now in whole
    assert step > 10
    assert library(wanted) == "new"
    assert os.listdir(tmp_path / "opt") == ["mrtrix3"]
    assert json.loads(Path(wanted["state_file"]).read_text())["report"]["origin"] == "store"


@pytest.fixture(params=["one step", "in steps", "image"])
def kernel(request, monkeypatch):
    """A file system that exchanges two folders in one step, one that does not, one that cannot rename some at all."""
    if request.param != "one step":
        no_exchange(monkeypatch, errno.EXDEV)
    if request.param == "image":
        of_an_image(monkeypatch, "/opt/mrtrix3")
    return request.param


@pytest.fixture
def quick(monkeypatch):
    """Take the commands for working, whose trial is no step that matters here."""
    monkeypatch.setattr(mrtrix3, "try_commands", lambda *_, **__: "3.0.8")


def clean(tmp_path):
    """Tell whether nothing of an installation is there."""
    return not any(snapshot(tmp_path / name) for name in ("opt", "data", "links", "state", "profile.d"))


@pytest.mark.parametrize("lost", [False, True], ids=["noted", "notes lost"])
def test_a_removal_killed_before_any_step_is_ended_by_the_next(given, tmp_path, kernel, lost, quick):
    if lost and kernel == "image":
        pytest.skip("an empty folder may be left, of which nobody knows")
    ended, step = False, 0
    while not ended:
        TOOL.install(given)
        if lost:
            os.unlink(given["state_file"])
        step += 1
        ended = ended_at(step, lambda: TOOL.remove(given))
        assert prefix.prefix_problem(given["prefix"]) == ""
        TOOL.remove(given)
        assert clean(tmp_path), step
    assert step > 5


def test_an_installation_from_conda_packages_killed_before_any_step_is_ended_by_the_next(
    given, tmp_path, quick, monkeypatch
):
    monkeypatch.setattr(mrtrix3, "is_elf", lambda path: b"# compiled" in Path(path).read_bytes())
    programs = {"bin/mrinfo": b"#!/bin/sh\n# compiled\n", "share/x": b"x"}
    package = channel.made(tmp_path / "channel", "mrtrix3", programs, version="3.0.8")
    packages = {
        **given, "tree": None, "origin": "conda", "mirror": "", "near": {}, "cache": str(tmp_path / "data"), "keep": "",
        "lock": channel.lock("mrtrix3", package, version="3.0.8"),
    }  # fmt: skip
    ended, step = False, 0
    while not ended:
        step += 1
        ended = ended_at(step, lambda: TOOL.install(dict(packages)))
        TOOL.install(dict(packages))
        assert sorted(os.listdir(tmp_path / "links")) == ["mrinfo"] and os.listdir(tmp_path / "opt") == ["mrtrix3"]
        TOOL.remove(given)
        assert clean(tmp_path), step
    assert step > 5


@pytest.mark.parametrize("then", ["remove", "install"])
def test_a_first_installation_killed_before_any_step_is_removed_or_ended_by_the_next(given, tmp_path, then, quick):
    ended, step = False, 0
    while not ended:
        step += 1
        ended = ended_at(step, lambda: TOOL.install(given))
        if then == "install":
            TOOL.install(given)
            assert sorted(os.listdir(tmp_path / "links")) == ["dwi2response", "mrinfo"]
        TOOL.remove(given)
        assert clean(tmp_path), step
    assert step > 5


def test_a_replacement_in_another_place_killed_before_any_step_leaves_one_installation(given, tmp_path, kernel, quick):
    there = {**given, "prefix": str(tmp_path / "data/mrtrix3"), "link_dir": str(tmp_path / "links/other")}
    ended, step = False, 0
    while not ended:
        TOOL.install(given)
        step += 1
        ended = ended_at(step, lambda: TOOL.install(there))
        for place in (given, there):
            assert prefix.prefix_problem(place["prefix"]) == ""
        state = TOOL.install(there if step % 2 else given)
        assert [path.name for path in tmp_path.glob("*/mrtrix3/bin")] == ["bin"]
        assert "pending" not in json.loads(Path(given["state_file"]).read_text())
        links = [path for path in (tmp_path / "links").rglob("*") if path.is_symlink()]
        assert {os.readlink(path) for path in links} == {
            os.path.join(state["report"]["bin"], name) for name in state["commands"]
        }
        TOOL.remove(given)
        shutil.rmtree(tmp_path / "links")
    assert step > 10


# Is killed while it writes a file: argv is where the modules are, and the file.
HALF_WRITER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from plugins.module_utils.provision.files import write_json
os.replace = lambda *_: os.kill(os.getpid(), 9)
write_json(sys.argv[2], {})
"""


def test_notes_that_a_killed_run_has_half_written_are_deleted_by_the_next(given, tmp_path):
    subprocess.run([sys.executable, "-c", HALF_WRITER, ROOT, given["state_file"]], check=False)
    assert len(os.listdir(tmp_path / "state")) == 1
    TOOL.install(given)
    assert os.listdir(tmp_path / "state") == ["mrtrix3.json"]
