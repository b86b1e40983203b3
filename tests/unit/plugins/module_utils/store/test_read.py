"""Archives are read whole, and nothing leaves the folder that they are unpacked to."""

import errno
import json
import shutil
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

from plugins.module_utils.provision.store import manifest as manifests
from plugins.module_utils.provision.store import zstd
from plugins.module_utils.provision.store.errors import BadArchive, StoreError, Unreadable
from plugins.module_utils.provision.store.read import manifest_of, read_archive

from .packed import (
    KEY,
    MANIFEST,
    carried,
    crafted,
    failing,
    flip,
    frame_of,
    link,
    outside,
    pack,
    plain,
    refuse,
    special,
    tar_of,
    told,
    unpacked,
    use,
)


def test_an_archive_made_by_hand_is_as_good_as_any(shelf, tmp_path):
    path = crafted(shelf, plain("bin/mrinfo", b"yes"), link("bin/alias", "mrinfo"))
    assert unpacked(path, tmp_path / "again") == {"bin/mrinfo": (b"yes", False), "bin/alias": "-> mrinfo"}


@pytest.mark.parametrize(
    "members",
    [
        [plain("../x")],
        [plain("bin/../../x")],
        [plain("/abs")],
        [link("door", "/etc")],
        [link("door", "../../etc")],
        [link("bin/door", "../..")],
        [link("door", ".."), plain("door/x")],
        [special("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [special("hard", tarfile.LNKTYPE, "../x")],
        [special("null", tarfile.CHRTYPE)],
        [special("disk", tarfile.BLKTYPE)],
        [special("pipe", tarfile.FIFOTYPE)],
    ],
    ids=lambda members: " ".join(f"{member.name}-{member.linkname}" for member, _ in members),
)
def test_a_member_that_would_leave_the_folder_is_refused(shelf, tmp_path, members):
    first = members[0][0]
    refuse(crafted(shelf, *members), tmp_path, "unsafe-archive", repr(first.linkname if first.islnk() else first.name))


@pytest.mark.parametrize(
    "last",
    ["door/x", "door"],
)
def test_a_link_that_is_there_already_is_not_followed_out_of_the_folder(shelf, tmp_path, last):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/door").symlink_to(tmp_path / "precious" if last == "door" else tmp_path)
    (tmp_path / "precious").write_text("mine")
    path = crafted(shelf, plain("first"), plain(last))
    before = outside(tmp_path)
    with suppress(StoreError):
        read_archive(path, str(tmp_path / "inner"))
    assert outside(tmp_path) == before


def test_links_that_lead_out_together_are_refused(shelf, tmp_path):
    # `door` is within the folder until `away` is there: then it is the folder above.
    refuse(crafted(shelf, link("door", "away/.."), link("away", "."), plain("x")), tmp_path, "unsafe-archive", "door")


def test_a_way_through_a_link_is_refused(shelf, tmp_path):
    refuse(crafted(shelf, link("door", "bin"), plain("bin/a"), plain("door/x")), tmp_path, "unsafe-archive", "door/x")


def test_a_way_out_over_two_links_is_refused_before_anything_is_unpacked(shelf):
    with pytest.raises(BadArchive) as caught:
        read_archive(crafted(shelf, link("bin/up", ".."), link("bin/out", "up/.."), plain("x")))
    assert caught.value.code == "unsafe-archive" and "bin/out" in caught.value.message


def test_a_way_out_that_is_too_long_to_be_followed_is_refused(shelf, tmp_path):
    # Each letter is a link to a folder with a long name. The system follows the letters; realpath writes out the names,
    # until they are too long for it and what comes behind is taken for plain folders.
    (tmp_path / "precious").write_text("mine")
    long, letters, at = "d" * 247, "abcdefghijklmnop", ""
    members = []
    for letter in letters:
        members += [special(f"{at}{long}", tarfile.DIRTYPE), link(f"{at}{letter}", long)]
        at += f"{long}/"
    top = "/".join(letters) + "/" + "l" * 254
    members += [
        link(top, "../" * len(letters)),
        link("door", f"{top}/.."),
        special("hard", tarfile.LNKTYPE, "door/precious"),
        plain("hard", b"overwritten"),
    ]
    (tmp_path / "inner").mkdir()
    with suppress(BadArchive, OSError):
        read_archive(crafted(shelf, *members), str(tmp_path / "inner"))
    assert (tmp_path / "precious").read_text() == "mine"


def test_more_than_the_manifest_says_is_refused_before_it_is_written(shelf, tmp_path):
    path = crafted(shelf, plain("bin/a"), plain("bin/bomb", bytes(5_000_000)), unpacked=1000)
    refuse(path, tmp_path, "too-large")
    assert not (tmp_path / "inner/bin/bomb").exists()


def test_less_than_the_manifest_says_is_refused(shelf, tmp_path):
    refuse(crafted(shelf, plain("bin/a"), unpacked=1000), tmp_path, "cut-off")


@pytest.mark.parametrize(
    "first",
    [
        plain("bin/mrinfo"),
        plain("share/manifest.json", b"{}"),
        plain(manifests.MANIFEST, b"{"),
        plain(manifests.MANIFEST, b"\xff\xfe"),
        plain(manifests.MANIFEST, b"[]"),
        plain(manifests.MANIFEST, b" " * 2_000_000 + json.dumps(told([])).encode()),
        link(manifests.MANIFEST, "bin/mrinfo"),
        special(manifests.MANIFEST, tarfile.DIRTYPE),
        plain(manifests.MANIFEST, b"[" * 200_000),
    ],
    ids=["none", "elsewhere", "not JSON", "not UTF-8", "a list", "2 MB", "a link", "a folder", "deep"],
)
def test_an_archive_without_a_manifest_at_its_beginning_is_refused(shelf, tmp_path, first):
    refuse(crafted(shelf, first=first), tmp_path, "not-a-build")


def test_a_manifest_further_behind_is_not_looked_for(shelf, tmp_path):
    manifest = plain(manifests.MANIFEST, json.dumps(told([plain("bin/a")])).encode())
    refuse(crafted(shelf, manifest, first=plain("bin/a")), tmp_path, "not-a-build")


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([plain("a"), plain("a/b")], id="a file as a folder"),
        pytest.param([plain("a/b"), plain("a")], id="a folder as a file"),
        pytest.param([special(manifests.MANIFEST, tarfile.DIRTYPE)], id="the manifest as a folder"),
        pytest.param([plain("n" * 300)], id="a name too long"),
        pytest.param([link("a", "a"), plain("a/b")], id="a link to itself"),
    ],
)
def test_members_that_cannot_be_together_are_the_archives_fault(shelf, tmp_path, members):
    with pytest.raises(BadArchive):
        unpacked(crafted(shelf, *members), tmp_path / "inner")


