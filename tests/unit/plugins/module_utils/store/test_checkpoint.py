"""What an unfinished build keeps in the store, and how another machine goes on from it."""

import errno
import os
import random
import shutil
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import wait_until

pytest.importorskip("ansible")

from plugins.module_utils.provision.store import checkpoint as checkpoints
from plugins.module_utils.provision.store.errors import StoreError, unreadable
from plugins.module_utils.provision.store.pack import written_whole
from plugins.module_utils.provision.store.read import Source, stream_of

SETTINGS = {"commit": "97b21e56af52" + "0" * 28, "cpu": "x86-64-v3", "compiler": "c++ 12", "release": "Debian 12"}
WHOLE = Path("/bin/true").read_bytes()
LONG_AGO = 1_700_000_000_123_456_789


def put(tree, name, content=WHOLE, nanoseconds=LONG_AGO):
    """Write a file that was finished long ago."""
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(nanoseconds, nanoseconds))
    return path


@pytest.fixture
def tree(tmp_path):
    """A source tree in which some things are built."""
    tree = tmp_path / "tree"
    put(tree, "config", b"cpp_flags = []\n", LONG_AGO - 5)
    put(tree, "tmp/core/app.o", WHOLE + random.Random(1).randbytes(100_000), LONG_AGO + 1)
    put(tree, "lib/libmrtrix.so", WHOLE, LONG_AGO + 2)
    put(tree, "bin/mrinfo", WHOLE, LONG_AGO + 3).chmod(0o755)
    put(tree, "bin/dwi2response", b"#!/usr/bin/env python\n")
    put(tree, "core/app.cpp", b"int x;\n")
    return tree


KEPT = {"config", "tmp/core/app.o", "lib/libmrtrix.so", "bin/mrinfo"}


def checkpoint(shelf, tree, **changes):
    tree.mkdir(exist_ok=True)
    return checkpoints.Checkpoint(str(shelf), str(tree), {**SETTINGS, **changes})


def content_of(tree):
    """Return {name: (bytes, time of change, whether it can be run)} of all files of a tree."""
    files = [path for path in tree.rglob("*") if path.is_file()]
    stats = [path.stat() for path in files]
    return {
        str(path.relative_to(tree)): (path.read_bytes(), stat.st_mtime_ns, bool(stat.st_mode & 0o100))
        for path, stat in zip(files, stats, strict=True)
    }


def pieces(shelf):
    return sorted(shelf.glob("unfinished/*/*"))


def restored(shelf, folder):
    """Restore into a fresh tree; return (what is in it, how many files, the problem)."""
    kept = checkpoint(shelf, folder)
    count = kept.restore()
    return content_of(folder), count, kept.problem


# --- Keeping and restoring --------------------------------------------------------------------------------------------


def test_what_is_finished_comes_back_byte_for_byte_with_its_time(shelf, tree, tmp_path):
    assert checkpoint(shelf, tree).keep() == len(KEPT)
    whole = content_of(tree)
    found, count, problem = restored(shelf, tmp_path / "fresh")
    assert found == {name: whole[name] for name in KEPT}
    assert (count, problem) == (len(KEPT), "")


def test_what_cmake_writes_besides_programs_comes_back_too(shelf, tree, tmp_path):
    for name in ("build/build.ninja", "build/.ninja_log", "build/CMakeFiles/x.dir/a.cpp.o"):
        put(tree, name, WHOLE if name.endswith(".o") else b"rules\n")
    put(tree, "build/half.o", b"")
    checkpoint(shelf, tree).keep()
    found, _, _ = restored(shelf, tmp_path / "fresh")
    names = {name for name in found if name.startswith("build/")}
    assert names == {"build/build.ninja", "build/.ninja_log", "build/CMakeFiles/x.dir/a.cpp.o"}


