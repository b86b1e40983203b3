"""Putting an MRtrix3 in its place, with shell scripts of our own for its compiled commands."""

import builtins
import errno
import io
import json
import os
import random
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
import zstandard

from plugins.module_utils.provision.reading import sha256_of
from plugins.module_utils.provision.store import read
from plugins.module_utils.provision.store.choose import candidates
from plugins.module_utils.provision.store.errors import BadArchive, unreadable
from plugins.module_utils.provision.store.manifest import MANIFEST
from plugins.module_utils.provision.store.names import key_of
from plugins.module_utils.provision.store.pack import pack
from plugins.module_utils.provision.store.read import Source, read_archive
from plugins.module_utils.provision.tool import install as shared
from plugins.module_utils.provision.tool import mrtrix3, prefix
from plugins.modules import tool_install as install

from .built_tree import (
    ABOUT,
    KEY,
    MACHINE,
    MRINFO,
    RESPONSE,
    TOOL,
    asked,
    build,
    everything,
    library,
    run_module,
    snapshot,
)


def test_only_what_runs_is_installed_and_reported(given, tmp_path):
    report = TOOL.install(given)["report"]
    assert report["version"] == "3.0.8"
    assert report["bin"] == str(tmp_path / "opt/mrtrix3/bin")
    assert sorted(os.listdir(given["prefix"])) == [".provision.json", "bin", "lib", "manifest.json", "share"]
    assert "opt/mrtrix3/lib/mrtrix3/__pycache__" not in snapshot(tmp_path)
    assert os.listdir(tmp_path / "opt") == ["mrtrix3"]


def test_every_command_gets_a_link_and_helpers_get_none(given, tmp_path):
    TOOL.install(given)
    assert sorted(os.listdir(tmp_path / "links")) == ["dwi2response", "mrinfo"]


def test_python_commands_ask_for_python3(given):
    TOOL.install(given)
    with open(os.path.join(given["prefix"], "bin", "dwi2response")) as file:
        assert file.readline() == "#!/usr/bin/env python3\n"


def test_a_command_that_does_not_run_leaves_what_was_there(given, tree, tmp_path):
    TOOL.install(given)
    before = snapshot(tmp_path / "opt")
    (tree / "bin" / "dwi2response").write_text("#!/usr/bin/env python\nimport no_such_module\n")
    with pytest.raises(shared.InstallError) as caught:
        TOOL.install(given)
    assert caught.value.code == "does-not-run"
    assert "dwi2response" in caught.value.message and "ModuleNotFoundError" in caught.value.message
    assert snapshot(tmp_path / "opt") == before


def test_another_version_than_the_one_wanted_is_refused(given, tmp_path):
    with pytest.raises(shared.InstallError) as caught:
        TOOL.install({**given, "version": "3.0.9"})
    assert caught.value.code == "other-version"
    assert "3.0.8" in caught.value.message and "3.0.9" in caught.value.message
    assert not (tmp_path / "opt" / "mrtrix3").exists()


def test_a_branch_is_not_held_to_its_name(given):
    state = TOOL.install({**given, "version": "dev"})
    assert (state["version"], state["report"]["version"]) == ("dev", "3.0.8")


def test_a_prefix_with_somebody_elses_files_is_refused_and_kept(given, tmp_path):
    (tmp_path / "opt" / "mrtrix3").mkdir(parents=True)
    (tmp_path / "opt" / "mrtrix3" / "thesis.tex").write_text("precious")
    with pytest.raises(shared.InstallError) as caught:
        TOOL.install(given)
    assert caught.value.code == "prefix" and given["prefix"] in caught.value.message
    assert snapshot(tmp_path / "opt") == ["mrtrix3", "mrtrix3/thesis.tex"]


def test_a_file_in_the_link_folder_is_left_alone_and_told(given, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "mrinfo").write_text("mine")
    assert TOOL.install(given)["left_alone"] == ["mrinfo"]
    assert (tmp_path / "links" / "mrinfo").read_text() == "mine"


def test_a_link_of_somebodys_that_leads_nowhere_now_is_left_alone_and_told(given, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "mrinfo").symlink_to("/not/mounted/bin/mrinfo")
    assert TOOL.install(given)["left_alone"] == ["mrinfo"]
    TOOL.remove(given)
    assert os.readlink(tmp_path / "links" / "mrinfo") == "/not/mounted/bin/mrinfo"


