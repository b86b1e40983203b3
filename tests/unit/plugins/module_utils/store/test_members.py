"""Archives are unpacked into plain files, folders and links below one folder, or refused."""

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile

import pytest

from plugins.module_utils.provision.store import members
from plugins.module_utils.provision.store.tar import CutOffError, TarReader

from .blocks import BLOCK, END, extended, header, plain, read


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
    with pytest.raises(ValueError) as caught:
        members.unpack(str(archive(tmp_path / "a.tar.gz", hostile)), str(inner))
    assert isinstance(caught.value.__cause__, members.UnsafeError)
    assert repr(hostile.linkname if hostile.islnk() else hostile.name) in str(caught.value)
    assert not (tmp_path / "outside").exists()


def test_a_link_to_outside_that_is_there_already_cannot_be_written_through(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "door").symlink_to(tmp_path)
    with pytest.raises(ValueError) as caught:
        members.unpack(str(archive(tmp_path / "a.tar.gz", **{"door/key": "x"})), str(inner))
    assert caught.value.__cause__ is None and str(inner) in str(caught.value)
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
    (tmp_path / "inner").mkdir()
    with pytest.raises(ValueError) as caught:
        members.unpack(str(whole), str(tmp_path / "inner"))
    assert isinstance(caught.value.__cause__, EOFError) and str(whole) in str(caught.value)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_text("<html>not found</html>")
    (tmp_path / "inner").mkdir()
    with pytest.raises(ValueError) as caught:
        members.unpack(str(tmp_path / "a.tar.gz"), str(tmp_path / "inner"))
    assert isinstance(caught.value.__cause__, tarfile.TarError) and str(tmp_path / "a.tar.gz") in str(caught.value)


def unpacked(tmp_path, content, pack=gzip.compress):
    """Unpack an archive and return {name: what it is} of what was made."""
    (tmp_path / "a.tar").write_bytes(pack(content))
    inner = tmp_path / "inner"
    inner.mkdir()
    members.unpack(str(tmp_path / "a.tar"), str(inner))
    return made(inner)


def made(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        look = path.lstat()
        what = os.readlink(path) if path.is_symlink() else oct(stat.S_IMODE(look.st_mode))
        assert stat.S_IFMT(look.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        found[str(path.relative_to(folder))] = what
    return found


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_is_packed_in_any_usual_way_is_unpacked(tmp_path, pack):
    content = extended(tarfile.XGLTYPE, comment="abc") + header("./", tarfile.DIRTYPE) + header("d/", tarfile.DIRTYPE)
    content += plain("bin/run", mode=0o4755) + header("bin/alias", tarfile.SYMTYPE, link="run")
    content += header("bin/same", tarfile.LNKTYPE, link="bin/run") + plain("text", mode=0o600) + plain("text", b"again")
    assert unpacked(tmp_path, content + END, pack) == {
        "bin": "0o755", "bin/alias": "run", "bin/run": "0o755", "bin/same": "0o755", "d": "0o755", "text": "0o644"
    }  # fmt: skip
    assert (tmp_path / "inner/text").read_bytes() == b"again"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_umask_decides_nothing(tmp_path, umask):
    before = os.umask(umask)
    try:
        found = unpacked(tmp_path, plain("bin/run", mode=0o755) + plain("share/text") + END)
    finally:
        os.umask(before)
    assert found == {"bin": "0o755", "bin/run": "0o755", "share": "0o755", "share/text": "0o644"}


LONG = "n" * 5000
DEVICE = header("share", tarfile.BLKTYPE, mode=0o666)
BEHIND = {
    "an empty target": header("share/disk", tarfile.SYMTYPE) + DEVICE,
    "a long target": extended(linkpath=LONG) + header("disk", tarfile.SYMTYPE)
    + extended(path=LONG) + header("x", tarfile.CHRTYPE, mode=0o4666),
    "a winding target": extended(linkpath="./" * 2500 + "real") + header("bin/su", tarfile.SYMTYPE)
    + plain("bin/real", mode=0o4755),
    "a target with a zero": extended(linkpath="re\0al") + header("bin/su", tarfile.SYMTYPE) + plain("re"),
    "a long word": extended(linkpath="n" * 256) + header("bin/su", tarfile.SYMTYPE),
    "a hard link to nothing": header("bin/su", tarfile.LNKTYPE, link="bin/real") + plain("bin/real", mode=0o4755),
    "a hard link to a link": plain("a")
    + header("b", tarfile.SYMTYPE, link="a") + header("c", tarfile.LNKTYPE, link="b"),
    "a hard link to a folder": header("a/", tarfile.DIRTYPE) + header("c", tarfile.LNKTYPE, link="a"),
    "a link in the place of a folder": plain("bin/a") + header("bin", tarfile.SYMTYPE, link="share"),
    "a folder in the place of a link": header("bin", tarfile.SYMTYPE, link="share") + header("bin/", tarfile.DIRTYPE),
    "a name with a zero": extended(path="a\0b") + plain("x"),
    "a name of nothing": plain("./"),
    "a device": DEVICE,
    "a part of another volume": header("a", b"M"),
}  # fmt: skip


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_what_cannot_be_made_is_refused_and_nothing_else_is_made_in_its_place(tmp_path, behind):
    with pytest.raises(ValueError) as caught:
        unpacked(tmp_path, behind + END)
    assert isinstance(caught.value.__cause__, members.UnsafeError)
    assert all(what in ("0o755", "0o644", "a", "share") for what in made(tmp_path / "inner").values())


def test_a_link_on_the_way_is_not_followed_where_it_was_there_before(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/door").symlink_to(tmp_path)
    tar = TarReader(io.BytesIO(plain("door/key") + END))
    with pytest.raises(OSError):
        members.extract_member(tar, tar.next(), str(tmp_path / "inner"))
    assert not (tmp_path / "key").exists()


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a").symlink_to(tmp_path / "precious")
    tar = TarReader(io.BytesIO(plain("a") + END))
    members.extract_member(tar, tar.next(), str(tmp_path / "inner"))
    assert (tmp_path / "precious").read_text() == "mine" and (tmp_path / "inner/a").read_text() == "x"


def test_more_than_the_disk_can_hold_is_not_begun(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.tar").write_bytes(plain("small") + extended(size=1 << 60) + header("large"))
    with pytest.raises(OSError) as caught:
        members.unpack(str(tmp_path / "a.tar"), str(tmp_path / "inner"))
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path / "inner") == ["small"]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (b"", CutOffError),
        (END[:BLOCK], CutOffError),
        (END[:-1], CutOffError),
        (END[:BLOCK] + plain("late"), tarfile.ReadError),
        (END + plain("late"), tarfile.ReadError),
        (END + b"\1", tarfile.ReadError),
        (END + bytes(5_000_000), tarfile.ReadError),
        (extended(path="late") + END, CutOffError),
    ],
    ids=["none", "half", "a byte less", "a member between", "a member", "a byte", "zeros for ever", "a header"],
)
def test_an_archive_without_its_end_is_not_whole(tmp_path, end, kind):
    assert read(plain("a") + END + bytes(9000)) == [("a", b"x")]
    with pytest.raises(kind) as caught:
        read(plain("a") + end)
    with pytest.raises(ValueError) as wrapped:
        unpacked(tmp_path, plain("a") + end)
    assert type(caught.value) is type(wrapped.value.__cause__) is kind
