"""The store of builds: archives that are whole or not there, and that are chosen for where they run."""

import errno
import json
import os
import re
import shutil
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

from plugins.module_utils.provision.store import archives as store
from plugins.module_utils.provision.store import zstd as zstd

from .packed import (
    KEY,
    MANIFEST,
    _File,
    carried,
    content_of,
    crafted,
    failing,
    flip,
    frame_of,
    pack,
    plain,
    prefix,  # noqa: F401
    shelf,  # noqa: F401
    tar_of,
    told,
    unpacked,
    use,
    visible,
)

MACHINE = {
    "release": "debian-12", "arch": "x86_64", "glibc": "2.36", "cpu": "x86-64-v3", "own_cpu": "x86-64-v3",
    "flags": ["avx", "avx2", "fma"],
}  # fmt: skip
WANTED = {"tool": "mrtrix3", "version": "3.0.8", "cpu": "", "commands": [], "repo": "here"}


# --- Archives made by hand --------------------------------------------------------------------------------------------


def special(name, kind, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


def link(name, target):
    return special(name, tarfile.SYMTYPE, target)


def refuse(path, tmp_path, words):
    """Check that an archive is refused, both by those who only check it and by those who unpack it."""
    inner = tmp_path / "inner"
    shutil.rmtree(inner, ignore_errors=True)
    inner.mkdir()
    before = outside(tmp_path)
    for keep in (None, str(inner)):
        with pytest.raises(store.BadArchive, match=words):
            store.read_archive(path, keep)
    assert outside(tmp_path) == before


def outside(tmp_path):
    return {name: what for name, what in content_of(tmp_path).items() if not name.startswith("inner/")}


# --- What goes in comes out -------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(store.time, "time", lambda: 1_700_000_000.0)
    first = Path(pack(prefix, shelf)["archive"]).read_bytes()
    shutil.copytree(prefix, tmp_path / "copy", symlinks=True)

    def walk(top, real=os.walk):
        for folder, folders, names in real(top):
            folders.reverse()
            names.reverse()
            yield folder, folders, names

    monkeypatch.setattr(store.os, "walk", walk)  # a file system that lists in another order
    assert Path(pack(tmp_path / "copy", tmp_path / "other")["archive"]).read_bytes() == first


def test_two_packs_of_one_tree_differ_in_times_only(prefix, shelf, monkeypatch):
    def without_times():
        with store.stream_of(pack(prefix, shelf)["archive"]) as tar:
            manifest = json.loads(tar.read(tar.next().size))
            del manifest["created"]
            return manifest, [{**member.get_info(), "mtime": 0, "chksum": 0} for member in tar]

    first = without_times()
    now = time.time() + 5000
    monkeypatch.setattr(store.time, "time", lambda: now)
    assert without_times() == first


def test_all_files_of_an_archive_have_one_time(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    with store.stream_of(packed["archive"]) as tar:
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
    packed = store.pack(str(prefix), str(shelf), MANIFEST, lambda *step: steps.append(step))
    assert steps[-1] == (packed["unpacked"],) * 2
    steps.clear()
    store.read_archive(packed["archive"], tell=lambda *step: steps.append(step))
    assert steps[-1] == (packed["size"],) * 2


def test_a_manifest_with_something_missing_is_not_packed(prefix, shelf):
    with pytest.raises(store.StoreError, match="'glibc'"):
        store.pack(str(prefix), str(shelf), {name: MANIFEST[name] for name in MANIFEST if name != "glibc"})
    assert not shelf.exists()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, KEY),
        ({"release": "ubuntu-22.04"}, "mrtrix3-3.0.8-ubuntu22.04-x86_64-x86-64-v3"),
        ({"version": "feature/x y"}, "mrtrix3-feature-x-y-debian12-x86_64-x86-64-v3-from6770e4c9"),
        ({"version": "../../etc"}, "mrtrix3-..-..-etc-debian12-x86_64-x86-64-v3-from024dc957"),
        ({"cpu": ""}, "mrtrix3-3.0.8-debian12-x86_64-default"),
        ({"belongs_to": "mrtrix3-3.0.4"}, "mrtrix3-3.0.8-mrtrix3-3.0.4-debian12-x86_64-x86-64-v3"),
    ],
)
def test_a_name_says_what_it_is_and_has_no_odd_letters(changes, key):
    assert store.key_of({**MANIFEST, **changes}) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"version": "feature/x"}, {"version": "feature-x"}),
        ({"version": "dev", "repo": "here"}, {"version": "dev", "repo": "there"}),
        ({"cpu": "native", "cpu_flags": ["avx"]}, {"cpu": "native", "cpu_flags": ["avx", "avx512f"]}),
    ],
    ids=["branches", "repositories", "processors"],
)
def test_builds_that_are_not_the_same_have_not_the_same_name(one, other):
    assert store.key_of({**MANIFEST, **one}) != store.key_of({**MANIFEST, **other})


