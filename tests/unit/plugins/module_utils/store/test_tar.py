"""Tar archives that are read with bounds, and unpacked into plain files, folders and links alone."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import tracemalloc

import pytest

from plugins.module_utils.provision import files as files
from plugins.module_utils.provision.store import members, tar
from plugins.module_utils.provision.store.tar import TarReader

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name, kind=tarfile.REGTYPE, size=0, link="", mode=0o644, mtime=0):
    """Return the header of a member, whatever it says of it."""
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname, member.mode, member.mtime = kind, size, link, mode, mtime
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(content):
    return content + bytes(-len(content) % BLOCK)


def plain(name, content=b"x", mode=0o644):
    return header(name, size=len(content), mode=mode) + padded(content)


def record(keyword, value):
    rest = f" {keyword}={value}\n".encode("utf-8", "surrogateescape")
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def extended(kind=tarfile.XHDTYPE, content=None, **records):
    content = b"".join(record(*one) for one in records.items()) if content is None else content
    return header("h", kind, len(content)) + padded(content)


def read(content):
    """Return [(name, content)] of an archive that is read to its end."""
    tar = TarReader(io.BytesIO(content))
    return [(member.name, b"".join(tar.blocks())) for member in tar]


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


# --- What tar itself writes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_any_tar_writes_is_read(form):
    names = ["a", "long/" * 30 + "name", "empty"] + (["Schädel", "n" * 250] if form != tarfile.USTAR_FORMAT else [])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = 0 if name == "empty" else 700 * number + 1
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    assert [(name, len(content)) for name, content in read(buffer.getvalue())] == [
        (name, 0 if name == "empty" else 700 * number + 1) for number, name in enumerate(names)
    ]


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


# --- What the system refuses ------------------------------------------------------------------------------------------

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
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpacked(tmp_path, behind + END)
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
    with pytest.raises(OSError, match="No space left"):
        members.unpack(str(tmp_path / "a.tar"), str(tmp_path / "inner"))
    assert os.listdir(tmp_path / "inner") == ["small"]


# --- The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (b"", "ends too early"),
        (END[:BLOCK], "ends too early"),
        (END[:-1], "ends too early"),
        (END[:BLOCK] + plain("late"), "follows after its end"),
        (END + plain("late"), "follows after its end"),
        (END + b"\1", "follows after its end"),
        (END + bytes(5_000_000), "follows after its end"),
        (extended(path="late") + END, "ends after a header"),
    ],
    ids=["none", "half", "a byte less", "a member between", "a member", "a byte", "zeros for ever", "a header"],
)
def test_an_archive_without_its_end_is_not_whole(tmp_path, end, words):
    assert read(plain("a") + END + bytes(9000)) == [("a", b"x")]
    with pytest.raises(tarfile.TarError, match=words):
        read(plain("a") + end)
    with pytest.raises(ValueError, match=words):
        unpacked(tmp_path, plain("a") + end)


# --- Bounds -----------------------------------------------------------------------------------------------------------


class Endless:
    """A file with a beginning, and zeros after it for ever; more than is asked for with reason is a failure."""

    def __init__(self, start):
        self._start = io.BytesIO(start)

    def read(self, size):
        assert size <= 1 << 20, f"{size} bytes are to be read at once"
        data = self._start.read(size)
        return data + bytes(size - len(data))


@pytest.mark.parametrize("kind", [*b"xgLKX"])
@pytest.mark.parametrize("size", [1 << 17, 1_500_000_000, (1 << 63) - 1])
def test_a_header_that_is_too_long_is_not_read(kind, size):
    with pytest.raises(tarfile.TarError, match="far too long"):
        TarReader(Endless(header("h", bytes([kind]), size))).next()


@pytest.mark.parametrize(
    "endless",
    [
        extended(content=record("comment", "x" * 60_000)),
        extended(content=b"".join(record(f"a{number}", "") for number in range(500))),
        header("h", tarfile.GNUTYPE_LONGNAME, 512) + b"a" * 512,
        plain("a"),
    ],
    ids=["one word", "many words", "names", "members"],
)
def test_what_never_ends_comes_to_an_end_and_fills_no_memory(endless, monkeypatch):
    monkeypatch.setattr(tar, "_MEMBERS_LIMIT", 2000)
    monkeypatch.setattr(tar, "_HEADERS_LIMIT", 1 << 20)
    tracemalloc.start()
    with pytest.raises(tarfile.TarError, match=r"members|far too long"):
        for _ in TarReader(_Repeated(endless)):
            pass
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


class _Repeated:
    def __init__(self, content):
        self._content, self._at = content, 0

    def read(self, size):
        many = self._content * (size // len(self._content) + 2)
        data = many[self._at : self._at + size]
        self._at = (self._at + size) % len(self._content)
        return data


def test_names_of_many_folders_do_not_fill_the_memory():
    known = members.Members()
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than"):
        for number in range(1000):
            known.check(tarfile.TarInfo(f"{number}/" + "a/" * 1900 + "a"))
    assert tracemalloc.get_traced_memory()[1] < 200_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        extended(content=b"abc"),
        extended(content=b"9999 path=x\n"),
        extended(content=b"0 path=x\n"),
        extended(content=b"11 path=x\n"),
        extended(content=b"8 =abcd\n"),
        extended(content=record("size", "-5")),
        extended(content=record("size", "many")),
        extended(content=record("size", "9" * 4000)),
        extended(content=record("mtime", "nan")),
        extended(content=record("mtime", "inf")),
        extended(content=record("mtime", "1e300")),
        extended(content=record("GNU.sparse.major", "1")),
        header("a", tarfile.GNUTYPE_SPARSE),
        b"\xff" * BLOCK,
        bytes(100) + b"7" * 412,
    ],
    ids=range(15),
)
def test_a_header_that_makes_no_sense_is_the_archives_fault(content):
    with pytest.raises(tarfile.TarError):
        read(content + plain("a") + END)
