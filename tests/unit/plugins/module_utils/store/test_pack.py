"""What is packed comes out the same, and a store has whole archives or none."""

import errno
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from plugins.module_utils.provision.store import pack as packing
from plugins.module_utils.provision.store import zstd
from plugins.module_utils.provision.store.errors import BadArchive, StoreError
from plugins.module_utils.provision.store.names import archives
from plugins.module_utils.provision.store.pack import adopt, written_whole
from plugins.module_utils.provision.store.read import read_archive, stream_of

from .packed import KEY, MANIFEST, _File, carried, failing, pack, unpacked, visible


def test_what_is_packed_comes_out_the_same(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    assert unpacked(packed["archive"], tmp_path / "again") == carried(prefix)


@pytest.mark.parametrize("mode", [0o600, 0o755])
def test_what_comes_out_can_be_read_by_everybody(prefix, shelf, tmp_path, mode):
    (prefix / "bin/mrinfo").chmod(mode)
    unpacked(pack(prefix, shelf)["archive"], tmp_path / "again")
    assert (tmp_path / "again/bin/mrinfo").stat().st_mode & 0o7777 == (0o755 if mode == 0o755 else 0o644)


def test_compiled_python_is_left_out(prefix, shelf, tmp_path):
    assert not [name for name in unpacked(pack(prefix, shelf)["archive"], tmp_path / "again") if "pycache" in name]


def test_an_installation_that_was_unpacked_packs_to_the_same_again(prefix, shelf, tmp_path):
    unpacked(pack(prefix, shelf)["archive"], tmp_path / "again")
    pack(tmp_path / "again", tmp_path / "other")
    assert unpacked(tmp_path / "other" / f"{KEY}.tar.zst", tmp_path / "third") == carried(prefix)


def test_two_packs_of_one_tree_at_one_time_are_the_same_bytes(prefix, shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    first = Path(pack(prefix, shelf)["archive"]).read_bytes()
    shutil.copytree(prefix, tmp_path / "copy", symlinks=True)

    def walk(top, real=os.walk):
        for folder, folders, names in real(top):
            folders.reverse()
            names.reverse()
            yield folder, folders, names

    monkeypatch.setattr(os, "walk", walk)  # a file system that lists in another order
    assert Path(pack(tmp_path / "copy", tmp_path / "other")["archive"]).read_bytes() == first


def test_two_packs_of_one_tree_differ_in_times_only(prefix, shelf, monkeypatch):
    def without_times():
        with stream_of(pack(prefix, shelf)["archive"]) as tar:
            manifest = json.loads(tar.read(tar.next().size))
            del manifest["created"]
            return manifest, [{**member.get_info(), "mtime": 0, "chksum": 0} for member in tar]

    first = without_times()
    now = time.time() + 5000
    monkeypatch.setattr(time, "time", lambda: now)
    assert without_times() == first


def test_all_files_of_an_archive_have_one_time(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    with stream_of(packed["archive"]) as tar:
        assert {member.mtime for member in tar} == {int(packed["created"])}
    unpacked(packed["archive"], tmp_path / "again")
    times = {path.stat().st_mtime for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert len(times - {(tmp_path / "again/manifest.json").stat().st_mtime}) == 1


def test_the_manifest_is_inside_beside_and_with_what_was_unpacked(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    unpacked(packed["archive"], tmp_path / "again")
    beside = json.loads((shelf / f"{KEY}.json").read_text())
    inside = json.loads((tmp_path / "again/manifest.json").read_text())
    assert {**inside, "size": packed["size"], "sha256": packed["sha256"]} == beside
    assert {**beside, "archive": str(shelf / f"{KEY}.tar.zst")} == packed
    assert packed["size"] == os.path.getsize(packed["archive"])
    assert inside["build_seconds"] == 7.5


def test_how_far_it_is_ends_with_all_of_it(prefix, shelf):
    steps = []
    packed = packing.pack(str(prefix), str(shelf), MANIFEST, lambda *step: steps.append(step))
    assert steps[-1] == (packed["unpacked"],) * 2
    steps.clear()
    read_archive(packed["archive"], tell=lambda *step: steps.append(step))
    assert steps[-1] == (packed["size"],) * 2


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "not-permitted"),
        (errno.ENOTCONN, "not-mounted"),
        (errno.EIO, "store"),
    ],
)
@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_store_that_fails_while_it_is_written_keeps_its_earlier_archive(
    prefix, shelf, monkeypatch, number, code, call
):
    path = Path(pack(prefix, shelf)["archive"])
    before, names = path.read_bytes(), sorted(os.listdir(shelf))

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((packing._Sink, "_put") if call == "write" else (os, "fsync")), fail)
    with pytest.raises(StoreError) as caught:
        pack(prefix, shelf)
    assert caught.value.code == code and str(shelf) in caught.value.message and caught.value.hint
    assert sorted(os.listdir(shelf)) == names
    assert path.read_bytes() == before
    assert read_archive(str(path))["version"] == "3.0.8"


def test_a_folder_that_cannot_be_made_is_told(prefix, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        pack(prefix, tmp_path / "file/store")
    assert caught.value.code == "store" and str(tmp_path / "file/store") in caught.value.message


def test_a_store_that_does_not_give_back_what_was_written_gets_no_archive(prefix, shelf, monkeypatch):
    class Garbling(_File):
        def write(self, data):
            return self._file.write(data.replace(b"\0", b"\1"))

    def open_(path, mode="r", *args, real=open, **kwargs):
        file = real(path, mode, *args, **kwargs)
        return Garbling(file, lambda: None) if mode == "wb" else file

    monkeypatch.setattr(packing, "open", open_, raising=False)
    with pytest.raises(StoreError) as caught:
        pack(prefix, shelf)
    assert caught.value.code == "bad-store" and str(shelf) in caught.value.message
    assert not isinstance(caught.value, BadArchive)
    assert visible(shelf) == []


def test_a_store_without_locks_can_be_packed_into(prefix, shelf, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("plugins.module_utils.provision.file_lock.fcntl.flock", refuse)
    assert read_archive(pack(prefix, shelf)["archive"])["version"] == "3.0.8"


def test_what_killed_packers_left_is_deleted_after_a_day_and_not_before(prefix, shelf):
    shelf.mkdir()
    for name, hours in ((".new-old", 25), (".new-young", 1)):
        (shelf / name).write_text("half")
        os.utime(shelf / name, (time.time() - hours * 3600,) * 2)
    pack(prefix, shelf)
    assert sorted(os.listdir(shelf)) == [".lock", ".new-young", f"{KEY}.json", f"{KEY}.tar.zst"]


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_an_archive_from_elsewhere_is_adopted_under_its_own_name(prefix, shelf, tmp_path, case):
    packed = pack(prefix, tmp_path / "other")
    shutil.move(packed["archive"], tmp_path / "download")
    adopted = adopt(str(tmp_path / "download"), str(shelf), case(packed["sha256"]))
    assert adopted["archive"] == str(shelf / f"{KEY}.tar.zst")
    assert visible(shelf) == [f"{KEY}.json", f"{KEY}.tar.zst"]
    assert json.loads((shelf / f"{KEY}.json").read_text())["sha256"] == packed["sha256"]
    assert unpacked(adopted["archive"], tmp_path / "again") == carried(prefix)


def test_an_archive_of_another_sha256_than_given_is_not_adopted(prefix, shelf, tmp_path):
    packed = pack(prefix, tmp_path / "other")
    with pytest.raises(BadArchive) as caught:
        adopt(packed["archive"], str(shelf), "0" * 64)
    assert caught.value.code == "wrong-checksum"
    assert packed["sha256"] in caught.value.message and "0" * 64 in caught.value.message
    assert visible(shelf) == []
    assert os.path.exists(packed["archive"])


def test_a_broken_archive_is_not_adopted_and_the_good_one_stays(prefix, shelf, tmp_path):
    good = pack(prefix, shelf)
    broken = tmp_path / "download"
    broken.write_bytes(Path(good["archive"]).read_bytes()[:-1])
    with pytest.raises(BadArchive):
        adopt(str(broken), str(shelf))
    assert sorted(os.listdir(shelf)) == [".lock", f"{KEY}.json", f"{KEY}.tar.zst"]
    assert read_archive(good["archive"])["sha256"] == good["sha256"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.ENOTCONN])
def test_a_store_that_fails_while_it_adopts_has_no_new_name(prefix, shelf, tmp_path, code):
    packed = pack(prefix, tmp_path / "other")
    with failing(shelf, code, 2, looks=False), pytest.raises(StoreError) as caught:
        adopt(packed["archive"], str(shelf))
    assert caught.value.message.endswith(".") and caught.value.hint
    assert not shelf.exists() or visible(shelf) == []


def test_an_archive_to_adopt_that_is_not_there_is_not_laid_on_the_store(shelf, tmp_path):
    with pytest.raises(StoreError) as caught:
        adopt(str(tmp_path / "download"), str(shelf))
    assert caught.value.code == "no-file" and str(tmp_path / "download") in caught.value.message


def test_a_python_that_cannot_pack_says_what_it_lacks_and_leaves_nothing(prefix, shelf, monkeypatch):
    monkeypatch.setattr(zstd, "zstandard", None)
    with pytest.raises(StoreError) as caught:
        pack(prefix, shelf)
    assert caught.value.code == "no-zstd" and "pip install zstandard" in caught.value.hint
    assert visible(shelf) == []


def test_what_a_packer_is_writing_is_left_alone(prefix, shelf):
    with written_whole(str(shelf / "0001.tar.zst")):
        pack(prefix, shelf)
        assert len(list(shelf.glob(".new-*"))) == 1
    assert (shelf / "0001.tar.zst").exists()


def test_a_link_out_of_the_installation_is_named_and_not_packed(prefix, shelf):
    (prefix / "share/out").symlink_to("/etc/passwd")
    with pytest.raises(StoreError) as caught:
        pack(prefix, shelf)
    assert caught.value.code == "unsafe-archive" and "'share/out'" in caught.value.message
    assert not shelf.exists() or not archives(str(shelf))


def test_a_file_of_the_installation_that_cannot_be_read_is_not_blamed_on_the_store(prefix, shelf, monkeypatch):
    def members(tar, where, *_):
        raise PermissionError(errno.EACCES, "Permission denied", os.path.join(where, "bin/mrinfo"))

    monkeypatch.setattr(packing, "_write_members", members)
    with pytest.raises(StoreError) as caught:
        pack(prefix, shelf)
    assert caught.value.code == "not-permitted" and str(prefix / "bin/mrinfo") in caught.value.message
    assert str(shelf) not in caught.value.message