def test_a_build_of_some_commands_has_a_mark_for_which(prefix, shelf):
    some = store.key_of({**MANIFEST, "complete": False, "asked": ["mrinfo", "tckgen"]})
    assert re.fullmatch(f"{re.escape(KEY)}-only[0-9a-f]{{8}}", some)
    assert some == store.key_of({**MANIFEST, "complete": False, "asked": ["tckgen", "mrinfo"]})
    assert some != store.key_of({**MANIFEST, "complete": False, "asked": ["mrinfo"]})
    packed = pack(prefix, shelf, complete=False, asked=["mrinfo", "tckgen"])
    assert packed["archive"] == str(shelf / f"{some}.tar.zst")


# --- Hostile archives -------------------------------------------------------------------------------------------------


def test_an_archive_made_by_hand_is_as_good_as_any(shelf, tmp_path):
    path = crafted(shelf, plain("bin/mrinfo", b"yes"), link("bin/alias", "mrinfo"))
    assert unpacked(path, tmp_path / "again") == {"bin/mrinfo": (b"yes", False), "bin/alias": "-> mrinfo"}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([plain("../x")], "outside"),
        ([plain("bin/../../x")], "outside"),
        ([plain("/abs")], "outside"),
        ([link("door", "/etc")], "outside"),
        ([link("door", "../../etc")], "outside"),
        ([link("bin/door", "../..")], "outside"),
        ([link("door", ".."), plain("door/x")], "outside"),
        ([special("hard", tarfile.LNKTYPE, "/etc/passwd")], "outside"),
        ([special("hard", tarfile.LNKTYPE, "../x")], "outside"),
        ([special("null", tarfile.CHRTYPE)], "device or a pipe"),
        ([special("disk", tarfile.BLKTYPE)], "device or a pipe"),
        ([special("pipe", tarfile.FIFOTYPE)], "device or a pipe"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(f"{m.name}-{m.linkname}" for m, _ in value),
)
def test_a_member_that_would_leave_the_folder_is_refused(shelf, tmp_path, members, words):
    refuse(crafted(shelf, *members), tmp_path, words)


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
    with suppress(store.StoreError):
        store.read_archive(path, str(tmp_path / "inner"))
    assert outside(tmp_path) == before


def test_links_that_lead_out_together_are_refused(shelf, tmp_path):
    # `door` is within the folder until `away` is there: then it is the folder above.
    refuse(crafted(shelf, link("door", "away/.."), link("away", "."), plain("x")), tmp_path, "outside")


def test_a_way_through_a_link_is_refused(shelf, tmp_path):
    refuse(crafted(shelf, link("door", "bin"), plain("bin/a"), plain("door/x")), tmp_path, "outside")


def test_a_way_out_over_two_links_is_refused_before_anything_is_unpacked(shelf):
    with pytest.raises(store.BadArchive, match="outside"):
        store.read_archive(crafted(shelf, link("bin/up", ".."), link("bin/out", "up/.."), plain("x")))


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
    with suppress(store.BadArchive, OSError):
        store.read_archive(crafted(shelf, *members), str(tmp_path / "inner"))
    assert (tmp_path / "precious").read_text() == "mine"


def test_more_than_the_manifest_says_is_refused_before_it_is_written(shelf, tmp_path):
    path = crafted(shelf, plain("bin/a"), plain("bin/bomb", bytes(5_000_000)), unpacked=1000)
    refuse(path, tmp_path, "more than its manifest says")
    assert not (tmp_path / "inner/bin/bomb").exists()


def test_less_than_the_manifest_says_is_refused(shelf, tmp_path):
    refuse(crafted(shelf, plain("bin/a"), unpacked=1000), tmp_path, "less than its manifest says")


