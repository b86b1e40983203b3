"""Google Drive and the rest of Google Colab, on a stand-in for its package."""

from __future__ import annotations

import errno
import functools
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from colab import on_colab

import provision
from provision import ProvisionError, notebook
from provision.colab import drive as colab
from provision.machine import drive, places
from provision.store.listing import Listing


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """Any machine but Colab's, whose file system begins in a folder of its own, and a cell of a notebook on it."""
    root = tmp_path / "machine"
    (root / "content").mkdir(parents=True)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    monkeypatch.setattr(drive, "drive_folder", functools.partial(drive.drive_folder, str(root)))
    monkeypatch.setattr(colab, "MOUNT", str(root / "content/drive"))
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    return root


@pytest.fixture
def page(machine, monkeypatch, tmp_path):
    """Colab, and the page in the browser."""
    with on_colab(monkeypatch) as page:
        page.cloud = tmp_path / "cloud"
        yield page


@pytest.fixture
def dropped(machine, monkeypatch):
    """A Drive of which the mount is left: all in it answers with error 107, until it is mounted again."""
    folder, look = machine / "content/drive/MyDrive", os.stat

    def stat(path, **options):
        if str(path).startswith(str(folder.parent)) and not os.path.lexists(folder):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(path))
        return look(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    return folder


def short_of(monkeypatch, free):
    monkeypatch.setattr(colab.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=free))


def test_it_mounts_drive_and_tells_where_the_store_is_and_what_is_in_it(page, machine, monkeypatch):
    kept = page.cloud / "provision"
    kept.mkdir(parents=True)
    (kept / "broken.tar.zst").write_bytes(b"")
    short_of(monkeypatch, 12_300_000_000)
    found = provision.drive()
    assert found.folder == machine / "content/drive/MyDrive"
    assert found.store == found.folder / "provision" == Path(places.default_store())
    said = repr(found)
    assert f"{found.folder}, 12.3 GB free" in said and "broken" in said and "1 build" in said
    assert found.notes == ()
    assert "<table>" in found._repr_html_() and "12.3 GB" in found._repr_html_()


@pytest.mark.parametrize("place", ["content/drive", "gdrive", "content/gdrive"])
def test_a_drive_that_is_mounted_already_is_taken_where_it_is_and_nobody_is_asked(page, machine, place):
    (machine / place / "MyDrive").mkdir(parents=True)
    assert provision.drive().store == machine / place / "MyDrive/provision"
    assert page.asked == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"gives_drive": False}, ["credential propagation was unsuccessful. Run provision.drive() again"]),
        ({"open": False}, ["mount failed. Run provision.drive() again"]),
        ({"mounts": False}, ["is unsupported in this environment. To keep", "provision_store="]),
    ],
    ids=["refused", "no page", "a runtime that cannot"],
)
def test_where_drive_cannot_be_mounted_it_says_so_and_the_notebook_goes_on(page, machine, answer, words):
    vars(page).update(answer)
    found = provision.drive()
    assert found.folder is None and found.store == machine / "cache/provision"
    (note,) = found.notes
    assert all(word in note for word in words)
    assert "Google Drive is not mounted" in repr(found) and f"Note: {note}" in repr(found)


def test_elsewhere_it_says_how_to_name_a_folder_that_outlives_the_machine(machine):
    (note,) = provision.drive().notes
    assert "only on Google Colab" in note and 'provision_store="/path/to/folder"' in note
    assert provision.drive(flush=True).notes == (note,)


def test_a_program_that_is_no_cell_is_told_where_to_do_it(page, monkeypatch):
    monkeypatch.setattr(notebook, "in_notebook", lambda: False)
    assert "run provision.drive() in one" in provision.drive().notes[0]
    assert page.asked == []


def test_little_space_is_told_of_with_what_to_do(machine, monkeypatch):
    short_of(monkeypatch, colab.SHORT_OF_SPACE)
    assert len(provision.drive().notes) == 1
    short_of(monkeypatch, 90_000_000)
    note = provision.drive().notes[-1]
    assert note.startswith("Only 90.0 MB is free") and "prune" in note and "bin" in note


def test_what_is_flushed_is_there_for_the_next_machine_and_what_is_not_may_not_be(page):
    store = provision.drive().store
    store.mkdir()
    (store / "build").write_text("")
    assert not (page.cloud / "provision/build").exists()
    assert provision.drive(flush=True).store == store
    assert (page.cloud / "provision/build").exists() and (store / "build").exists()


def test_flushing_leaves_the_notebook_in_the_folder_it_was_in(page, monkeypatch):
    folder = provision.drive().folder / "study"
    folder.mkdir()
    monkeypatch.chdir(folder)
    provision.drive(flush=True)
    assert Path.cwd() == folder
    (folder / "result").write_text("")
    assert os.listdir() == ["result"]


def test_a_flush_that_fails_says_that_the_session_must_not_end_yet(page):
    provision.drive()
    page.flushes = False
    with pytest.raises(ProvisionError) as raised:
        provision.drive(flush=True)
    assert raised.value.code == "drive-not-flushed" and "flush_and_unmount failed" in raised.value.message
    assert "provision.store.ls()" in raised.value.hint


def test_a_drive_that_has_dropped_is_mounted_again_where_it_was(page, dropped):
    found = provision.drive()
    assert found.folder == dropped
    assert "Errno 107" in found.notes[0] and "mounted again" in found.notes[0]


def test_a_drive_that_has_dropped_and_cannot_be_mounted_is_told_with_what_to_do(page, dropped):
    page.gives_drive = False
    with pytest.raises(ProvisionError) as raised:
        provision.drive()
    assert raised.value.code == "drive-lost" and str(dropped.parent) in raised.value.message
    assert "provision.drive()" in raised.value.hint


def test_builds_on_a_drive_that_has_dropped_are_not_looked_for_in_another_place(dropped):
    assert places.default_store() == str(dropped / "provision")


def test_one_that_is_mounted_comes_before_one_that_has_dropped(dropped, machine):
    (machine / "gdrive/MyDrive").mkdir(parents=True)
    assert drive.drive_folder() == str(machine / "gdrive/MyDrive")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("content/drive/MyDrive/provision", True),
        ("content/drive/Shareddrives/lab", True),
        ("content/drive2/provision", False),
        ("cache/provision", False),
        ("linked", True),
    ],
)
def test_what_is_on_drive_is_known_by_its_path(machine, path, told):
    (machine / "content/drive/MyDrive").mkdir(parents=True)
    (machine / "linked").symlink_to(machine / "content/drive/MyDrive")
    assert drive.on_drive(str(machine / path)) == told


def test_asking_for_it_loads_nothing_that_is_large():
    code = "import sys, provision.colab; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"google", "IPython", "rich", "ansible", "numpy"}


def test_a_note_is_plain_text_in_a_notebook_too():
    shown = colab.Drive(None, Path("/store"), 1, Listing(Path("/store")), ("<b>",))._repr_html_()
    assert "&lt;b&gt;" in shown and "<b>" not in shown