def test_absent_removes_what_was_put_there_and_nothing_else(given, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "mine").write_text("mine")
    (tmp_path / "opt").mkdir()
    TOOL.install(given)
    TOOL.remove(given)
    assert snapshot(tmp_path / "links") == ["mine"]
    assert snapshot(tmp_path / "opt") == []
    assert snapshot(tmp_path / "state") == []


def test_absent_finds_an_installation_whose_notes_are_lost(given, tmp_path):
    TOOL.install(given)
    os.unlink(given["state_file"])
    TOOL.remove(given)
    assert snapshot(tmp_path / "links") == []
    assert snapshot(tmp_path / "opt") == []


def test_another_prefix_takes_the_old_one_away(given, tmp_path):
    TOOL.install(given)
    TOOL.install({**given, "prefix": str(tmp_path / "elsewhere")})
    assert not (tmp_path / "opt" / "mrtrix3").exists()
    assert os.readlink(tmp_path / "links" / "mrinfo") == str(tmp_path / "elsewhere/bin/mrinfo")


@pytest.mark.parametrize("top", [".", "mrtrix3-3.0.8"])
def test_an_archive_may_have_its_files_at_the_top_or_in_one_folder(given, tree, tmp_path, top):
    with tarfile.open(tmp_path / "build.tar.gz", "w:gz") as tar:
        for name in ("bin", "lib", "share"):
            tar.add(tree / name, f"{top}/{name}")
    state = TOOL.install({**given, "tree": None, "archive": str(tmp_path / "build.tar.gz"), "origin": "archive"})
    assert state["report"]["origin"] == "archive"


def test_an_archive_of_something_else_is_refused(given, tree, tmp_path):
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as tar:
        tar.add(tree / "share", "share")
    with pytest.raises(shared.InstallError) as caught:
        TOOL.install({**given, "tree": None, "archive": str(tmp_path / "other.tar.gz")})
    assert caught.value.code == "not-a-build" and str(tmp_path / "other.tar.gz") in caught.value.message
    assert not (tmp_path / "opt" / "mrtrix3").exists()


def test_all_files_of_a_build_have_one_time_so_that_building_a_module_makes_none_of_them_again(given, tree, tmp_path):
    for name, age in (("share/old", 9000), ("lib/new", 0)):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("")
        os.utime(tree / name, (time.time() - age,) * 2)
    TOOL.install(given)
    files = [path for path in (tmp_path / "opt/mrtrix3").rglob("*") if path.is_file() and "." not in path.name]
    assert len(files) > 3
    assert len({path.stat().st_mtime_ns for path in files}) == 1


def test_an_mrtrix3_that_is_there_stays_where_it_is(given, tree):
    (tree / "bin" / "dwi2response").write_text(RESPONSE.replace("env python", "env python3"))
    state = TOOL.install({**given, "tree": None, "bin": str(tree / "bin"), "origin": "present", "version": "any"})
    assert state["report"]["bin"] == str(tree / "bin")
    TOOL.remove(given)
    assert (tree / "bin" / "mrinfo").exists()


# --- Whatever the umask -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o027, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder):
    """Return {name: mode} of all below a folder but links."""
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o7777 for path in folder.rglob("*")
        if not path.is_symlink()
    }  # fmt: skip


def plain(folder):
    """Return {name: mode} of all below a folder, as it is in a package."""
    return {
        str(path.relative_to(folder)): 0o755 if path.is_dir() or path.name in ("mrinfo", "dwi2response") else 0o644
        for path in folder.rglob("*") if not path.is_symlink()
    }  # fmt: skip


def test_what_is_made_has_the_modes_of_a_package_and_what_was_there_keeps_its_own(given, tree, tmp_path, umask):
    for path in (tree / "bin/mrinfo", tree / "lib", tree / "lib/mrtrix3"):
        path.chmod(0o700)
    (tree / "bin/mrtrix3.py").chmod(0o600)
    (tree / "share/open").write_text("x")
    (tree / "share/open").chmod(0o666)
    (tmp_path / "a").mkdir(mode=0o710)
    (tmp_path / "a").chmod(0o710)
    TOOL.install({
        **given, "prefix": str(tmp_path / "a/opt/mrtrix3"), "link_dir": str(tmp_path / "a/links/bin"),
        "state_file": str(tmp_path / "a/state/provision/mrtrix3.json"),
    })  # fmt: skip
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o710
    found, expected = modes(tmp_path / "a"), plain(tmp_path / "a")
    expected["opt/mrtrix3/bin/mrtrix3.py"] = 0o644
    assert len(found) > 12 and found == expected