@pytest.mark.parametrize(
    "first",
    [
        plain("bin/mrinfo"),
        plain("share/manifest.json", b"{}"),
        plain(store.MANIFEST, b"{"),
        plain(store.MANIFEST, b"\xff\xfe"),
        plain(store.MANIFEST, b"[]"),
        plain(store.MANIFEST, b" " * 2_000_000 + json.dumps(told([])).encode()),
        link(store.MANIFEST, "bin/mrinfo"),
        special(store.MANIFEST, tarfile.DIRTYPE),
        plain(store.MANIFEST, b"[" * 200_000),
    ],
    ids=["none", "elsewhere", "not JSON", "not UTF-8", "a list", "2 MB", "a link", "a folder", "deep"],
)
def test_an_archive_without_a_manifest_at_its_beginning_is_refused(shelf, tmp_path, first):
    refuse(crafted(shelf, first=first), tmp_path, "manifest")


def test_a_manifest_further_behind_is_not_looked_for(shelf, tmp_path):
    manifest = plain(store.MANIFEST, json.dumps(told([plain("bin/a")])).encode())
    refuse(crafted(shelf, manifest, first=plain("bin/a")), tmp_path, "no manifest at its beginning")


@pytest.mark.parametrize("name", sorted(store._FIELDS))
def test_a_manifest_of_other_types_is_refused(shelf, tmp_path, name):
    path = crafted(shelf)
    for wrong in ({}, None):
        manifest = {**told([]), name: wrong}
        Path(path).write_bytes(frame_of(tar_of(plain(store.MANIFEST, json.dumps(manifest).encode()))))
        refuse(path, tmp_path, f"no right '{name}'")


@pytest.mark.parametrize("changes", [{"complete": False, "asked": [1, 2]}, {"commands": [[]]}, {"cpu_flags": 3}])
def test_a_manifest_with_other_things_in_its_lists_is_refused(shelf, tmp_path, changes):
    path = crafted(shelf)
    manifest = {**told([]), **changes}
    Path(path).write_bytes(frame_of(tar_of(plain(store.MANIFEST, json.dumps(manifest).encode()))))
    refuse(path, tmp_path, "no right")


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([plain("a"), plain("a/b")], id="a file as a folder"),
        pytest.param([plain("a/b"), plain("a")], id="a folder as a file"),
        pytest.param([special(store.MANIFEST, tarfile.DIRTYPE)], id="the manifest as a folder"),
        pytest.param([plain("n" * 300)], id="a name too long"),
        pytest.param([link("a", "a"), plain("a/b")], id="a link to itself"),
    ],
)
def test_members_that_cannot_be_together_are_the_archives_fault(shelf, tmp_path, members):
    with pytest.raises(store.BadArchive):
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
    with pytest.raises(store.BadArchive):
        unpacked(crafted(shelf, member), tmp_path / "inner")


# --- Broken archives --------------------------------------------------------------------------------------------------


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
        with pytest.raises(store.BadArchive):
            store.read_archive(str(path))
    path.write_bytes(whole)
    store.read_archive(str(path))


def test_an_archive_that_lacks_nothing_but_its_end_is_refused(shelf, tmp_path):
    members = [plain("bin/a", b"a" * 700), plain("bin/b", b"b" * 512)]
    content = tar_of(plain(store.MANIFEST, json.dumps(told(members)).encode()), *members)
    end = content.index(b"b" * 512) + 512
    packing = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    files = packing.compress(content[:end]) + packing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    rest = packing.compress(content[end:]) + packing.flush()
    path = Path(crafted(shelf, *members))
    for left in (b"", rest[:-4], rest[:-1]):  # all files are there; of the rest nothing, all but the checksum, or most
        path.write_bytes(files + left)
        refuse(str(path), tmp_path, "ends too early")
    path.write_bytes(files + rest)
    assert len(unpacked(path, tmp_path / "again")) == 2


def test_what_comes_after_the_last_member_counts_too(shelf, tmp_path):
    path = Path(crafted(shelf, plain("bin/a")))
    whole = frame_of(zstandard.ZstdDecompressor().decompress(path.read_bytes()) + bytes(3_000_000))
    path.write_bytes(whole)
    assert store.read_archive(str(path))["version"] == "3.0.8"
    path.write_bytes(flip(whole, len(whole) - 1))  # in the checksum, long after tar has seen its own end
    refuse(str(path), tmp_path, "broken")
    path.write_bytes(whole[:-1])
    refuse(str(path), tmp_path, "ends too early")


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>\n", bytes(9000), frame_of(b""), frame_of(b"no tar")])
def test_what_is_no_archive_is_refused(shelf, tmp_path, content):
    path = crafted(shelf)
    Path(path).write_bytes(content)
    refuse(path, tmp_path, "broken")