@pytest.mark.parametrize("content", [b"", WHOLE[:40], WHOLE[: len(WHOLE) // 2], WHOLE[:-1], bytes(len(WHOLE))])
def test_what_is_half_written_is_not_kept(shelf, tree, tmp_path, content):
    put(tree, "tmp/half.o", content)
    put(tree, "bin/half", content)
    checkpoint(shelf, tree).keep()
    assert set(restored(shelf, tmp_path / "fresh")[0]) == KEPT


def test_what_was_written_just_now_is_kept_only_later(shelf, tree):
    put(tree, "tmp/new.o", nanoseconds=time.time_ns())
    kept = checkpoint(shelf, tree)
    assert kept.keep() == len(KEPT)
    put(tree, "tmp/new.o")
    assert kept.keep() == 1


def test_links_are_not_kept(shelf, tree, tmp_path):
    (tree / "lib/libz.so").symlink_to("libmrtrix.so")
    checkpoint(shelf, tree).keep()
    assert set(restored(shelf, tmp_path / "fresh")[0]) == KEPT


def test_a_piece_has_only_what_was_finished_since_the_last(shelf, tree):
    kept = checkpoint(shelf, tree)
    kept.keep()
    assert kept.keep() == 0
    assert [path.name for path in pieces(shelf)] == ["0001.tar.zst"]
    put(tree, "tmp/cmd/mrinfo.o")
    put(tree, "lib/libmrtrix.so", WHOLE + b"again", LONG_AGO + 9)
    assert kept.keep() == 2
    assert [path.name for path in pieces(shelf)] == ["0001.tar.zst", "0002.tar.zst"]
    with stream_of(str(pieces(shelf)[1])) as tar:
        assert sorted(member.name for member in tar) == ["lib/libmrtrix.so", "tmp/cmd/mrinfo.o"]


def test_of_a_file_that_was_kept_twice_the_later_one_comes_back(shelf, tree, tmp_path):
    kept = checkpoint(shelf, tree)
    kept.keep()
    put(tree, "lib/libmrtrix.so", WHOLE + b"again", LONG_AGO + 9)
    kept.keep()
    assert restored(shelf, tmp_path / "fresh")[0]["lib/libmrtrix.so"] == (WHOLE + b"again", LONG_AGO + 9, False)


def test_what_was_restored_is_not_kept_again(shelf, tree, tmp_path):
    checkpoint(shelf, tree).keep()
    again = checkpoint(shelf, tmp_path / "fresh")
    again.restore()
    assert again.keep() == 0
    put(tmp_path / "fresh", "tmp/new.o")
    assert again.keep() == 1
    assert [path.name for path in pieces(shelf)] == ["0001.tar.zst", "0002.tar.zst"]


def test_a_store_without_anything_restores_nothing(shelf, tmp_path):
    assert restored(shelf, tmp_path / "fresh") == ({}, 0, "")


def test_a_new_piece_takes_no_other_ones_place(shelf, tree):
    kept = checkpoint(shelf, tree)
    kept.keep()
    put(tree, "tmp/second.o")
    kept.keep()
    first, second = pieces(shelf)
    first.unlink()
    before = second.read_bytes()
    put(tree, "tmp/third.o")
    kept.keep()
    assert second.read_bytes() == before
    assert len(pieces(shelf)) == 2


def test_a_folder_that_cannot_be_listed_for_once_loses_no_piece(shelf, tree, monkeypatch):
    kept = checkpoint(shelf, tree)
    kept.keep()
    before = pieces(shelf)[0].read_bytes()
    put(tree, "tmp/second.o")

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", fail)
        with suppress(StoreError, OSError):
            kept.keep()
    assert pieces(shelf)[0].read_bytes() == before


# --- Broken pieces ----------------------------------------------------------------------------------------------------


def flip(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "a byte less": lambda content: content[:-1],
    "a byte more": lambda content: content + b"x",
    "the end": lambda content: flip(content, len(content) - 1),
    "the middle": lambda content: flip(content, len(content) // 2),
    "an object": lambda content: flip(content, 30_000),
    "a text": lambda content: b"<html>Not found</html>",
}


@pytest.fixture
def two(shelf, tree):
    """A store with two pieces. Much of the second is random: of a bit that is flipped there only the checksum tells."""
    kept = checkpoint(shelf, tree)
    kept.keep()
    put(tree, "tmp/second.o", WHOLE + random.Random(2).randbytes(60_000))
    put(tree, "lib/libsecond.so", WHOLE + random.Random(3).randbytes(700_000))
    put(tree, "bin/tckgen")
    kept.keep()
    return pieces(shelf)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_piece_is_no_error_and_what_came_before_it_is_there(shelf, tree, two, tmp_path, damage):
    two[1].write_bytes(DAMAGES[damage](two[1].read_bytes()))
    whole = content_of(tree)
    found, count, problem = restored(shelf, tmp_path / "fresh")
    assert {name: found.get(name) for name in KEPT} == {name: whole[name] for name in KEPT}
    assert count >= len(KEPT)
    assert "0002.tar.zst" in problem
    assert [path.name for path in pieces(shelf)] == ["0001.tar.zst", "0002.tar.zst.bad"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_nothing_of_a_broken_piece_gets_into_the_tree(shelf, tree, two, tmp_path, damage):
    # Half an object, or one with a flipped bit, would be taken for a finished one: it has the right time.
    two[1].write_bytes(DAMAGES[damage](two[1].read_bytes()))
    whole = content_of(tree)
    found, _, _ = restored(shelf, tmp_path / "fresh")
    assert {name: what for name, what in found.items() if what != whole.get(name)} == {}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_is_full_is_not_laid_on_a_piece(shelf, two, tmp_path, monkeypatch, code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(checkpoints, "extract_member", fail)
    assert restored(shelf, tmp_path / "fresh")[1:] != (0, "")
    assert pieces(shelf) == two


def test_a_piece_of_endless_zeros_is_not_read_to_its_end(shelf, tree, tmp_path, monkeypatch):
    checkpoint(shelf, tree).keep()
    monkeypatch.setattr(checkpoints, "_LARGEST", 1000)
    found, count, problem = restored(shelf, tmp_path / "fresh")
    assert (found, count) == ({}, 0) and "0001.tar.zst" in problem


def test_what_is_kept_after_a_broken_piece_is_found_again(shelf, two, tmp_path):
    two[1].write_bytes(b"broken")
    fresh = tmp_path / "fresh"
    kept = checkpoint(shelf, fresh)
    kept.restore()
    put(fresh, "tmp/third.o")
    assert kept.keep() == 1
    assert "tmp/third.o" in restored(shelf, tmp_path / "another")[0]


def piece(path, *members):
    """Write a piece by hand, as keep() does, of (member, content)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(str(path)) as tar:
        for member, content in members:
            member.size = len(content)
            with (path.parent / "content").open("w+b") as file:
                file.write(content)
                file.seek(0)
                tar.addfile(member, file if content else None)
            (path.parent / "content").unlink()


def named(name, content=b"x", kind=tarfile.REGTYPE, link="", **headers):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.pax_headers = kind, link, headers
    return member, content


TIMED = {"provision.mtime": str(LONG_AGO)}


@pytest.mark.parametrize(
    "bad",
    [
        named("../outside", **TIMED),
        named("/outside", **TIMED),
        named("tmp/door", b"", tarfile.SYMTYPE, "../../..", **TIMED),
        named("tmp/pipe", b"", tarfile.FIFOTYPE, **TIMED),
        named("tmp/a.o", **{"provision.mtime": "noon"}),
        named("tmp/a.o"),
        named("core/app.cpp/a.o", **TIMED),
    ],
    ids=["above", "absolute", "link", "pipe", "no number", "no time", "no folder"],
)
def test_a_hostile_piece_is_no_error_and_writes_nothing_outside(shelf, tree, tmp_path, bad):
    checkpoint(shelf, tree).keep()
    piece(Path(checkpoint(shelf, tree).folder) / "0002.tar.zst", bad)
    fresh = tmp_path / "fresh"
    put(fresh, "core/app.cpp", b"int x;\n")
    kept = checkpoint(shelf, fresh)
    kept.restore()
    assert "0002.tar.zst" in kept.problem
    assert set(content_of(fresh)) >= KEPT
    assert not (tmp_path / "outside").exists() and not Path("/outside").exists()


# --- What builds share ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"commit": "a" * 40}, {"commit": SETTINGS["commit"][:-1] + "1"}, {"cpu": "x86-64"}, {"compiler": "c++ 13"},
     {"release": "Debian 13"}, {"links": "-static"}],
    ids=str,
)  # fmt: skip
def test_builds_with_other_settings_share_nothing(shelf, tree, tmp_path, change):
    checkpoint(shelf, tree).keep()
    other = checkpoint(shelf, tmp_path / "fresh", **change)
    assert other.folder != checkpoint(shelf, tree).folder
    assert other.restore() == 0
    assert content_of(tmp_path / "fresh") == {}


def test_the_same_settings_share_in_whatever_order_they_are_told():
    assert checkpoints.name_of(SETTINGS) == checkpoints.name_of(dict(reversed(SETTINGS.items())))
    assert checkpoints.name_of(SETTINGS).startswith("mrtrix3-97b21e56af52-")


def test_the_sources_of_a_fresh_clone_are_older_than_what_is_restored(tree, tmp_path, shelf):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    (tree / "core/with space\n.h").write_text("int y;\n")
    (tree / "core/link.h").symlink_to("app.cpp")
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_COMMITTER_DATE": "1600000000 +0000",
    }  # fmt: skip
    for command in (["init", "-q"], ["add", "core"], ["commit", "-q", "-m", "sources"]):
        subprocess.run(["git", "-C", tree, *command], check=True, env=environment)
    checkpoint(shelf, tree).keep()
    fresh = tmp_path / "fresh"
    subprocess.run(["git", "clone", "-q", f"file://{tree}", fresh], check=True, env=environment)
    put(fresh, "core/own.h", b"untracked\n", LONG_AGO)
    checkpoints.age_sources(str(fresh))
    times = {path.name: path.lstat().st_mtime for path in (fresh / "core").iterdir()}
    assert times == {"app.cpp": 1.6e9, "with space\n.h": 1.6e9, "link.h": 1.6e9, "own.h": LONG_AGO / 1e9}
    checkpoint(shelf, fresh).restore()
    assert (fresh / "tmp/core/app.o").stat().st_mtime > (fresh / "core/app.cpp").stat().st_mtime


# --- Stores that fail, and the thread ---------------------------------------------------------------------------------


def test_what_is_finished_is_kept_while_the_build_goes_on(shelf, tree, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS", 0.02)
    kept = checkpoint(shelf, tree)
    kept.start()
    wait_until(lambda: len(pieces(shelf)) == 1)
    put(tree, "tmp/second.o")
    wait_until(lambda: len(pieces(shelf)) == 2)
    kept.stop()
    put(tree, "tmp/third.o")
    time.sleep(0.1)
    assert len(pieces(shelf)) == 2
    assert kept.problem == ""


def test_a_build_that_ends_at_once_waits_for_nothing(shelf, tree, monkeypatch):
    kept = checkpoint(shelf, tree)
    monkeypatch.setattr(checkpoints, "SECONDS", 600)
    start = time.monotonic()
    kept.start()
    kept.stop()
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.ENOTCONN, errno.EIO])
def test_a_store_that_is_full_or_gone_is_a_problem_and_no_more(shelf, tree, monkeypatch, code):
    broken = [True]
    real = os.fsync

    def sync(descriptor):
        if broken[0]:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(checkpoints, "SECONDS", 0.02)
    kept = checkpoint(shelf, tree)
    kept.start()
    wait_until(lambda: kept.unkept)
    (note,) = kept.notes()
    assert str(shelf) in note
    # It goes on trying, so that the beginning of a piece may be there at any moment.
    assert not list(shelf.rglob("*.tar.zst"))
    # It may come back: then all of it is kept.
    broken[0] = False
    wait_until(lambda: list(shelf.rglob("*.tar.zst")))
    kept.stop()
    with stream_of(str(pieces(shelf)[0])) as tar:
        assert {member.name for member in tar} == KEPT
    assert kept.notes() == []


def test_a_store_that_is_no_folder_is_a_problem_and_no_more(shelf, tree, monkeypatch):
    shelf.write_text("mine")
    monkeypatch.setattr(checkpoints, "SECONDS", 0.02)
    kept = checkpoint(shelf, tree)
    assert kept.restore() == 0
    kept.start()
    wait_until(lambda: kept.unkept)
    kept.stop()
    assert len(kept.notes()) == 2
    assert shelf.read_text() == "mine"


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EIO])
def test_a_store_that_fails_while_it_is_read_is_a_problem_and_no_more(shelf, two, tmp_path, monkeypatch, code):
    real = Source.read

    def read(source, size):
        if source.path == str(two[1]):
            raise unreadable(source.path, OSError(code, os.strerror(code)))
        return real(source, size)

    monkeypatch.setattr(Source, "read", read)
    found, count, problem = restored(shelf, tmp_path / "fresh")
    assert (set(found), count) == (KEPT, len(KEPT))
    assert str(shelf) in problem
    assert all(path.exists() for path in two)


def test_a_piece_that_does_not_come_back_as_it_was_written_gets_no_name(shelf, tree, monkeypatch):
    monkeypatch.setattr(Source, "sha256", lambda source: "0" * 64)
    with pytest.raises(StoreError) as caught:
        checkpoint(shelf, tree).keep()
    assert caught.value.code == "bad-store" and str(shelf) in caught.value.message
    assert pieces(shelf) == []


def test_a_file_that_goes_away_while_a_piece_is_written_is_left_for_later(shelf, tree, tmp_path, monkeypatch):
    kept = checkpoint(shelf, tree)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "_finished", lambda: {"config": LONG_AGO - 5, "bin/gone": LONG_AGO})
        with pytest.raises((StoreError, OSError)):
            kept.keep()
    assert pieces(shelf) == []
    assert kept.keep() == len(KEPT)
    assert set(restored(shelf, tmp_path / "fresh")[0]) == KEPT
