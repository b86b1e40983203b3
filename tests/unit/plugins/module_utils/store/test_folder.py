"""That a build will be lost is told before it is begun, and not when it is done."""

from __future__ import annotations

import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from provision.machine import disk, drive, places, system
from provision.machine.store import folder


@pytest.fixture
def mount(monkeypatch, tmp_path):
    """Where Google Drive is mounted on a machine of Colab's; its folder is there, and nothing is in it."""
    mount = tmp_path / "content/drive"
    mount.mkdir(parents=True)
    monkeypatch.setattr(drive, "_DRIVE_MOUNTS", (str(mount),))
    monkeypatch.setattr(system, "on_colab", lambda: True)
    return mount


def drop(monkeypatch, folder):
    """Let the program behind a mounted drive end: all in it answers with error 107."""
    look = os.stat

    def stat(path, *others, **options):
        if str(path).startswith(str(folder)):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(path))
        return look(path, *others, **options)

    monkeypatch.setattr(os, "stat", stat)


def warning(wanted, store):
    return folder.store_warning(wanted, str(store), folder.store_problem(str(store)) if store else "")


def test_of_a_store_that_can_be_written_to_there_is_nothing_to_tell(mount, tmp_path):
    assert warning(str(tmp_path / "new/store"), tmp_path / "new/store") == ""
    (mount / "MyDrive").mkdir()
    assert warning("auto", mount / "MyDrive/provision") == ""
    assert warning("none", "") == ""


def test_a_drive_that_has_dropped_is_told_of(mount, monkeypatch):
    store = mount / "MyDrive/provision"
    drop(monkeypatch, mount)
    assert places.default_store() == str(store)
    assert str(store) in warning("auto", store)


@pytest.mark.parametrize("folder", ["MyDrive/provision", "My Drive/provision", "Shareddrives/us/builds", "MyDrive"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_store_on_a_drive_that_is_not_mounted_is_told_of(mount, folder, is_there):
    if not is_there:
        mount.rmdir()
    said = warning(str(mount / folder), mount / folder)
    assert f"{mount}, " in said and str(mount / folder) in said
    (mount / folder.split("/")[0]).mkdir(parents=True)
    assert warning(str(mount / folder), mount / folder) == ""


def test_where_drive_was_mounted_and_is_no_more_it_is_told_that_the_cache_goes_with_the_machine(
    mount, tmp_path, monkeypatch
):
    said = warning("auto", tmp_path)
    assert str(mount) in said and f"{tmp_path}, " in said and "provision.drive()" in said
    assert warning(str(tmp_path), tmp_path) == ""  # who has named a folder wants it
    monkeypatch.setattr(system, "on_colab", lambda: False)
    assert warning("auto", tmp_path) == ""


def test_a_store_that_is_read_only_or_almost_full_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=12_345_678))
    assert str(tmp_path) in warning("auto", tmp_path) and "12 MB" in warning("auto", tmp_path)
    monkeypatch.setattr(disk, "writable", lambda _: False)
    assert str(tmp_path) in warning("auto", tmp_path) and "12 MB" not in warning("auto", tmp_path)