@pytest.mark.parametrize("garbage", [b"\0", b"garbage", frame_of(b"x"), bytes(600_000)])
def test_something_after_the_end_is_refused(shelf, tmp_path, garbage):
    path = crafted(shelf, plain("bin/a"))
    with open(path, "ab") as file:
        file.write(garbage)
    refuse(path, tmp_path, "follows after its end")


NAMES_OF_COPIES = (
    f"{KEY} (1).tar.zst", f"Copy of {KEY}.tar.zst", f"{KEY} (Jane's conflicted copy 2026-01-02).tar.zst",
    f"{KEY.upper()}.TAR.ZST", f"{KEY}.tar (1).zst", f"{KEY}.tar - Copy.zst", f"{KEY.replace('3.0.8', '3.0.9')}.tar.zst",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES_OF_COPIES)
@pytest.mark.parametrize("beside", [True, False])
def test_an_archive_is_taken_by_its_manifest_whatever_its_name_is(prefix, shelf, tmp_path, name, beside):
    pack(prefix, shelf)
    (shelf / f"{KEY}.tar.zst").rename(shelf / name)
    if beside:
        (shelf / f"{KEY}.json").rename(store.beside(str(shelf / name)))
    before = content_of(shelf)
    assert [path for path, _ in store.candidates(str(shelf), WANTED, MACHINE, [])] == [str(shelf / name)]
    assert unpacked(shelf / name, tmp_path / "again") == carried(prefix)
    assert content_of(shelf) == before


@pytest.mark.parametrize("name", [f"{KEY}.tar.zst.part", f"{KEY}.tar.zst.crdownload", f"._{KEY}.tar.zst", f"{KEY}.zst"])
def test_what_a_browser_has_not_finished_is_nobodys_build(prefix, shelf, name):
    (shelf / "x").parent.mkdir()
    (shelf / name).write_bytes(b"half")
    assert choose(shelf) == ([], {})


def test_two_copies_of_a_build_are_both_left_and_the_one_of_its_own_name_is_first(prefix, shelf):
    packed = pack(prefix, shelf)
    shutil.copy(packed["archive"], shelf / f"{KEY} (1).tar.zst")
    before = content_of(shelf)
    assert choose(shelf)[0] == [KEY, f"{KEY} (1)"]
    assert content_of(shelf) == before


def test_older_notes_beside_a_newer_archive_are_not_believed(prefix, shelf, tmp_path):
    old = pack(prefix, shelf, commands=["mrinfo"])
    notes = (shelf / f"{KEY}.json").read_text()
    (prefix / "bin/tckgen").write_text("new")
    time.sleep(0.1)
    new = pack(prefix, shelf)
    (shelf / f"{KEY}.json").write_text(notes)
    assert new["size"] != old["size"]
    assert store.manifest_of(new["archive"])["commands"] == MANIFEST["commands"]
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
    manifest = store.manifest_of(packed["archive"])
    assert manifest.items() <= packed.items() and manifest["size"] == packed["size"]


