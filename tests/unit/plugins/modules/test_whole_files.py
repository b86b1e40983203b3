"""Folders, keys and files in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from plugins.modules import whole_files

from .built_tree import run_module


@pytest.fixture
def have(capsys):
    def call(check: bool = False, **given) -> dict:
        return run_module(whole_files, capsys, **given, _ansible_check_mode=check)[1]

    return call


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode))[2:] for path in folder.rglob("*")}


def given(tmp_path: Path) -> dict:
    place = tmp_path / "a" / "b"
    return {
        "folders": [{"path": str(tmp_path / "a")}, {"path": str(place), "mode": "0700"}],
        "keys": [{"path": str(place / "key"), "comment": "a name"}],
        "files": [{"path": str(place / "config"), "content": "{{ 1 + 1 }} é\n", "mode": "0600"}],
    }


@pytest.mark.needs("ssh-keygen")
def test_all_is_there_with_its_modes_and_a_second_time_nothing_changes(have, tmp_path):
    before = os.umask(0o077)
    first = have(**given(tmp_path))
    os.umask(before)
    assert first["changed"] and first["paths"][-1] == str(tmp_path / "a/b/config")
    found = {"a": "755", "b": "700", "key": "600", "key.pub": "644", "config": "600"}
    assert {**modes(tmp_path), "key.pub": "644"} == found
    assert (tmp_path / "a/b/config").read_text(encoding="utf-8") == "{{ 1 + 1 }} é\n"
    assert (tmp_path / "a/b/key.pub").read_text().endswith(" a name\n")
    key = (tmp_path / "a/b/key").read_text()
    assert (have(**given(tmp_path))["changed"], (tmp_path / "a/b/key").read_text()) == (False, key)


@pytest.mark.needs("ssh-keygen")
def test_what_differs_or_was_left_half_done_is_put_right_and_the_rest_left(have, tmp_path):
    have(**given(tmp_path))
    place = tmp_path / "a/b"
    for spoil in (
        lambda: place.chmod(0o755),
        lambda: (place / "config").chmod(0o644),
        lambda: (place / "config").write_text("other"),
        lambda: ((place / "config").unlink(), (place / "config").symlink_to("/etc/hostname")),
        lambda: ((place / "key").rename(place / "key.new"), (place / ".new-config-x1").touch()),
    ):
        spoil()
        assert have(check=True, **given(tmp_path))["changed"]
        assert len(have(**given(tmp_path))["paths"]) == 1
        assert not have(**given(tmp_path))["changed"]
    assert (place / "config").read_text(encoding="utf-8") == "{{ 1 + 1 }} é\n"
    assert not (place / "key.new").exists()


def test_what_shall_not_be_there_goes_and_no_link_is_followed(have, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    gone = [str(tmp_path / name) for name in ("folder", "link", "never")]
    assert (have(check=True, absent=gone)["paths"], (tmp_path / "folder").exists()) == (gone[:2], True)
    assert have(absent=gone)["paths"] == gone[:2]
    assert not have(absent=gone)["changed"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "kept"]


def test_a_file_that_its_program_refuses_is_not_put_in_place(have, tmp_path):
    path = tmp_path / "config"
    path.write_text("old")
    says = ["sh", "-c", "echo no good: $0 >&2; grep -q fine $0", "%s"]
    refused = have(files=[{"path": str(path), "content": "new", "validate": says}])
    assert refused["failed"] and refused["code"] == "bad-configuration" and "no good" in refused["msg"]
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["config"])
    assert have(files=[{"path": str(path), "content": "fine", "validate": says}])["changed"]


def test_what_cannot_be_written_has_a_code_and_names_the_place(have, tmp_path):
    (tmp_path / "file").touch()
    refused = have(files=[{"path": str(tmp_path / "file/config"), "content": ""}])
    assert refused["failed"] and str(tmp_path / "file") in refused["msg"] and refused["code"]