def test_what_comes_from_a_store_or_an_archive_has_them_too(wanted, shelf, tree, tmp_path, umask):
    build(shelf)
    TOOL.restore(wanted)
    assert modes(tmp_path / "opt") == plain(tmp_path / "opt")
    with tarfile.open(tmp_path / "build.tar.gz", "w:gz") as tar:
        tar.add(tree / "bin", "bin")
    TOOL.install({**wanted, "store": None, "archive": str(tmp_path / "build.tar.gz"), "origin": "archive"})
    assert modes(tmp_path / "opt") == {**plain(tmp_path / "opt"), "mrtrix3/bin/mrtrix3.py": 0o755}


# --- Elsewhere, and other than before ---------------------------------------------------------------------------------


def test_what_is_installed_is_moved_and_linked_elsewhere_without_another_build(given, tree, tmp_path):
    state = TOOL.install({**given, "extra": {"commit": "abc"}})
    shutil.rmtree(tree)
    place = {"prefix": str(tmp_path / "data/mrtrix3"), "link_dir": str(tmp_path / "commands")}
    moved = TOOL.move({**given, **place, "origin": None, "tree": None, "version": "any", "move": True, "extra": {}})
    environment = {"MRTRIX_HOME": place["prefix"]}
    report = {**state["report"], "prefix": place["prefix"], "bin": place["prefix"] + "/bin", "environment": environment}
    assert moved == {**state, "report": report, "link_dir": place["link_dir"]}
    assert json.loads(Path(given["state_file"]).read_text()) == moved
    assert snapshot(tmp_path / "opt") == snapshot(tmp_path / "links") == []
    assert os.readlink(tmp_path / "commands/mrinfo") == str(tmp_path / "data/mrtrix3/bin/mrinfo")
    TOOL.move({**given, **place, "link_dir": "", "origin": None, "tree": None, "move": True, "extra": {}})
    assert snapshot(tmp_path / "commands") == [] and (tmp_path / "data/mrtrix3/bin/mrinfo").exists()


def test_links_of_commands_that_are_gone_go_with_them(given, tree, tmp_path):
    TOOL.install(given)
    (tree / "bin/dwi2response").unlink()
    TOOL.install({**given, "commands": ["mrinfo"]})
    assert os.listdir(tmp_path / "links") == ["mrinfo"]


def test_another_version_or_place_is_told(given, tree, tmp_path):
    old = TOOL.install(given)
    (tree / "bin/mrinfo").write_text(MRINFO.replace("3.0.8", "3.0.3"))
    new = TOOL.install({**given, "version": "3.0.3", "prefix": str(tmp_path / "data")})
    replaced, moved = TOOL.what_changed(old, new)
    assert "3.0.8" in replaced and "3.0.3" in replaced
    assert old["report"]["bin"] in moved and new["report"]["bin"] in moved and "hash -r" in moved
    assert TOOL.what_changed(new, new) == TOOL.what_changed({}, new) == []