def test_an_archive_with_another_sha256_than_was_noted_is_refused(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    notes = json.loads((shelf / f"{KEY}.json").read_text())
    (shelf / f"{KEY}.json").write_text(json.dumps({**notes, "sha256": "0" * 64}))
    refuse(packed["archive"], tmp_path, "SHA-256")


def test_notes_of_another_build_are_not_believed(prefix, shelf, tmp_path):
    packed = pack(prefix, shelf)
    pack(prefix, tmp_path / "other", version="3.0.9", glibc="2.41")
    shutil.copy(tmp_path / "other" / f"{KEY.replace('3.0.8', '3.0.9')}.json", shelf / f"{KEY}.json")
    assert store.manifest_of(packed["archive"])["version"] == "3.0.8"


@pytest.mark.parametrize("version", ["3.0.8", "3.0.9"])
def test_notes_of_another_packing_are_not_held_against_a_good_archive(prefix, shelf, tmp_path, version):
    # As when two machines pack at once, or one packs while another reads: the notes are read before the archive.
    pack(prefix, tmp_path / "other", version=version)
    (prefix / "bin/mrinfo").write_text("newer")
    time.sleep(0.1)  # the time of packing is told in tenths of a second
    packed = pack(prefix, shelf)
    shutil.copy(tmp_path / "other" / f"{KEY.replace('3.0.8', version)}.json", shelf / f"{KEY}.json")
    assert unpacked(packed["archive"], tmp_path / "again") == carried(prefix)


# --- Choosing ---------------------------------------------------------------------------------------------------------


def choose(shelf, machine=MACHINE, **wanted):
    """Return (names of the archives that fit, the best first, {name: why not} of the others)."""
    passed_over = []
    found = [os.path.basename(path) for path, _ in store.candidates(
        str(shelf), {**WANTED, **wanted}, machine, passed_over
    )]  # fmt: skip
    return [name[:-8] for name in found], {os.path.basename(note["archive"])[:-8]: note["why"] for note in passed_over}


def build(shelf, **changes):
    """Put a build into the store and return its name."""
    return os.path.basename(crafted(shelf, plain("bin/mrinfo"), **changes))[:-8]


def test_the_build_of_this_very_machine_is_found_without_listing_the_store(shelf, monkeypatch):
    build(shelf, release="debian-11", created=9.0)
    build(shelf)
    monkeypatch.setattr(os, "listdir", lambda *_: pytest.fail("the store was listed"))
    found = store.candidates(str(shelf), WANTED, MACHINE, [])
    assert next(found)[0] == str(shelf / f"{KEY}.tar.zst")


def test_a_build_of_some_commands_is_found_without_listing_the_store(shelf, monkeypatch):
    some = build(shelf, complete=False, asked=["mrinfo", "tckgen"], commands=["mrinfo", "tckgen"])
    monkeypatch.setattr(os, "listdir", lambda *_: pytest.fail("the store was listed"))
    found = store.candidates(str(shelf), {**WANTED, "commands": ["tckgen", "mrinfo"]}, MACHINE, [])
    assert next(found)[0] == str(shelf / f"{some}.tar.zst")


def test_another_releases_build_serves_when_the_own_one_is_missing(shelf):
    other = build(shelf, release="debian-11", glibc="2.31")
    assert choose(shelf) == ([other], {})


def test_after_the_own_build_come_the_others(shelf):
    other = build(shelf, release="debian-11", glibc="2.31", created=99.0)
    build(shelf)
    assert choose(shelf) == ([KEY, other], {})


def test_a_store_that_is_empty_or_missing_has_nothing(shelf):
    assert choose(shelf) == ([], {})
    shelf.mkdir()
    (shelf / "notes.txt").write_text("mine")
    (shelf / f"{KEY}.tar.zst.bad").write_text("broken")
    (shelf / ".new-abc.tar.zst").write_text("half")
    assert choose(shelf) == ([], {})
    assert choose(shelf / "notes.txt") == ([], {})


@pytest.mark.parametrize(
    ("changes", "wanted", "why"),
    [
        ({"glibc": "2.41"}, {}, "it needs glibc 2.41, and here is 2.36"),
        ({"arch": "aarch64"}, {}, "it is for aarch64, and this is x86_64"),
        ({"cpu": "x86-64-v4"}, {}, "it is for x86-64-v4, and this processor is x86-64-v3"),
        ({"cpu": "native", "cpu_flags": ["avx", "sha_ni"]}, {}, "this processor lacks sha_ni"),
        ({"version": "3.0.7"}, {}, "it is version 3.0.7"),
        ({"tool": "fsl"}, {}, "it is fsl"),
        ({"cpu": "x86-64-v2"}, {"cpu": "x86-64-v3"}, "it was compiled for x86-64-v2"),
        ({"cpu": ""}, {"cpu": "x86-64"}, "it was compiled for no processor in particular"),
        ({"version": "dev", "repo": "there"}, {"version": "dev"}, "it was built from there"),
        ({"version": "dev", "repo": None}, {"version": "dev"}, "it was built from another repository"),
        ({"belongs_to": "mrtrix3-3.0.4"}, {"belongs_to": "mrtrix3-3.0.8"}, "it belongs to mrtrix3-3.0.4"),
        ({}, {"belongs_to": "mrtrix3-3.0.8"}, "it belongs to nothing"),
        ({"complete": False}, {}, "it has some of the commands only"),
        ({"complete": False}, {"commands": ["mrinfo", "tckgen"]}, "it lacks tckgen"),
    ],
    ids=lambda value: str(value) if value else None,
)
def test_a_build_that_does_not_fit_is_passed_over_with_the_reason(shelf, changes, wanted, why):
    name = build(shelf, **changes)
    assert choose(shelf, **wanted) == ([], {name: why})


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"glibc": "2.4"}, {}),  # as numbers: 4 is less than 36
        ({"cpu": "x86-64"}, {}),
        ({"cpu": ""}, {}),
        ({"cpu": "native", "cpu_flags": ["avx", "fma"]}, {}),
        ({"cpu": "native", "cpu_flags": ["avx"]}, {"cpu": "native"}),
        ({"repo": "there"}, {}),  # a release is the same wherever it came from
        ({"belongs_to": "mrtrix3-3.0.4"}, {}),
        ({"belongs_to": "mrtrix3-3.0.4"}, {"belongs_to": "mrtrix3-3.0.4"}),
        ({"version": "dev"}, {"version": "dev"}),
        ({"version": "feature/x"}, {"version": "feature/x"}),
        ({"complete": False}, {"commands": ["mrinfo"]}),
        ({}, {"commands": ["mrinfo"]}),
    ],
    ids=str,
)
def test_a_build_that_fits_is_found(shelf, changes, wanted):
    name = build(shelf, **changes)
    assert choose(shelf, **wanted) == ([name], {})


