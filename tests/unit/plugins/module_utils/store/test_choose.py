"""Which archives of a store are taken, and which are passed over with the reason."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from plugins.module_utils.provision.store import choose as choosing
from plugins.module_utils.provision.store.choose import candidates
from plugins.module_utils.provision.store.errors import Unreadable
from plugins.module_utils.provision.store.names import beside as notes_beside
from plugins.module_utils.provision.store.names import set_aside

from .packed import KEY, carried, content_of, crafted, failing, pack, plain, unpacked, visible

MACHINE = {
    "release": "debian-12", "arch": "x86_64", "glibc": "2.36", "cpu": "x86-64-v3", "own_cpu": "x86-64-v3",
    "flags": ["avx", "avx2", "fma"],
}  # fmt: skip


WANTED = {"tool": "mrtrix3", "version": "3.0.8", "cpu": "", "commands": [], "repo": "here"}


def choose(shelf, machine=MACHINE, **wanted):
    """Return (names of the archives that fit, the best first, {name: why not} of the others)."""
    passed_over = []
    found = [os.path.basename(path) for path, _ in candidates(
        str(shelf), {**WANTED, **wanted}, machine, passed_over
    )]  # fmt: skip
    return [name[:-8] for name in found], {os.path.basename(note["archive"])[:-8]: note["why"] for note in passed_over}


def build(shelf, **changes):
    """Put a build into the store and return its name."""
    return os.path.basename(crafted(shelf, plain("bin/mrinfo"), **changes))[:-8]


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
        (shelf / f"{KEY}.json").rename(notes_beside(str(shelf / name)))
    before = content_of(shelf)
    assert [path for path, _ in candidates(str(shelf), WANTED, MACHINE, [])] == [str(shelf / name)]
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


def test_the_build_of_this_very_machine_is_found_without_listing_the_store(shelf, monkeypatch):
    build(shelf, release="debian-11", created=9.0)
    build(shelf)
    monkeypatch.setattr(os, "listdir", lambda *_: pytest.fail("the store was listed"))
    found = candidates(str(shelf), WANTED, MACHINE, [])
    assert next(found)[0] == str(shelf / f"{KEY}.tar.zst")


def test_a_build_of_some_commands_is_found_without_listing_the_store(shelf, monkeypatch):
    some = build(shelf, complete=False, asked=["mrinfo", "tckgen"], commands=["mrinfo", "tckgen"])
    monkeypatch.setattr(os, "listdir", lambda *_: pytest.fail("the store was listed"))
    found = candidates(str(shelf), {**WANTED, "commands": ["tckgen", "mrinfo"]}, MACHINE, [])
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
    ("changes", "wanted", "values"),
    [
        ({"glibc": "2.41"}, {}, ["glibc", "2.41", "2.36"]),
        ({"arch": "aarch64"}, {}, ["aarch64", "x86_64"]),
        ({"cpu": "x86-64-v4"}, {}, ["x86-64-v4", "x86-64-v3"]),
        ({"cpu": "native", "cpu_flags": ["avx", "sha_ni"]}, {}, ["sha_ni"]),
        ({"version": "3.0.7"}, {}, ["3.0.7"]),
        ({"tool": "fsl"}, {}, ["fsl"]),
        ({"cpu": "x86-64-v2"}, {"cpu": "x86-64-v3"}, ["x86-64-v2"]),
        ({"cpu": ""}, {"cpu": "x86-64"}, ["processor"]),
        ({"version": "dev", "repo": "there"}, {"version": "dev"}, ["there"]),
        ({"version": "dev", "repo": None}, {"version": "dev"}, ["repository"]),
        ({"belongs_to": "mrtrix3-3.0.4"}, {"belongs_to": "mrtrix3-3.0.8"}, ["mrtrix3-3.0.4"]),
        ({}, {"belongs_to": "mrtrix3-3.0.8"}, ["no particular MRtrix3"]),
        ({"complete": False}, {}, ["commands"]),
        ({"complete": False}, {"commands": ["mrinfo", "tckgen"]}, ["tckgen"]),
    ],
    ids=lambda value: str(value) if value else None,
)
def test_a_build_that_does_not_fit_is_passed_over_with_the_reason(shelf, changes, wanted, values):
    name = build(shelf, **changes)
    found, passed_over = choose(shelf, **wanted)
    assert (found, list(passed_over)) == ([], [name])
    assert all(value in passed_over[name] for value in values), passed_over


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
    found, passed_over = choose(shelf, {**MACHINE, "glibc": ""})
    assert (found, list(passed_over)) == ([], [KEY]) and "glibc 2.36" in passed_over[KEY]


def test_a_build_for_one_processor_that_does_not_tell_which_is_passed_over(shelf):
    build(shelf, cpu="native")
    assert choose(shelf)[0] == []


def test_two_branches_of_one_name_are_told_apart(shelf):
    # Both have the same letters in the store's names; one has taken the other's place.
    name = build(shelf, version="feature-x")
    found, passed_over = choose(shelf, version="feature/x")
    assert (found, list(passed_over)) == ([], [name]) and "feature-x" in passed_over[name]


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
    found = [manifest["release"] for _, manifest in candidates(str(shelf), WANTED, MACHINE, passed_over)]
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
        monkeypatch.setattr(choosing, "archives", lambda _: [str(path), str(shelf / f"{good}.tar.zst")])
    assert choose(shelf)[0] == [good]


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
            except Unreadable as error:
                assert failed and error.hint
        if not failed:
            break
    assert 2 < after < 50


def test_an_archive_set_aside_is_no_longer_offered_nor_are_its_notes(prefix, shelf):
    packed = pack(prefix, shelf)
    assert set_aside(packed["archive"]) == packed["archive"] + ".bad"
    assert visible(shelf) == [f"{KEY}.json.bad", f"{KEY}.tar.zst.bad"]
    assert choose(shelf) == ([], {})
    pack(prefix, shelf)
    assert choose(shelf) == ([KEY], {})