@pytest.mark.parametrize(
    "member",
    [
        plain("a", **{"GNU.sparse.major": "0", "GNU.sparse.size": "many", "GNU.sparse.map": "1,2"}),
        plain("a", **{"GNU.sparse.map": "some"}),
        plain("a", mtime="nan"),
        plain("a", mtime="1e300"),
    ],
    ids=["sparse size", "sparse map", "no time", "time too late"],
)
def test_numbers_that_are_none_are_the_archives_fault(shelf, tmp_path, member):
    with pytest.raises(BadArchive):
        unpacked(crafted(shelf, member), tmp_path / "inner")


def cut_points(size):
    return sorted({0, 1, 4, 17, *range(size // 9, size, size // 9), *range(size - 20, size)})


@pytest.mark.parametrize("beside", [True, False])
def test_an_archive_that_is_cut_off_anywhere_is_refused(prefix, shelf, beside):
    path = Path(pack(prefix, shelf)["archive"])
    whole = path.read_bytes()
    if not beside:
        (shelf / f"{KEY}.json").unlink()
    for size in cut_points(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BadArchive):
            read_archive(str(path))
    path.write_bytes(whole)
    read_archive(str(path))


def test_an_archive_that_lacks_nothing_but_its_end_is_refused(shelf, tmp_path):
    members = [plain("bin/a", b"a" * 700), plain("bin/b", b"b" * 512)]
    content = tar_of(plain(manifests.MANIFEST, json.dumps(told(members)).encode()), *members)
    end = content.index(b"b" * 512) + 512
    packing = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    files = packing.compress(content[:end]) + packing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    rest = packing.compress(content[end:]) + packing.flush()
    path = Path(crafted(shelf, *members))
    for left in (b"", rest[:-4], rest[:-1]):  # all files are there; of the rest nothing, all but the checksum, or most
        path.write_bytes(files + left)
        refuse(str(path), tmp_path, "cut-off")
    path.write_bytes(files + rest)
    assert len(unpacked(path, tmp_path / "again")) == 2


def test_what_comes_after_the_last_member_counts_too(shelf, tmp_path):
    path = Path(crafted(shelf, plain("bin/a")))
    whole = frame_of(zstandard.ZstdDecompressor().decompress(path.read_bytes()) + bytes(3_000_000))
    path.write_bytes(whole)
    assert read_archive(str(path))["version"] == "3.0.8"
    path.write_bytes(flip(whole, len(whole) - 1))  # in the checksum, long after tar has seen its own end
    refuse(str(path), tmp_path, "bad-archive")
    path.write_bytes(whole[:-1])
    refuse(str(path), tmp_path, "cut-off")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "cut-off"),
        (b"<html>Not found</html>\n", "bad-archive"),
        (bytes(9000), "bad-archive"),
        (frame_of(b""), "cut-off"),
        (frame_of(b"no tar"), "cut-off"),
    ],
)
def test_what_is_no_archive_is_refused(shelf, tmp_path, content, code):
    path = crafted(shelf)
    Path(path).write_bytes(content)
    refuse(path, tmp_path, code)