def test_a_machine_without_glibc_gets_no_build_made_for_it(shelf):
    build(shelf)
    assert choose(shelf, {**MACHINE, "glibc": ""})[1] == {KEY: "it needs glibc 2.36, and here is another C library"}


def test_a_build_for_one_processor_that_does_not_tell_which_is_passed_over(shelf):
    build(shelf, cpu="native")
    assert choose(shelf)[0] == []


def test_two_branches_of_one_name_are_told_apart(shelf):
    # Both have the same letters in the store's names; one has taken the other's place.
    name = build(shelf, version="feature-x")
    assert choose(shelf, version="feature/x") == ([], {name: "it is version feature-x"})


def test_any_version_is_the_newest_then_the_best_compiled_then_the_whole_then_the_latest(shelf):
    names = [
        build(shelf, version="3.0.10", cpu="x86-64", complete=False),
        build(shelf, version="3.0.9", cpu="x86-64-v3", complete=False, created=1.0),
        build(shelf, version="3.0.9", cpu="x86-64-v2", release="debian-11", created=3.0),
        build(shelf, version="3.0.9", cpu="x86-64-v2", release="debian-10", created=2.0),
        build(shelf, version="3.0.9", cpu="x86-64-v2", complete=False, created=4.0),
        build(shelf, version="3.0.8", cpu="x86-64-v3"),
    ]
    assert choose(shelf, version="any", commands=["mrinfo"]) == (names, {})


@pytest.mark.parametrize("version", ["94c6c20", "fix-1234", "20.1-branch"])
def test_any_version_is_a_release_where_there_is_one(shelf, version):
    branch = build(shelf, version=version, repo="there")
    release = build(shelf)
    assert choose(shelf, version="any") == ([release, branch], {})


def test_what_is_broken_is_passed_over_and_marked_as_such(shelf):
    build(shelf, release="debian-11", glibc="2.31")
    Path(crafted(shelf)).write_bytes(b"broken")
    passed_over = []
    found = [manifest["release"] for _, manifest in store.candidates(str(shelf), WANTED, MACHINE, passed_over)]
    assert found == ["debian-11"]
    assert [(note["archive"], note["bad"]) for note in passed_over] == [(str(shelf / f"{KEY}.tar.zst"), True)]


def test_a_version_of_endless_digits_stops_nobody(shelf):
    build(shelf, release="debian-11", glibc="9" * 5000)
    build(shelf, release="debian-10", glibc="2.31")
    assert len(choose(shelf)[0]) == 1


@pytest.mark.parametrize("hindrance", ["a folder", "a dead link", "vanished"])
def test_one_name_that_cannot_be_read_does_not_hide_the_others(shelf, monkeypatch, hindrance):
    good = build(shelf, release="debian-11", glibc="2.31")
    path = shelf / "mrtrix3-3.0.8-debian10-x86_64-x86-64-v3.tar.zst"
    if hindrance == "a folder":
        path.mkdir()
    elif hindrance == "a dead link":
        path.symlink_to("nowhere")
    else:  # between the listing and the look
        monkeypatch.setattr(store, "archives", lambda _: [str(path), str(shelf / f"{good}.tar.zst")])
    assert choose(shelf)[0] == [good]


