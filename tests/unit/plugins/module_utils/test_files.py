"""Files that are whole or not there."""

import ctypes
import errno
import fcntl
import io
import json
import os
import stat
import tarfile

import pytest

from plugins.module_utils.provision import file_lock, progress
from plugins.module_utils.provision import files as files
from plugins.module_utils.provision.store import members
from plugins.module_utils.provision.tool import staging


def archive(path, *members, **contents):
    """Write a tar.gz of plain files and of ready-made members."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            tar.addfile(member)
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize(
    "hostile",
    [
        member("../outside"),
        member("a/../../outside"),
        member("/etc/outside"),
        member("out", tarfile.SYMTYPE, "../../outside"),
        member("out", tarfile.SYMTYPE, "/etc/passwd"),
        member("out", tarfile.LNKTYPE, "/etc/passwd"),
        member("out", tarfile.LNKTYPE, "../outside"),
        member("null", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda found: f"{found.name}-{found.linkname}-{found.type.decode()}",
)
def test_a_member_that_would_leave_the_folder_is_refused(tmp_path, hostile):
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(ValueError, match="cannot be unpacked"):
        members.unpack(str(archive(tmp_path / "a.tar.gz", hostile)), str(inner))
    assert not (tmp_path / "outside").exists()


def test_a_link_to_outside_that_is_there_already_cannot_be_written_through(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "door").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="is not empty"):
        members.unpack(str(archive(tmp_path / "a.tar.gz", **{"door/key": "x"})), str(inner))
    assert not (tmp_path / "key").exists()


def test_a_good_archive_is_unpacked_with_plain_permissions(tmp_path):
    command = member("bin/run")
    command.mode = 0o4755
    inner = tmp_path / "inner"
    inner.mkdir()
    members.unpack(
        str(archive(tmp_path / "a.tar.gz", command, member("bin/alias", tarfile.SYMTYPE, "run"), text="hello")),
        str(inner),
    )
    assert (inner / "text").read_text() == "hello"
    assert (inner / "bin/run").stat().st_mode & 0o7777 == 0o755
    assert os.readlink(inner / "bin/alias") == "run"


def test_a_truncated_archive_is_refused(tmp_path):
    whole = archive(tmp_path / "a.tar.gz", text="hello" * 10000)
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        members.unpack(str(whole), str(tmp_path))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        members.unpack(str(tmp_path / "a.tar.gz"), str(tmp_path))


def test_an_exchange_leaves_the_new_folder_and_nothing_of_the_old(tmp_path):
    new, target = tmp_path / "new", tmp_path / "target"
    for folder, text in ((new, "new"), (target, "old")):
        folder.mkdir()
        (folder / "text").write_text(text)
    staging.exchange(str(new), str(target))
    assert (target / "text").read_text() == "new"
    assert os.listdir(tmp_path) == ["target"]


def test_an_exchange_works_without_the_kernels_help(tmp_path, monkeypatch):
    class Libc:
        def renameat2(self, *_):
            staging.ctypes.set_errno(staging.errno.EINVAL)
            return -1

    monkeypatch.setattr(staging.ctypes, "CDLL", lambda *_, **__: Libc())
    test_an_exchange_leaves_the_new_folder_and_nothing_of_the_old(tmp_path)


def test_a_staging_folder_of_a_killed_run_is_deleted(tmp_path):
    left = tmp_path / ".prefix.provision-abc"
    left.mkdir()
    (left / "half").write_text("x")
    with staging.staging(str(tmp_path / "prefix")) as folder:
        assert os.listdir(tmp_path) == [os.path.basename(folder)]
    assert os.listdir(tmp_path) == []


def test_a_lock_is_refused_while_it_is_held_and_free_afterwards(tmp_path):
    with (
        file_lock.locked(str(tmp_path / "lock")),
        pytest.raises(BlockingIOError),
        file_lock.locked(str(tmp_path / "lock")),
    ):
        pass
    with file_lock.locked(str(tmp_path / "lock")):
        pass


def test_json_is_never_half_written(tmp_path):
    files.write_json(str(tmp_path / "state.json"), {"good": 1})
    with pytest.raises(TypeError):
        files.write_json(str(tmp_path / "state.json"), {"bad": object()})
    assert (tmp_path / "state.json").read_text() == '{\n "good": 1\n}'
    assert os.listdir(tmp_path) == ["state.json"]


def test_the_progress_file_is_json_and_is_never_missed_at_the_end(tmp_path):
    tell = progress.teller(str(tmp_path / "now.json"), "steps")
    tell(1, 3, "a")
    tell(2, 3, "b")
    tell(3, 3, "c")
    assert json.loads((tmp_path / "now.json").read_text()) == {"number": 3, "total": 3, "unit": "steps", "what": "c"}


def test_progress_that_nobody_watches_is_not_written(tmp_path):
    for path in (None, "", str(tmp_path / "gone" / "now.json")):
        progress.teller(path, "bytes")(3, 3)
    assert os.listdir(tmp_path) == []


def test_a_watcher_that_goes_away_stops_no_work(tmp_path):
    (tmp_path / "run").mkdir()
    tell = progress.teller(str(tmp_path / "run" / "now.json"), "bytes")
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("")
    tell(3, 3)
    assert (tmp_path / "run").read_text() == ""


def test_a_folder_that_came_with_a_containers_image_is_exchanged_too(tmp_path, monkeypatch):
    class Library:
        @staticmethod
        def renameat2(*_):
            ctypes.set_errno(errno.EXDEV)
            return -1

    rename = os.rename

    def refuse(source, target):
        if str(source).endswith("target"):
            raise OSError(errno.EXDEV, "Invalid cross-device link", source)
        rename(source, target)

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)
    monkeypatch.setattr(os, "rename", refuse)
    test_an_exchange_leaves_the_new_folder_and_nothing_of_the_old(tmp_path)


def test_a_folder_is_made_with_its_mode_and_one_that_is_there_keeps_its_own(tmp_path):
    (tmp_path / "there").mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        for mode in (0o755, 0o700):
            files.make_folder(str(tmp_path / f"there/{mode}/deeper"), mode)
            files.make_folder(str(tmp_path / f"there/{mode}/deeper"))
            for name in (f"{mode}", f"{mode}/deeper"):
                assert (tmp_path / "there" / name).stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        files.make_folder(str(tmp_path / "file/deeper"))


@pytest.mark.parametrize(("mode", "held"), [(0o600, True), (0o644, False), (0o660, False)])
def test_a_lock_that_others_can_open_keeps_nobody_out(tmp_path, mode, held):
    path = tmp_path / "lock"
    path.touch()
    path.chmod(mode)
    with path.open("rb") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        assert file_lock.try_lock(str(path)) is None
        again = file_lock.try_lock(str(path))
        assert (again is None) == held
        if again:
            again.close()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
