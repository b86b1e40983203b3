"""Locks solved from a channel, and what is laid out from one: the same as py-rattler makes of it."""

import asyncio
import json
import os
import stat
from pathlib import Path

import channel
import pytest
from channel import PLACEHOLDER

pytest.importorskip("rattler")
import rattler
from rattler.index import index_fs

from provision.cli.main import main
from provision.errors import OptionError, ProvisionError
from provision.machine.conda.layout import lay_out
from provision.machine.conda.lock import read_lock
from provision.machine.conda.package import unpack_package
from provision.store import conda_lock

NOARCH = {
    "link.json": {
        "noarch": {"type": "python", "entry_points": ["run = lib:run", "other = lib.x:C.run"]},
        "package_metadata_version": 1,
    }
}
OLD = {"paths.json": None, "files": b"bin/old\nshare/o\n", "has_prefix": f"{PLACEHOLDER} text bin/old\n".encode()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A channel with a tool, in two versions, and what it needs."""
    place = tmp_path_factory.mktemp("channel")
    program = f"\x7fELF{PLACEHOLDER}/share\0after\0{PLACEHOLDER}:{PLACEHOLDER}/x\0end".encode("latin1")
    script = f'#!{PLACEHOLDER}/bin/python -u\nprint("{PLACEHOLDER}")\n'.encode()
    channel.made(place, "python", {"bin/python3.12": b"#!/bin/sh\n", "bin/python": "python3.12"}, version="3.12.5")
    channel.made(place, "libx", {"lib/libx.so.1": ("binary", program), "lib/libx.so": "libx.so.1", "share/a b": b"x"})
    channel.made(
        place,
        "old",
        {"bin/old": f"#!{PLACEHOLDER}/bin/python\nx\n".encode(), "share/o": b"o"},
        suffix=".tar.bz2",
        info=OLD,
    )
    files = {"site-packages/lib/__init__.py": b"", "python-scripts/plain": ("text", script)}
    channel.made(place, "noa", files, platform="noarch", depends=("python",), info=NOARCH)
    for version in ("3.0.8", "3.0.9"):
        files = {"bin/mrinfo": ("text", script), "lib/x.pc": ("text", f"prefix={PLACEHOLDER}".encode())}
        channel.made(
            place, "mrtrix3", files, version=version, depends=("libx", "noa", "old", "qt >=5.15,<6", "__glibc >=2.17")
        )
    asyncio.run(index_fs(place))
    return place


@pytest.fixture
def solved(place, tmp_path):
    def solve(**options):
        made = conda_lock.lock("mrtrix3", output=tmp_path / "l.json", channels=[place.as_uri()], **options)
        return made, json.loads(made.path.read_text())

    return solve


def test_a_lock_has_what_the_tool_needs_before_it_and_nothing_that_is_left_out(solved):
    made, lock = solved()
    names = [package["name"] for package in lock["packages"]]
    assert names[-1] == "mrtrix3" and set(names) == {"mrtrix3", "libx", "noa", "old", "python"}
    assert names.index("python") < names.index("noa")
    assert (made.version, made.packages, made.size) == ("3.0.8", 5, read_lock(lock).size)
    assert "--version 3.0.8 --lock l.json" in made.command


def test_the_digests_are_those_of_the_files(solved, place):
    for package in solved()[1]["packages"]:
        path = place / Path(*package["url"].split("/")[-2:])
        assert channel.entry(package["name"], path)["sha256"] == package["sha256"]


def test_another_version_is_what_was_asked_for(solved):
    assert solved(version="3.0.9")[1]["version"] == "3.0.9"


def test_a_version_that_does_not_exist_leaves_the_file_as_it_was(solved, tmp_path):
    (tmp_path / "l.json").write_text("mine")
    with pytest.raises(ProvisionError) as caught:
        solved(version="9")
    assert caught.value.code == "no-solution" and (tmp_path / "l.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["file:///nonexistent", "http://127.0.0.1:9/x"])
def test_a_channel_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(ProvisionError) as caught:
        conda_lock.lock("mrtrix3", output=tmp_path / "l.json", channels=[name])
    assert caught.value.code == "unreachable" and name in caught.value.message


@pytest.mark.parametrize(("tool", "code"), [("mrpeek", "no-lock"), ("nothing", "no-role")])
def test_a_role_without_a_lock_is_refused(tool, code):
    with pytest.raises(OptionError) as caught:
        conda_lock.lock(tool)
    assert caught.value.code == code


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(OptionError) as caught:
        conda_lock.lock("mrtrix3", output=tmp_path / "no/l.json")
    assert caught.value.code == "no-folder"


def test_the_command_line_writes_one_too(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lock", "mrtrix3", "--channel", place.as_uri(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "mrtrix3.lock.json")


@pytest.mark.parametrize("name", ["env", "y" * 150, "a b"], ids=["short", "long", "blank"])
def test_what_is_laid_out_is_what_rattler_lays_out(place, tmp_path, name):
    prefix, ours = tmp_path / name, tmp_path / "ours"
    ours.mkdir()

    async def install():
        records = await rattler.solve(
            [rattler.Channel(place.as_uri())],
            ["mrtrix3 ==3.0.8"],
            platforms=["linux-64", "noarch"],
            virtual_packages=conda_lock._machine({"qt": "5.15"}),
        )
        await rattler.install(records, target_prefix=prefix, cache_dir=tmp_path / "cache", show_progress=False)
        return [place / record.url.split("/")[-2] / record.file_name for record in records]

    for number, package in enumerate(asyncio.run(install())):
        unpacked = tmp_path / f"unpacked{number}"
        unpacked.mkdir()
        unpack_package(str(package), str(unpacked))
        lay_out(str(unpacked), str(ours), str(prefix), "3.12")
    assert tree(ours) == tree(prefix)


def tree(top):
    """Return all files and links below a folder but conda's own records, with their modes but for the group's."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if not name.startswith(("conda-meta", "CACHEDIR.TAG")) and "__pycache__" not in name:
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_file():
                found[name] = (stat.S_IMODE(path.stat().st_mode) & 0o755, path.read_bytes())
    return found
