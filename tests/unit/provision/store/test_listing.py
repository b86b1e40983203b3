"""How a store and what is in it are told."""

import json
import sys
from pathlib import Path

from provision.store import builds
from provision.store.listing import Build, Listing

from .archive import KEY, UNFINISHED, touch


def test_what_is_no_build_is_listed_with_its_size(tmp_path):
    folder = tmp_path / "store"
    touch(folder / "x.tar.zst.bad", 3, 1500)
    touch(folder / "unfinished" / UNFINISHED / "0001.tar.zst", 2, 1000)
    touch(folder / "unfinished" / UNFINISHED / "0002.tar.zst", 1.5, 2000)
    touch(folder / "unfinished" / "of-somebody-else" / "novel.txt", 1)
    found = builds.ls(folder)
    assert [left.size for left in (*found.set_aside, *found.unfinished)] == [1500, 3000]
    lines = repr(found).splitlines()
    assert lines[1].split() == ["x.tar.zst.bad", "1.5", "kB", "3", "d", "set", "aside", "as", "bad"]
    assert lines[2].split() == [UNFINISHED, "3.0", "kB", "1", "d", "unfinished", "build"]
    assert lines[3:] == [f"There are no builds in {folder}."]


def test_a_listing_is_a_sequence_and_plain_json(tmp_path, pack):
    pack()
    pack(version="3.0.7")
    touch(tmp_path / "store" / "x.tar.zst.bad", 3)
    found = builds.ls(tmp_path / "store")
    assert len(found) == 2 and found[-1].key == KEY and [build.version for build in found[:1]] == ["3.0.7"]
    told = json.loads(json.dumps(found.to_dict()))
    assert [build["key"] for build in told["builds"]] == [build.key for build in found]
    assert told["store"] == str(tmp_path / "store") and len(told["set_aside"]) == 1 and told["unfinished"] == []


def test_the_listing_keeps_to_the_width_of_a_terminal_and_of_nothing_else(tmp_path, pack, monkeypatch):
    pack()
    pack(release="ubuntu-24.04", glibc="2.39", complete=False, asked=["mrinfo"])
    found = builds.ls(tmp_path / "store")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert max(map(len, repr(found).splitlines()[:-1])) <= 80
    assert "\n    no: it needs glibc 2.39, and this machine has 2.36\n" in repr(found)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert "  no: it needs glibc 2.39, and this machine has 2.36\n" in repr(found)


def test_nothing_that_stands_in_an_archive_becomes_markup_or_moves_the_cursor(tmp_path, pack):
    pack(glibc="3\x1b[2J<script>")
    found = builds.ls(tmp_path / "store")
    assert "\x1b" not in repr(found) and "<script>" in repr(found)
    assert "\x1b" not in found._repr_html_() and "&lt;script&gt;" in found._repr_html_()
    assert "<script" not in Listing(Path("/<script>"))._repr_html_()


def test_a_build_is_told_in_a_line():
    build = Build("key", Path("/store/key.tar.zst"), 48_300_000, 0.0, runs_here=True)
    assert str(build) == "/store/key.tar.zst (48.3 MB) - runs here: yes"
