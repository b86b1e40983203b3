"""Archives and notes that were made to do harm: the error is one of ours, and nothing gets out of the folder."""

import io
import json
import os
import stat
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.module_utils.provision.store import checkpoint as checkpoints
from plugins.module_utils.provision.store import manifest as manifests
from plugins.module_utils.provision.store import members, read
from plugins.module_utils.provision.store.choose import candidates
from plugins.module_utils.provision.store.errors import BadArchive, StoreError
from plugins.module_utils.provision.store.pack import adopt
from plugins.module_utils.provision.store.read import read_archive
from plugins.module_utils.provision.store.tar import TarReader
from provision.store import builds as shelf_of

from .packed import KEY
from .packed import MANIFEST as WHOLE

MANIFEST = {**WHOLE, "commands": ["mrinfo"], "created": 1.0}
MACHINE = {
    "release": "debian-12", "arch": "x86_64", "glibc": "2.36", "cpu": "x86-64-v3", "own_cpu": "x86-64-v3", "flags": []
}  # fmt: skip
WANTED = {"tool": "mrtrix3", "version": "any", "cpu": "", "commands": [], "repo": "here"}
quick = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))

# Names and targets with what leads elsewhere, and what no system has.
WORDS = st.sampled_from(["a", "b", "bin", "..", ".", "", "~", "n" * 255, "n" * 300, "\0", "\udcff", "é", "-x", "a\nb"])
NAMES = st.one_of(st.lists(WORDS, max_size=5).map("/".join), st.text(max_size=40), st.just("x/" * 2500))
KINDS = st.sampled_from([bytes([kind]) for kind in b"0123456789SLKxgXVMD\0"])
NUMBERS = st.one_of(st.integers(-(2**62), 2**62), st.integers(0, 2000))


@st.composite
def headers(draw):
    """Return one member as it stands in an archive, which may say anything of itself."""
    member = tarfile.TarInfo("x")
    content = draw(st.binary(max_size=700))
    member.type = draw(KINDS)
    member.mode = draw(st.sampled_from([0o644, 0o755, 0o4755, 0o2777, 0o7777, 0]))
    member.uid = draw(st.sampled_from([0, 1000, 65534]))
    member.devmajor, member.devminor = 1, 3
    member.mtime = draw(st.one_of(st.just(1), NUMBERS))
    member.size = draw(st.one_of(st.just(len(content)), NUMBERS))
    given_names = {"path": draw(NAMES), "linkpath": draw(NAMES)}
    more = [{}, {}, {"size": "7"}, {"size": "9" * 30}, {"mtime": "nan"}, {"GNU.sparse.map": "1"}]
    extra = draw(st.sampled_from(more))
    raw = b"".join(_record(*one) for one in {**given_names, **extra, "provision.mtime": "5"}.items())
    before = tarfile.TarInfo("h")
    before.type, before.size = tarfile.XHDTYPE, len(raw)
    with suppress(ValueError):
        return _block(before, raw) + _block(member, content)
    return _block(before, raw)


def _record(keyword, value):
    rest = f" {keyword}={value}\n".encode("utf-8", "surrogatepass")
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _block(member, content):
    return member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def manifest_of(content):
    member = tarfile.TarInfo(manifests.MANIFEST)
    member.size = len(content)
    return _block(member, content)


def outside(folder):
    return sorted(path for path in Path(folder).rglob("*") if Path(folder, "in") not in (path, *path.parents))


def check_made(folder):
    """Check that there are plain files, folders and links in a folder, and none of them more than that."""
    for path in Path(folder).rglob("*"):
        look = path.lstat()
        assert stat.S_IFMT(look.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK), path
        assert path.is_symlink() or stat.S_IMODE(look.st_mode) in (0o644, 0o755), path
        assert look.st_uid == os.geteuid()
        target = Path(os.path.normpath(path.parent / os.readlink(path))) if path.is_symlink() else path
        assert Path(folder) in (target, *target.parents)


@quick
@given(st.lists(headers(), max_size=4), st.sampled_from([1024, 0, 512, 9000]))
def test_no_member_gets_out_of_the_folder_or_becomes_more_than_a_file(parts, end):
    body = b"".join(parts)
    manifest = json.dumps({**MANIFEST, "unpacked": 700}).encode()
    with tempfile.TemporaryDirectory() as place:
        for name, content in (("b.tar", body), (f"{KEY}.tar.zst", manifest_of(manifest) + body)):
            content += bytes(end)
            packed = zstandard.ZstdCompressor(write_checksum=True).compress(content) if "zst" in name else content
            Path(place, name).write_bytes(packed)
            Path(place, "in").mkdir()
            before = outside(place)
            try:
                if "zst" in name:
                    read_archive(str(Path(place, name)), str(Path(place, "in")))
                else:
                    members.unpack(str(Path(place, name)), str(Path(place, "in")))
            except (BadArchive, ValueError) as error:
                assert type(error) is ValueError or isinstance(error, BadArchive)
            except OSError as error:
                assert error.errno == 28  # it says that it holds more than any disk
            assert outside(place) == before
            check_made(Path(place, "in"))
            Path(place, "in").rename(Path(place, name + "-done"))