# --- Stores that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EIO])
@pytest.mark.parametrize("beside", [True, False])
def test_a_store_that_fails_while_it_is_read_is_never_a_bad_archive(prefix, shelf, code, beside):
    path = pack(prefix, shelf)["archive"]
    if not beside:
        (shelf / f"{KEY}.json").unlink()
    for after in range(50):
        with failing(shelf, code, after) as failed:
            try:
                store.read_archive(path)
            except store.Unreadable as error:
                assert error.message.endswith(".") and str(shelf) in error.message and error.hint
                assert ("no longer mounted" in error.message) == (code == errno.ENOTCONN)
        if not failed:
            break
    assert 3 < after < 50
    assert store.read_archive(path)["version"] == "3.0.8"


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EIO])
@pytest.mark.parametrize(
    "beside",
    [True, False],
)
@pytest.mark.parametrize("version", ["3.0.8", "any"])
def test_a_store_that_fails_while_it_is_chosen_from_passes_over_no_archive(prefix, shelf, code, beside, version):
    pack(prefix, shelf, release="debian-11")
    pack(prefix, shelf)
    for path in () if beside else shelf.glob("*.json"):
        path.unlink()
    for after in range(50):
        with failing(shelf, code, after) as failed:
            try:
                found, passed_over = choose(shelf, version=version)
                assert (len(found), passed_over) == (2, {})
            except store.Unreadable as error:
                assert failed and error.hint
        if not failed:
            break
    assert 2 < after < 50


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "is full"), (errno.EROFS, "cannot be written to"), (errno.ENOTCONN, "is no longer mounted")],
)
@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_store_that_fails_while_it_is_written_keeps_its_earlier_archive(
    prefix, shelf, monkeypatch, code, words, call
):
    path = Path(pack(prefix, shelf)["archive"])
    before, names = path.read_bytes(), sorted(os.listdir(shelf))

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*((store._Sink, "_put") if call == "write" else (store.os, "fsync")), fail)
    with pytest.raises(store.StoreError) as caught:
        pack(prefix, shelf)
    assert caught.value.message == f"The store {shelf} {words}." and caught.value.hint
    assert sorted(os.listdir(shelf)) == names
    assert path.read_bytes() == before
    assert store.read_archive(str(path))["version"] == "3.0.8"


