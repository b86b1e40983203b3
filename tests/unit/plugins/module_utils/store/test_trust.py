"""Root takes no build that somebody else could have changed, and writes into no folder of theirs."""

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from plugins.module_utils.provision.store import checkpoint as checkpoints
from plugins.module_utils.provision.store import folder, trust
from plugins.module_utils.provision.store.choose import candidates
from plugins.module_utils.provision.store.errors import BadArchive, NotTrusted, StoreError
from plugins.module_utils.provision.store.names import key_of
from plugins.module_utils.provision.store.pack import adopt, pack, written_whole
from plugins.module_utils.provision.store.read import read_archive

from .packed import MANIFEST

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
SOMEBODY = 4242


@pytest.fixture
def packed(tmp_path, shelf):
    (tmp_path / "prefix/bin").mkdir(parents=True)
    (tmp_path / "prefix/bin/mrinfo").write_text("#!/bin/sh\n")
    return pack(str(tmp_path / "prefix"), str(shelf), MANIFEST)


def give(path, mode=None, user=SOMEBODY):
    os.chown(path, user, user)
    if mode is not None:
        os.chmod(path, mode)


def share(path):
    os.chown(path, 0, SOMEBODY)
    os.chmod(path, 0o775)


@pytest.mark.parametrize(
    ("user", "mode", "trusted"),
    [
        (0, stat.S_IFREG | 0o644, True), (1000, stat.S_IFREG | 0o600, True), (1001, stat.S_IFREG | 0o644, False),
        (65534, stat.S_IFDIR | 0o755, False), (0, stat.S_IFREG | 0o664, False), (0, stat.S_IFREG | 0o646, False),
        (0, stat.S_IFDIR | 0o775, False), (0, stat.S_IFDIR | 0o1777, True), (0, stat.S_IFREG | 0o1666, False),
        (1000, stat.S_IFDIR | 0o700, True),
    ],
)  # fmt: skip
def test_root_trusts_itself_and_who_called_sudo(user, mode, trusted, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    found = SimpleNamespace(st_uid=user, st_mode=mode)
    assert (trust.others_write(found) == "") == trusted
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert trust.others_write(found) == ""


@is_root
@pytest.mark.parametrize("spoil", [give, lambda path: os.chmod(path, 0o777), share])
def test_root_neither_takes_from_nor_writes_to_a_store_of_others(packed, shelf, tmp_path, spoil):
    spoil(shelf)
    before = sorted(os.listdir(shelf))
    machine = {"release": "debian-12", "arch": "x86_64", "glibc": "2.36", "own_cpu": "x86-64-v3", "cpu": "x86-64-v3"}
    wanted = {"tool": "mrtrix3", "version": "3.0.8", "cpu": "", "commands": [], "repo": ""}
    for work in (
        lambda: list(candidates(str(shelf), wanted, {**machine, "flags": []}, [])),
        lambda: pack(str(tmp_path / "prefix"), str(shelf), MANIFEST),
        lambda: adopt(packed["archive"], str(shelf), packed["sha256"]),
        lambda: written_whole(str(shelf / "unfinished/x/0001.tar.zst")).__enter__(),
    ):
        with pytest.raises(NotTrusted) as caught:
            work()
        assert str(shelf) in caught.value.message and caught.value.hint
    assert sorted(os.listdir(shelf)) == before
    assert str(shelf) in folder.store_problem(str(shelf))


@is_root
@pytest.mark.parametrize("spoil", [give, lambda path: os.chmod(path, 0o666)])
def test_root_unpacks_no_archive_of_others_unless_its_sum_is_given(packed, tmp_path, spoil):
    path = packed["archive"]
    spoil(path)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with pytest.raises(NotTrusted) as caught:
        read_archive(path, str(tmp_path / "one"))
    assert caught.value.code == "store-not-trusted" and path in caught.value.message
    assert os.listdir(tmp_path / "one") == []
    assert read_archive(path)["sha256"] == packed["sha256"]  # to look at it harms nobody
    read_archive(path, str(tmp_path / "other"), sha256=packed["sha256"])
    assert os.listdir(tmp_path / "other/bin") == ["mrinfo"]


@is_root
def test_another_archive_than_that_of_the_sum_is_refused(packed, tmp_path):
    give(packed["archive"])
    (tmp_path / "new").mkdir()
    with pytest.raises(BadArchive) as caught:
        read_archive(packed["archive"], str(tmp_path / "new"), sha256="0" * 64)
    assert caught.value.code == "wrong-checksum" and packed["sha256"] in caught.value.message


@is_root
def test_an_archive_of_others_becomes_roots_only_by_its_sum(packed, tmp_path):
    give(packed["archive"])
    with pytest.raises(NotTrusted):
        adopt(packed["archive"], str(tmp_path / "own"))
    assert adopt(packed["archive"], str(tmp_path / "own"), packed["sha256"])["archive"]


@is_root
def test_who_called_sudo_may_have_a_store(packed, shelf, tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", str(SOMEBODY))
    for path in (shelf, packed["archive"]):
        give(path)
    (tmp_path / "new").mkdir()
    read_archive(packed["archive"], str(tmp_path / "new"))
    pack(str(tmp_path / "prefix"), str(shelf), MANIFEST)


@is_root
@pytest.mark.parametrize("spoil", [give, lambda path: os.chmod(path, 0o777), share])
def test_a_store_of_roots_in_a_folder_of_others_is_not_trusted(tmp_path, spoil):
    (tmp_path / "theirs/store").mkdir(parents=True)
    spoil(tmp_path / "theirs")
    assert str(tmp_path / "theirs") in trust.store_owner_problem(str(tmp_path / "theirs/store"))
    assert trust.store_owner_problem(str(tmp_path / "theirs/not/there/yet"))


@is_root
def test_a_link_of_others_to_a_store_of_roots_is_not_trusted(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "own")
    assert trust.store_owner_problem(str(tmp_path / "link")) == ""
    os.lchown(tmp_path / "link", SOMEBODY, SOMEBODY)
    assert str(tmp_path / "link") in trust.store_owner_problem(str(tmp_path / "link"))


@is_root
def test_pieces_of_an_unfinished_build_of_others_are_not_built_in(tmp_path, shelf):
    settings = {"commit": "a" * 40}
    (tmp_path / "tree/tmp").mkdir(parents=True)
    made = tmp_path / "tree/tmp/a.o"
    shutil.copy("/bin/true", made)
    os.utime(made, (1.7e9, 1.7e9))
    kept = checkpoints.Checkpoint(str(shelf), str(tmp_path / "tree"), settings)
    assert kept.keep() == 1
    give(next(shelf.glob("unfinished/*/*")))
    (tmp_path / "fresh").mkdir()
    fresh = checkpoints.Checkpoint(str(shelf), str(tmp_path / "fresh"), settings)
    assert fresh.restore() == 0 and fresh.problem
    assert os.listdir(tmp_path / "fresh") == [] and len(list(shelf.glob("unfinished/*/*.tar.zst"))) == 1


# --- Permissions, whatever the umask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_packed_and_unpacked_can_be_read_by_all_and_written_by_one(tmp_path, umask):
    (tmp_path / "prefix/bin").mkdir(parents=True)
    (tmp_path / "prefix/bin/mrinfo").write_text("#!/bin/sh\n")
    (tmp_path / "prefix/bin/mrinfo").chmod(0o700)
    shelf, seen = tmp_path / "a/store", set()

    def tell(*_):
        seen.update(stat.S_IMODE(path.stat().st_mode) for path in shelf.glob(".new-*"))

    before = os.umask(umask)
    try:
        packed = pack(str(tmp_path / "prefix"), str(shelf), MANIFEST, tell)
        with written_whole(str(shelf / "unfinished/x/0001.tar.zst")):
            tell()
        (tmp_path / "new").mkdir()
        read_archive(packed["archive"], str(tmp_path / "new"))
        adopt(packed["archive"], str(tmp_path / "b/store"))
    finally:
        os.umask(before)
    assert seen == {0o600}
    modes = {}
    for path in (*(tmp_path / "a").rglob("*"), *(tmp_path / "b").rglob("*"), *(tmp_path / "new").rglob("*")):
        if path.name != ".lock":
            modes.setdefault(oct(stat.S_IMODE(path.stat().st_mode)), set()).add(path.name)
    key = key_of(MANIFEST)
    assert modes == {
        "0o755": {"store", "unfinished", "x", "bin", "mrinfo"},
        "0o644": {f"{key}.tar.zst", f"{key}.json", "0001.tar.zst", "manifest.json"},
    }


def test_a_file_that_is_swapped_for_a_link_while_it_is_packed_is_not_written_through(tmp_path, packed, shelf):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    secret.chmod(0o600)

    def swap(*_):
        for path in shelf.glob(".new-*"):
            path.unlink()
            path.symlink_to(secret)

    before = hashlib.sha256(Path(packed["archive"]).read_bytes()).hexdigest()
    with pytest.raises(StoreError):
        pack(str(tmp_path / "prefix"), str(shelf), MANIFEST, swap)
    assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == ("mine", 0o600)
    assert hashlib.sha256(Path(packed["archive"]).read_bytes()).hexdigest() == before
    assert json.loads((shelf / f"{key_of(MANIFEST)}.json").read_text())["sha256"] == before