def test_a_prefix_that_is_a_link_stays_one(given, tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/mrtrix3").symlink_to(tmp_path / "big/mrtrix3")
    for _ in range(2):
        TOOL.install(given)
        assert (tmp_path / "opt/mrtrix3").is_symlink() and os.listdir(tmp_path / "big") == ["mrtrix3"]
    TOOL.remove(given)
    assert snapshot(tmp_path / "big") == [] and snapshot(tmp_path / "opt") == ["mrtrix3"]
    assert prefix.prefix_problem(given["prefix"]) == ""


@pytest.mark.parametrize("does", [TOOL.install, TOOL.move])
def test_another_name_of_the_same_prefix_does_not_take_the_installation_away(given, tmp_path, does):
    TOOL.install(given)
    shutil.move(given["prefix"], tmp_path / "data")
    os.symlink(tmp_path / "data", given["prefix"])
    state = does({**given, "prefix": str(tmp_path / "data")})
    assert state["report"]["bin"] == str(tmp_path / "data/bin") and (tmp_path / "data/bin/mrinfo").exists()
    assert os.readlink(tmp_path / "links/mrinfo") == str(tmp_path / "data/bin/mrinfo")


def test_the_installation_of_another_tool_is_neither_replaced_nor_removed(given, tmp_path):
    TOOL.install(given)
    other = mrtrix3.MRtrix3({**ABOUT, "name": "other"})
    its = {**given, "state_file": str(tmp_path / "state/other.json"), "link_dir": ""}
    with pytest.raises(shared.InstallError) as caught:
        other.install(its)
    assert caught.value.code == "prefix"
    other.install({**its, "prefix": str(tmp_path / "other")})
    shutil.rmtree(tmp_path / "other")
    shutil.move(given["prefix"], tmp_path / "other")
    other.remove(its)
    assert (tmp_path / "other/bin/mrinfo").exists()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"])
def test_commands_are_tried_without_the_callers_settings(given, tree, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, str(tmp_path / "shadow"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mrtrix.conf").write_text("broken")
    (tree / "bin/dwi2response").write_text(
        f"#!/usr/bin/env python\nimport os\nassert {name!r} not in os.environ\n"
        "assert not os.path.exists(os.path.expanduser('~/.mrtrix.conf'))\nprint('== dwi2response 3.0.8 ==')\n"
    )
    assert TOOL.install(given)["report"]["version"] == "3.0.8"


# --- From a store -----------------------------------------------------------------------------------------------------


def cut(path, size=-9):
    Path(path).write_bytes(Path(path).read_bytes()[:size])


def lose_notes(shelf):
    for path in shelf.glob("*.json"):
        path.unlink()


def test_what_was_built_tells_what_it_is_where_it_is_installed(given, tmp_path):
    TOOL.install({**given, "extra": {"commit": "abc"}})
    manifest = json.loads((tmp_path / "opt/mrtrix3/manifest.json").read_text())
    told = {"tool": "mrtrix3", "version": "3.0.8", "tells": "3.0.8", "cpu": "x86-64-v3", "complete": True,
            "repo": "there", "commit": "abc", "build_seconds": 7.5, "commands": ["dwi2response", "mrinfo"]}  # fmt: skip
    assert told.items() <= manifest.items()
    assert key_of(manifest).startswith("mrtrix3-3.0.8-")


def test_a_build_of_a_branch_or_of_some_commands_says_so(given, tmp_path):
    state = TOOL.install({**given, "version": "dev", "commands": ["mrinfo"]})
    manifest = json.loads((tmp_path / "opt/mrtrix3/manifest.json").read_text())
    assert (manifest["version"], manifest["tells"], manifest["complete"]) == ("dev", "3.0.8", False)
    assert not state["complete"]


def test_a_build_of_some_commands_is_found_by_its_name(given, shelf, tmp_path, monkeypatch):
    TOOL.install({**given, "commands": ["mrinfo"]})
    manifest = json.loads((tmp_path / "opt/mrtrix3/manifest.json").read_text())
    packed = pack(given["prefix"], str(shelf), manifest)
    monkeypatch.setattr(os, "listdir", lambda *_: pytest.fail("the store was listed"))
    asked = {"tool": "mrtrix3", "version": "3.0.8", "cpu": "x86-64-v3", "commands": ["mrinfo"], "repo": "there"}
    found = candidates(str(shelf), asked, {**MACHINE, **manifest, "flags": []}, [])
    assert next(found)[0] == packed["archive"]


def test_what_was_built_is_packed_and_restored_the_same(given, wanted, shelf, tmp_path, monkeypatch):
    state = TOOL.install(given)
    before = everything(Path(given["prefix"]))
    manifest = json.loads((tmp_path / "opt/mrtrix3/manifest.json").read_text())
    monkeypatch.setattr(shared, "this_machine", lambda: {**MACHINE, **manifest, "flags": []})
    packed = pack(given["prefix"], str(shelf), manifest)
    TOOL.remove(given)
    restored, passed_over = TOOL.restore({**wanted, "seconds": 1.0})
    assert passed_over == []
    after = everything(Path(given["prefix"]))
    for names in (before, after):
        del names["manifest.json"], names[".provision.json"]
    assert after == before
    assert restored["report"]["archive"] == packed["archive"]
    for name in ("commands", "complete", "version", "link_dir"):
        assert restored[name] == state[name]


def test_the_best_build_of_the_store_is_installed_and_reported(wanted, shelf, tmp_path):
    build(shelf, "other", cpu="x86-64-v2")
    best = build(shelf, "best")
    state, passed_over = TOOL.restore(wanted)
    report = state["report"]
    assert {**report, "seconds": 0} == {
        "version": "3.0.8", "prefix": str(tmp_path / "opt/mrtrix3"), "bin": str(tmp_path / "opt/mrtrix3/bin"),
        "origin": "store", "cpu": "x86-64-v3", "archive": best, "seconds": 0, "build_seconds": 1234.5,
        "environment": {"MRTRIX_HOME": str(tmp_path / "opt/mrtrix3")},
    }  # fmt: skip
    assert report["seconds"] >= wanted["seconds"]
    assert (state["commands"], state["complete"], passed_over) == (["mrinfo", "dwi2response"], True, [])
    assert library(wanted) == "best"
    assert json.loads(Path(wanted["state_file"]).read_text()) == state
    assert json.loads((tmp_path / "opt/mrtrix3/.provision.json").read_text())["origin"] == "store"
    assert sorted(os.listdir(tmp_path / "links")) == ["dwi2response", "mrinfo"]
    assert os.listdir(tmp_path / "opt") == ["mrtrix3"]


def test_any_version_is_reported_as_the_one_it_is(wanted, shelf):
    build(shelf)
    assert TOOL.restore({**wanted, "version": "any"})[0]["version"] == "3.0.8"


def test_a_branch_from_the_store_keeps_its_name(wanted, shelf):
    build(shelf, version="dev")
    state, _ = TOOL.restore({**wanted, "version": "dev"})
    assert (state["version"], state["report"]["version"]) == ("dev", "3.0.8")


def test_some_commands_from_the_store_are_not_all(wanted, shelf):
    build(shelf, complete=False)
    assert TOOL.restore(wanted)[0] == {}
    assert TOOL.restore({**wanted, "commands": ["mrinfo"]})[0]["complete"] is False


def test_all_commands_from_the_store_are_all_also_when_some_were_wanted(wanted, shelf):
    build(shelf)
    assert TOOL.restore({**wanted, "commands": ["mrinfo"]})[0]["complete"] is True


@pytest.mark.parametrize("beside", [True, False])
def test_a_bad_archive_is_set_aside_and_the_next_one_is_taken(wanted, shelf, beside):
    build(shelf, "other", cpu="x86-64-v2")
    best = build(shelf, random.Random(3).randbytes(600_000).hex())  # whose end is not read with its beginning
    cut(best)
    if not beside:
        lose_notes(shelf)
    state, passed_over = TOOL.restore(wanted)
    assert (library(wanted), state["report"]["cpu"]) == ("other", "x86-64-v2")
    assert [note["archive"] for note in passed_over] == [best]
    assert passed_over[0]["why"].endswith(f" {best}.bad")
    assert sorted(name for name in os.listdir(shelf) if KEY in name) == [
        *([f"{KEY}.json.bad"] if beside else []), f"{KEY}.tar.zst.bad"
    ]  # fmt: skip


def test_an_archive_that_is_bad_from_its_beginning_is_set_aside_and_the_next_one_is_taken(wanted, shelf):
    build(shelf, "other", cpu="x86-64-v2")
    best = build(shelf, "best")
    cut(best, 9)
    lose_notes(shelf)
    _, passed_over = TOOL.restore(wanted)
    assert library(wanted) == "other"
    assert [sorted(note) for note in passed_over] == [["archive", "why"]]
    assert os.path.exists(best + ".bad")


def test_an_archive_with_a_broken_beginning_and_good_notes_is_set_aside(wanted, shelf):
    build(shelf, "other", cpu="x86-64-v2")
    best = build(shelf, "best")
    Path(best).write_bytes(b"X" + Path(best).read_bytes()[1:])
    TOOL.restore(wanted)
    assert library(wanted) == "other"
    assert os.path.exists(best + ".bad")


def test_a_file_that_was_never_a_build_keeps_its_name(wanted, shelf):
    shelf.mkdir(exist_ok=True)
    (shelf / "backup.tar.zst").write_bytes(b"mine")
    assert TOOL.restore(wanted)[0] == {}
    assert (shelf / "backup.tar.zst").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["(1)", "own tar", "later version"])
def test_a_sound_file_of_somebodys_keeps_its_name_and_its_content(wanted, shelf, name):
    best = Path(build(shelf))
    notes = best.with_name(f"{KEY}.json")
    if name == "(1)":
        best = best.rename(shelf / f"{KEY} (1).tar.zst")
        notes.rename(shelf / f"{KEY} (1).json")
    else:
        notes.unlink()
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            member = tarfile.TarInfo("bin/mrinfo" if name == "own tar" else MANIFEST)
            member.size = 7
            tar.addfile(member, io.BytesIO(b'{"a":1}'))
        best.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(content.getvalue()))
    before = everything(shelf)
    state, passed_over = TOOL.restore(wanted)
    assert everything(shelf) == before
    assert (bool(state), len(passed_over)) == ((True, 0) if name == "(1)" else (False, 1))


def test_what_stands_beside_an_archive_does_not_decide_what_is_installed(wanted, shelf):
    other = Path(build(shelf, version="dev"))
    told = json.loads(other.with_name(other.name.replace(".tar.zst", ".json")).read_text())
    named = {**told, "version": "main"}
    path = shelf / f"{key_of(named)}.tar.zst"
    other.rename(path)
    path.with_name(path.name.replace(".tar.zst", ".json")).write_text(json.dumps(named))
    state, passed_over = TOOL.restore({**wanted, "version": "main"})
    assert state == {} and " dev" in passed_over[0]["why"]
    assert path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_what_comes_from_a_store_is_tried_without_roots_rights(wanted, shelf, monkeypatch):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setenv("TOKEN", "sesame")
    try:
        build(shelf, mrinfo="#!/bin/sh\n# compiled\n[ $(id -u)$TOKEN = 65534 ] && echo '== mrinfo 3.0.8 =='\n")
        state, passed_over = TOOL.restore({**wanted, "prefix": str(folder / "opt/mrtrix3")})
        assert (state["report"]["version"], passed_over) == ("3.0.8", [])
    finally:
        shutil.rmtree(folder)


def test_names_that_what_was_tried_has_made_up_are_not_linked(wanted, shelf, monkeypatch):
    build(shelf)
    for answer in (["3.0.8", ["../../etc/passwd"]], ["3.0.8", [7]], [3, ["mrinfo"]], None, "x", ["3.0.8", None]):
        monkeypatch.setattr(shared, "without_rights", lambda *_, answer=answer: answer)
        state, passed_over = TOOL.restore(wanted)
        assert state == {} and [sorted(note) for note in passed_over] == [["archive", "why"]]


def test_bad_archives_alone_are_set_aside_and_nothing_is_changed(wanted, given, shelf, tmp_path):
    TOOL.install(given)
    before = everything(tmp_path / "opt"), everything(tmp_path / "state"), everything(tmp_path / "links")
    paths = [build(shelf), build(shelf, cpu="x86-64-v2")]
    lose_notes(shelf)
    for path, size in zip(paths, (9, -9), strict=True):
        cut(path, size)
    state, passed_over = TOOL.restore(wanted)
    assert state == {}
    assert sorted(note["archive"] for note in passed_over) == sorted(paths)
    assert all(note["why"].endswith(".bad") and sorted(note) == ["archive", "why"] for note in passed_over)
    assert [name for name in os.listdir(shelf) if name.endswith((".zst", ".json"))] == []
    assert (everything(tmp_path / "opt"), everything(tmp_path / "state"), everything(tmp_path / "links")) == before


@pytest.mark.parametrize(
    ("mrinfo", "values"),
    [
        ("#!/bin/sh\n# compiled\necho 'GLIBC_2.38 not found' >&2; exit 1\n", ["mrinfo", "GLIBC_2.38 not found"]),
        ("#!/nowhere\n# compiled\n", ["mrinfo", "No such file"]),
        (MRINFO.replace("3.0.8", "3.0.7"), ["3.0.7", "3.0.8"]),
    ],
)
def test_an_archive_whose_commands_do_not_run_is_passed_over_but_not_set_aside(wanted, shelf, mrinfo, values, tmp_path):
    best = build(shelf, "best", mrinfo)
    build(shelf, "other", cpu="x86-64-v2")
    _, passed_over = TOOL.restore(wanted)
    assert library(wanted) == "other"
    assert [note["archive"] for note in passed_over] == [best]
    assert all(value in passed_over[0]["why"] for value in values), passed_over
    assert os.path.exists(best) and read_archive(best)
    assert os.listdir(tmp_path / "opt") == ["mrtrix3"]


def test_a_store_in_which_nothing_fits_changes_nothing(wanted, given, shelf, tmp_path):
    TOOL.install(given)
    paths = [build(shelf, glibc="2.41"), build(shelf, version="3.0.7"), build(shelf, cpu="x86-64-v4")]
    before = everything(tmp_path)
    state, passed_over = TOOL.restore(wanted)
    assert state == {}
    whys = {note["archive"]: note["why"] for note in passed_over}
    assert set(whys) == set(paths)
    assert all(value in whys[path] for path, value in zip(paths, ("glibc 2.41", "3.0.7", "x86-64-v4"), strict=True))
    assert everything(tmp_path) == before


@pytest.mark.parametrize("place", ["empty", "missing", "a file"])
def test_a_store_with_nothing_in_it_changes_nothing(wanted, shelf, tmp_path, place):
    if place != "empty":
        shelf.rmdir()
    if place == "a file":
        shelf.write_text("mine")
    assert TOOL.restore(wanted) == ({}, [])
    assert not (tmp_path / "opt").exists() and not (tmp_path / "state").exists()


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EIO])
@pytest.mark.parametrize("beside", [True, False])
def test_a_store_that_fails_while_it_is_read_is_passed_over_and_nothing_set_aside(
    wanted, shelf, tmp_path, monkeypatch, code, beside
):
    build(shelf, random.Random(1).randbytes(200_000).hex())
    if not beside:
        lose_notes(shelf)
    before = everything(tmp_path)
    real, reads = Source.read, []

    def read(source, size):
        reads.append(size)
        if len(reads) > (beside or 3):  # later for the one that is opened for its manifest first
            raise unreadable(source.path, OSError(code, os.strerror(code)))
        return real(source, size)

    monkeypatch.setattr(Source, "read", read)
    state, passed_over = TOOL.restore(wanted)
    assert state == {}
    assert str(shelf) in passed_over[0]["why"] and ".bad" not in passed_over[0]["why"]
    assert everything(tmp_path) == before


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EIO])
def test_a_store_that_fails_between_choosing_and_reading_is_passed_over(wanted, shelf, tmp_path, monkeypatch, code):
    path = build(shelf)
    before = everything(tmp_path)
    real = open

    def fail(name, *args, **kwargs):
        if name == path:
            raise OSError(code, os.strerror(code), name)
        return real(name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", fail)
        state, passed_over = TOOL.restore(wanted)
    assert state == {} and str(shelf) in passed_over[0]["why"]
    assert everything(tmp_path) == before


def test_a_full_disk_is_not_laid_on_the_archive(wanted, shelf, tmp_path, monkeypatch):
    build(shelf)
    before = everything(tmp_path)

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), wanted["prefix"])

    monkeypatch.setattr(read, "extract_member", fail)
    with pytest.raises(OSError) as caught:
        TOOL.restore(wanted)
    assert caught.value.errno == errno.ENOSPC
    assert everything(tmp_path) == before