def test_a_folder_that_cannot_be_made_is_told(prefix, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(store.StoreError, match="cannot be written to"):
        pack(prefix, tmp_path / "file/store")


def test_a_store_that_does_not_give_back_what_was_written_gets_no_archive(prefix, shelf, monkeypatch):
    class Garbling(_File):
        def write(self, data):
            return self._file.write(data.replace(b"\0", b"\1"))

    def open_(path, mode="r", *args, real=open, **kwargs):
        file = real(path, mode, *args, **kwargs)
        return Garbling(file, lambda: None) if mode == "wb" else file

    monkeypatch.setattr(store, "open", open_, raising=False)
    with pytest.raises(store.StoreError, match="does not give back what was written") as caught:
        pack(prefix, shelf)
    assert not isinstance(caught.value, store.BadArchive)
    assert visible(shelf) == []


def test_a_store_without_locks_can_be_packed_into(prefix, shelf, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("plugins.module_utils.provision.file_lock.fcntl.flock", refuse)
    assert store.read_archive(pack(prefix, shelf)["archive"])["version"] == "3.0.8"


def test_what_killed_packers_left_is_deleted_after_a_day_and_not_before(prefix, shelf):
    shelf.mkdir()
    for name, hours in ((".new-old", 25), (".new-young", 1)):
        (shelf / name).write_text("half")
        os.utime(shelf / name, (time.time() - hours * 3600,) * 2)
    pack(prefix, shelf)
    assert sorted(os.listdir(shelf)) == [".lock", ".new-young", f"{KEY}.json", f"{KEY}.tar.zst"]


# --- Setting aside and adopting ---------------------------------------------------------------------------------------


def test_an_archive_set_aside_is_no_longer_offered_nor_are_its_notes(prefix, shelf):
    packed = pack(prefix, shelf)
    assert store.set_aside(packed["archive"]) == packed["archive"] + ".bad"
    assert visible(shelf) == [f"{KEY}.json.bad", f"{KEY}.tar.zst.bad"]
    assert choose(shelf) == ([], {})
    pack(prefix, shelf)
    assert choose(shelf) == ([KEY], {})


def test_an_archive_that_cannot_be_set_aside_stays(prefix, shelf):
    packed = pack(prefix, shelf)
    with failing(shelf, errno.EROFS, 0, looks=False):
        assert store.set_aside(packed["archive"]) == packed["archive"]
    assert store.read_archive(packed["archive"])["version"] == "3.0.8"


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_an_archive_from_elsewhere_is_adopted_under_its_own_name(prefix, shelf, tmp_path, case):
    packed = pack(prefix, tmp_path / "other")
    shutil.move(packed["archive"], tmp_path / "download")
    adopted = store.adopt(str(tmp_path / "download"), str(shelf), case(packed["sha256"]))
    assert adopted["archive"] == str(shelf / f"{KEY}.tar.zst")
    assert visible(shelf) == [f"{KEY}.json", f"{KEY}.tar.zst"]
    assert json.loads((shelf / f"{KEY}.json").read_text())["sha256"] == packed["sha256"]
    assert unpacked(adopted["archive"], tmp_path / "again") == carried(prefix)


def test_an_archive_of_another_sha256_than_given_is_not_adopted(prefix, shelf, tmp_path):
    packed = pack(prefix, tmp_path / "other")
    with pytest.raises(store.BadArchive, match="SHA-256"):
        store.adopt(packed["archive"], str(shelf), "0" * 64)
    assert visible(shelf) == []
    assert os.path.exists(packed["archive"])


def test_a_broken_archive_is_not_adopted_and_the_good_one_stays(prefix, shelf, tmp_path):
    good = pack(prefix, shelf)
    broken = tmp_path / "download"
    broken.write_bytes(Path(good["archive"]).read_bytes()[:-1])
    with pytest.raises(store.BadArchive):
        store.adopt(str(broken), str(shelf))
    assert sorted(os.listdir(shelf)) == [".lock", f"{KEY}.json", f"{KEY}.tar.zst"]
    assert store.read_archive(good["archive"])["sha256"] == good["sha256"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.ENOTCONN])
def test_a_store_that_fails_while_it_adopts_has_no_new_name(prefix, shelf, tmp_path, code):
    packed = pack(prefix, tmp_path / "other")
    with failing(shelf, code, 2, looks=False), pytest.raises(store.StoreError) as caught:
        store.adopt(packed["archive"], str(shelf))
    assert caught.value.message.endswith(".") and caught.value.hint
    assert not shelf.exists() or visible(shelf) == []


def test_an_archive_to_adopt_that_is_not_there_is_not_laid_on_the_store(shelf, tmp_path):
    with pytest.raises(store.StoreError) as caught:
        store.adopt(str(tmp_path / "download"), str(shelf))
    assert str(tmp_path / "download") in caught.value.message


# --- Zstandard with the package, and without --------------------------------------------------------------------------


def test_an_archive_is_read_without_the_package(prefix, shelf, tmp_path, monkeypatch):
    packed = pack(prefix, shelf)
    use("system", monkeypatch)
    assert unpacked(packed["archive"], tmp_path / "again") == carried(prefix)


def test_a_python_that_cannot_pack_says_what_it_lacks_and_leaves_nothing(prefix, shelf, monkeypatch):
    monkeypatch.setattr(zstd, "zstandard", None)
    with pytest.raises(store.StoreError, match="no zstandard") as caught:
        pack(prefix, shelf)
    assert "zstandard" in caught.value.hint
    assert visible(shelf) == []


def test_a_machine_that_cannot_unpack_does_not_call_the_archive_bad(prefix, shelf, monkeypatch):
    packed = pack(prefix, shelf)

    def missing(*_):
        raise OSError("libzstd.so.1: cannot open shared object file")

    monkeypatch.setattr(zstd, "zstandard", None)
    monkeypatch.setattr(zstd.ctypes, "CDLL", missing)
    with pytest.raises(store.StoreError, match="libzstd") as caught:
        store.read_archive(packed["archive"])
    assert not isinstance(caught.value, store.BadArchive)


def test_what_a_packer_is_writing_is_left_alone(prefix, shelf):
    with store.written_whole(str(shelf / "0001.tar.zst")):
        pack(prefix, shelf)
        assert len(list(shelf.glob(".new-*"))) == 1
    assert (shelf / "0001.tar.zst").exists()


def test_a_link_out_of_the_installation_is_named_and_not_packed(prefix, shelf):
    (prefix / "share/out").symlink_to("/etc/passwd")
    with pytest.raises(store.StoreError, match=r"'share/out' points outside"):
        pack(prefix, shelf)
    assert not shelf.exists() or not store.archives(str(shelf))


def test_a_file_of_the_installation_that_cannot_be_read_is_not_blamed_on_the_store(prefix, shelf, monkeypatch):
    def members(tar, where, *_):
        raise PermissionError(errno.EACCES, "Permission denied", os.path.join(where, "bin/mrinfo"))

    monkeypatch.setattr(store, "_write_members", members)
    with pytest.raises(store.StoreError, match=r"bin/mrinfo cannot be packed: Permission denied"):
        pack(prefix, shelf)