@pytest.mark.parametrize("garbage", [b"\0", b"garbage", frame_of(b"x"), bytes(600_000)])
def test_something_after_the_end_is_refused(shelf, tmp_path, garbage):
    path = crafted(shelf, plain("bin/a"))
    with open(path, "ab") as file:
        file.write(garbage)
    refuse(path, tmp_path, "bad-archive")


def test_older_notes_beside_a_newer_archive_are_not_believed(prefix, shelf, tmp_path):
    old = pack(prefix, shelf, commands=["mrinfo"])
    notes = (shelf / f"{KEY}.json").read_text()
    (prefix / "bin/tckgen").write_text("new")
    time.sleep(0.1)
    new = pack(prefix, shelf)
    (shelf / f"{KEY}.json").write_text(notes)
    assert new["size"] != old["size"]
    assert manifest_of(new["archive"])["commands"] == MANIFEST["commands"]
    assert unpacked(new["archive"], tmp_path / "again") == carried(prefix)


@pytest.mark.parametrize(
    "notes",
    [None, "", "{", "[1]", "{}", '{"sha256": 1, "size": "x"}', "\0",
     "[" * 200_000],
    ids=["none", "empty", "half", "a list", "nothing", "other types", "binary", "deep"],
)  # fmt: skip
def test_an_archive_whose_notes_are_lost_is_as_good_as_before(prefix, shelf, tmp_path, notes):
    packed = pack(prefix, shelf)
    (shelf / f"{KEY}.json").unlink()
    if notes is not None:
        (shelf / f"{KEY}.json").write_text(notes)
    assert unpacked(packed["archive"], tmp_path / "again") == carried(prefix)
    manifest = manifest_of(packed["archive"])
    assert manifest.items() <= packed.items() and manifest["size"] == packed["size"]


def test_an_archive_with_another_sha256_than_was_noted_is_refused(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    notes = json.loads((shelf / f"{KEY}.json").read_text())
    (shelf / f"{KEY}.json").write_text(json.dumps({**notes, "sha256": "0" * 64}))
    refuse(packed["archive"], tmp_path, "wrong-checksum", packed["sha256"])


def test_notes_of_another_build_are_not_believed(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    pack(prefix, tmp_path / "other", version="3.0.9", glibc="2.41")
    shutil.copy(tmp_path / "other" / f"{KEY.replace('3.0.8', '3.0.9')}.json", shelf / f"{KEY}.json")
    assert manifest_of(packed["archive"])["version"] == "3.0.8"


@pytest.mark.parametrize("version", ["3.0.8", "3.0.9"])
def test_notes_of_another_packing_are_not_held_against_a_good_archive(prefix, shelf, tmp_path, version):
    # As when two machines pack at once, or one packs while another reads: the notes are read before the archive.
    pack(prefix, tmp_path / "other", version=version)
    (prefix / "bin/mrinfo").write_text("newer")
    time.sleep(0.1)  # the time of packing is told in tenths of a second
    packed = pack(prefix, shelf)
    shutil.copy(tmp_path / "other" / f"{KEY.replace('3.0.8', version)}.json", shelf / f"{KEY}.json")
    assert unpacked(packed["archive"], tmp_path / "again") == carried(prefix)


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EIO])
@pytest.mark.parametrize("beside", [True, False])
def test_a_store_that_fails_while_it_is_read_is_never_a_bad_archive(prefix, shelf, code, beside):
    path = pack(prefix, shelf)["archive"]
    if not beside:
        (shelf / f"{KEY}.json").unlink()
    for after in range(50):
        with failing(shelf, code, after) as failed:
            try:
                read_archive(path)
            except Unreadable as error:
                assert error.message.endswith(".") and str(shelf) in error.message and error.hint
                assert error.code == ("not-mounted" if code == errno.ENOTCONN else "store-unreadable")
        if not failed:
            break
    assert 3 < after < 50
    assert read_archive(path)["version"] == "3.0.8"


def test_an_archive_is_read_without_the_package(prefix, shelf, tmp_path, monkeypatch):
    packed = pack(prefix, shelf)
    use("system", monkeypatch)
    assert unpacked(packed["archive"], tmp_path / "again") == carried(prefix)


def test_a_machine_that_cannot_unpack_does_not_call_the_archive_bad(prefix, shelf, monkeypatch):
    packed = pack(prefix, shelf)

    def missing(*_):
        raise OSError("libzstd.so.1: cannot open shared object file")

    monkeypatch.setattr(zstd, "zstandard", None)
    monkeypatch.setattr(zstd.ctypes, "CDLL", missing)
    with pytest.raises(StoreError) as caught:
        read_archive(packed["archive"])
    assert caught.value.code == "no-zstd" and "libzstd" in caught.value.message
    assert not isinstance(caught.value, BadArchive)