# --- One archive that was named ---------------------------------------------------------------------------------------


@pytest.fixture
def download(given, shelf, tmp_path):
    """The module's options for an archive of a store under another name, as it is after it was fetched."""
    shutil.move(build(shelf, "best"), tmp_path / "abc123")
    return {
        **given, "tree": None, "archive": str(tmp_path / "abc123"), "origin": "archive", "cpu": "", "build_seconds": 0
    }  # fmt: skip


def test_an_archive_of_a_store_can_be_named_itself(download):
    state = TOOL.install(download)
    assert (state["report"]["origin"], state["report"]["cpu"]) == ("archive", "x86-64-v3")
    assert (state["report"]["archive"], state["report"]["build_seconds"]) == (download["archive"], 1234.5)
    assert library(download) == "best"


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ({"glibc": "2.31"}, ["glibc", "2.36", "2.31"]),
        ({"arch": "aarch64"}, ["x86_64", "aarch64"]),
        ({"cpu": "x86-64"}, ["x86-64-v3", "x86-64."]),
    ],
)
def test_an_archive_for_another_machine_is_refused_before_it_is_unpacked(
    download, monkeypatch, tmp_path, change, values
):
    monkeypatch.setattr(shared, "this_machine", lambda: {**MACHINE, **change})
    monkeypatch.setattr(read, "extract_member", lambda *_: pytest.fail("something was unpacked"))
    with pytest.raises(shared.InstallError) as caught:
        TOOL.install(download)
    assert caught.value.code == "other-machine" and all(value in caught.value.message for value in values)
    assert not Path(download["prefix"]).exists()