@quick
@given(st.lists(headers(), max_size=4))
def test_no_piece_of_an_unfinished_build_gets_out_of_the_tree(members):
    with tempfile.TemporaryDirectory() as place:
        kept = checkpoints.Checkpoint(os.path.join(place, "store"), os.path.join(place, "in"), {"commit": "a"})
        os.makedirs(kept.folder)
        os.mkdir(kept.source)
        content = zstandard.ZstdCompressor(write_checksum=True).compress(b"".join(members) + bytes(1024))
        Path(kept.folder, "0001.tar.zst").write_bytes(content)
        kept.restore()
        assert {path.name.removesuffix(".bad") for path in outside(place)} <= {
            "store", "unfinished", os.path.basename(kept.folder), "0001.tar.zst"
        }  # fmt: skip
        check_made(kept.source)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=20),
        st.sampled_from(["\ud800", "x" * 5000, "../..", "\0", "3.0.8"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)  # fmt: skip
FIELDS = [*manifests._FIELDS, "repo", "belongs_to", "cpu_flags", "build_seconds", "size", "sha256", "more"]
CHANGES = st.dictionaries(st.sampled_from(FIELDS), JSON)
RAW = st.sampled_from(
    [
        b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 400, b"-" + b"9" * 5000, b'{"created": 1' + b"0" * 400 + b"}",
        b'{"version": "\\ud800"}', b'{"a": NaN}', b'{"a": 1e999}', b"null",
    ]
)  # fmt: skip


def texts(**fixed):
    """Return manifests as they could stand in a file, most of them almost right."""
    made = CHANGES.map(lambda changes: json.dumps({**MANIFEST, "unpacked": 1, **fixed, **changes}).encode())
    return st.one_of(made, made.map(lambda text: text.replace(b'"3.0.8"', b'"\\ud800"')), RAW)


def archive(path, manifest, members=((b"x"),)):
    body = b"".join(_block(_plain(len(content)), content) for content in members)
    content = manifest_of(manifest) + body + bytes(1024)
    path.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(content))


def _plain(size):
    member = tarfile.TarInfo("bin-x")
    member.size = size
    return member


def look(place):
    """Do all that looks into a store, and return what `ls` finds."""
    list(candidates(str(place), WANTED, MACHINE, []))
    list(candidates(str(place), {**WANTED, "version": "3.0.8"}, MACHINE, []))
    found = shelf_of.ls(place)
    checked = shelf_of.verify(place, progress=lambda _: None)
    for text in (repr(found), repr(checked), found._repr_html_(), json.dumps(checked.to_dict())):
        text.encode()
    return found


@quick
@given(texts(), texts(sha256="0" * 64, size=100))
def test_no_manifest_hides_the_other_builds_of_a_store(inside, beside):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        good = json.dumps({**MANIFEST, "unpacked": 1, "release": "debian-11"}).encode()
        archive(place / f"{KEY.replace('debian12', 'debian11')}.tar.zst", good)
        archive(place / f"{KEY}.tar.zst", inside)
        (place / f"{KEY}.json").write_bytes(beside)
        (sound,) = [build for build in look(place) if "debian11" in build.key]
        assert not sound.problem
        with suppress(StoreError):
            adopt(str(place / f"{KEY}.tar.zst"), str(place / "other"))


@pytest.mark.parametrize("name", [f"{KEY}.tar.zst", f"{KEY}.json"])
@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda path: os.symlink(path.name, path), lambda path: os.symlink("/dev/zero", path),
     lambda path: os.symlink("gone", path), lambda path: path.write_bytes(b'{"a":' + b" " * 5_000_000)],
    ids=["pipe", "folder", "round", "zeros", "nowhere", "large"],
)  # fmt: skip
def test_what_is_no_file_is_not_waited_for_and_hides_nothing(tmp_path, name, make):
    good = json.dumps({**MANIFEST, "unpacked": 1, "release": "debian-11"}).encode()
    archive(tmp_path / f"{KEY.replace('debian12', 'debian11')}.tar.zst", good)
    if name.endswith(".json"):
        archive(tmp_path / f"{KEY}.tar.zst", json.dumps({**MANIFEST, "unpacked": 1}).encode())
    make(tmp_path / name)
    found = look(tmp_path)
    assert len(found) == 2 and len([build for build in found if not build.problem]) == 1 + name.endswith(".json")


@quick
@given(st.binary(max_size=3000))
def test_any_bytes_are_no_archive(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{KEY}.tar.zst")
        for data in (content, zstandard.ZstdCompressor().compress(content)):
            path.write_bytes(data)
            with suppress(BadArchive):
                read.manifest_of(str(path))
            with pytest.raises(BadArchive):
                read_archive(str(path))
        with io.BytesIO(content) as raw, suppress(tarfile.TarError):
            list(TarReader(raw))