def test_an_archive_is_read_as_what_its_sha256_says_and_the_report_has_what_the_role_adds(download, tmp_path):
    before = everything(tmp_path)
    with pytest.raises(BadArchive) as caught:
        TOOL.install({**download, "extra": {"archive_sha256": "0" * 64}})
    assert caught.value.code == "wrong-checksum" and everything(tmp_path) == before
    digest = sha256_of(download["archive"])
    more = {"extra": {"archive_sha256": digest}, "report": {"built_on": "one"}}
    assert TOOL.install({**download, **more})["report"]["built_on"] == "one"


def test_a_named_archive_that_is_broken_is_refused_and_left_where_it_is(download, tmp_path):
    cut(download["archive"])
    before = everything(tmp_path)
    with pytest.raises(BadArchive) as caught:
        TOOL.install(download)
    assert caught.value.code == "cut-off"
    assert everything(tmp_path) == before


# --- The modules as Ansible runs them ---------------------------------------------------------------------------------


def test_the_module_reports_what_it_took_from_the_store(wanted, shelf, capsys, tmp_path):
    best = build(shelf, "best")
    code, answer = run_module(install, capsys, **asked(wanted))
    assert (code, answer["changed"], answer["report"]["archive"]) == (0, True, best)
    code, answer = run_module(install, capsys, **asked({**wanted, "version": "3.0.9"}))
    assert (code, answer["changed"], answer["report"]) == (0, False, {})
    assert ["3.0.8" in note["why"] for note in answer["passed_over"]] == [True]
    assert library(wanted) == "best"


def test_failures_of_the_module_have_a_code(given, capsys, monkeypatch, tree):
    codes = []
    refused = [OSError(number, "refused") for number in (errno.ENOSPC, errno.EROFS, errno.EIO)]
    for error in (shared.Locked("held"), *refused):
        with monkeypatch.context() as patch:
            patch.setattr(mrtrix3.MRtrix3, "install", lambda *_, error=error: (_ for _ in ()).throw(error))
            codes.append(run_module(install, capsys, **asked(given))[1]["code"])
    assert codes == ["locked", "disk-full", "read-only", "system-error"]
    assert run_module(install, capsys, **asked({**given, "version": "3.0.9"}))[1]["code"] == "other-version"
    (tree / "bin/mrinfo").write_text("#!/bin/sh\n# compiled\nexit 1\n")
    assert run_module(install, capsys, **asked(given))[1]["code"] == "does-not-run"


def test_a_full_disk_is_told_as_that_where_a_whole_folder_is_copied(given, capsys, monkeypatch):
    def full(_source, target, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    monkeypatch.setattr(shutil, "copyfile", full)
    code, told = run_module(install, capsys, **asked({**given, "tool": ABOUT}))
    assert (code, told["code"]) == (1, "disk-full") and told["msg"].count(given["prefix"].rpartition("/")[0]) == 1


def test_the_module_tells_once_what_it_replaced(given, capsys, tmp_path):
    assert "notes" not in run_module(install, capsys, **asked(given))[1]["report"]
    place = {
        "tool": ABOUT,
        "state_file": given["state_file"],
        "prefix": str(tmp_path / "data"),
        "link_dir": given["link_dir"],
    }
    assert len(run_module(install, capsys, **place, move=True)[1]["report"]["notes"]) == 1
    assert "notes" not in json.loads(Path(given["state_file"]).read_text())["report"]


def test_the_module_says_which_archive_is_broken(download, capsys):
    cut(download["archive"])
    code, answer = run_module(install, capsys, **asked(download))
    assert (code, answer["code"]) == (1, "cut-off")
    assert download["archive"] in answer["msg"] and answer["hint"]


def test_a_place_that_cannot_be_filled_is_not_noted(given, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EBUSY, "busy")

    for earlier in (False, True):
        before = everything(tmp_path / "state")
        with monkeypatch.context() as patch, pytest.raises(OSError) as caught:
            patch.setattr(shared, "exchange", fail)
            TOOL.install({**given, "prefix": str(tmp_path / "data/mrtrix3")})
        assert caught.value.errno == errno.EBUSY
        assert everything(tmp_path / "state") == before
        if not earlier:
            TOOL.install(given)
