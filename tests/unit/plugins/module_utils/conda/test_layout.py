"""Packages laid out in an environment: complete, pointing to their place, and never outside it."""

import os
import shutil
import subprocess

import channel
import pytest
from channel import PLACEHOLDER

from plugins.module_utils.provision.conda import layout
from plugins.module_utils.provision.conda.package import unpack_package

PREFIX = "/opt/tool/env"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "env").mkdir()
    return tmp_path


def laid_out(place, files, prefix=PREFIX, python="", **about):
    """Lay out a package and return the environment."""
    channel.made(place / "channel", "tool", files, **about)
    (package,) = (place / "channel").rglob("tool-*")
    unpacked = place / "unpacked"
    unpacked.mkdir()
    unpack_package(str(package), str(unpacked))
    layout.lay_out(str(unpacked), str(place / "env"), prefix, python)
    return place / "env"


@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
def test_files_and_links_are_in_their_places_without_the_metadata(place, suffix):
    files = {"bin/tool": b"#!/bin/sh\n", "lib/libx.so.1": b"\x7fELF", "lib/libx.so": "libx.so.1"}
    env = laid_out(place, files, suffix=suffix)
    there = [path for path in env.rglob("*") if path.is_symlink() or not path.is_dir()]
    assert sorted(str(path.relative_to(env)) for path in there) == sorted(files)
    assert os.readlink(env / "lib/libx.so") == "libx.so.1" and os.access(env / "bin/tool", os.X_OK)


def test_a_text_points_to_where_it_will_be(place):
    env = laid_out(place, {"lib/x.pc": ("text", f"prefix={PLACEHOLDER}\nlib={PLACEHOLDER}/lib\n".encode())})
    assert (env / "lib/x.pc").read_text() == f"prefix={PREFIX}\nlib={PREFIX}/lib\n"


def test_a_program_points_to_where_it_will_be_and_keeps_its_length(place):
    data = f"\x7fELF{PLACEHOLDER}/share\0after\0{PLACEHOLDER}:{PLACEHOLDER}/x\0end".encode()
    env = laid_out(place, {"bin/tool": ("binary", data)})
    found = (env / "bin/tool").read_bytes()
    assert len(found) == len(data)
    assert [part for part in found.split(b"\0") if part] == [
        b"\x7fELF" + PREFIX.encode() + b"/share", b"after", f"{PREFIX}:{PREFIX}/x".encode(), b"end",
    ]  # fmt: skip


def test_a_path_that_does_not_fit_into_a_program_is_refused(place):
    with pytest.raises(layout.LayoutError) as caught:
        laid_out(place, {"bin/tool": ("binary", PLACEHOLDER.encode() + b"\0")}, prefix="/" + "x" * 300)
    assert caught.value.code == "prefix"


@pytest.mark.parametrize("name", ["x" * 200, "a b"], ids=["long", "blank"])
@pytest.mark.parametrize("program", ["python3", "sh"])
def test_a_script_runs_also_where_the_kernel_cannot_read_its_first_line(place, name, program):
    prefix = place / name
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / program).symlink_to(shutil.which(program))
    text = {"python3": "import sys; print(sys.argv[1])", "sh": 'echo "$1"'}[program]
    env = laid_out(
        place, {"bin/tool": ("text", f"#!{PLACEHOLDER}/bin/{program}\n{text}\n".encode())}, prefix=str(prefix)
    )
    assert subprocess.check_output([env / "bin/tool", "said"], text=True) == "said\n"


def test_a_package_for_any_python_goes_to_that_of_the_environment(place):
    info = {"link.json": {"noarch": {"type": "python", "entry_points": ["tool = tool.main:run"]}}}
    files = {"site-packages/tool/main.py": b"def run(): pass\n", "python-scripts/other": b"#!/bin/sh\n"}
    env = laid_out(place, files, platform="noarch", info=info, python="3.12")
    assert (env / "lib/python3.12/site-packages/tool/main.py").exists() and os.access(env / "bin/other", os.X_OK)
    script = (env / "bin/tool").read_text()
    assert script.startswith(f"#!{PREFIX}/bin/python3.12\n") and "from tool.main import run\n" in script
    assert os.access(env / "bin/tool", os.X_OK)


@pytest.mark.parametrize("entry_point", ["tool = os:system('x')", "../x = a:b", ".x = a:b", "tool", 5, "a = b:c; x"])
def test_an_entry_point_that_is_code_is_refused(place, entry_point):
    info = {"link.json": {"noarch": {"type": "python", "entry_points": [entry_point]}}}
    with pytest.raises(layout.LayoutError):
        laid_out(place, {}, info=info, python="3.12")
    assert not (place / "env/bin").exists()


def test_a_package_for_any_python_needs_one(place):
    with pytest.raises(layout.LayoutError):
        laid_out(place, {}, info={"link.json": {"noarch": {"type": "python"}}})


def test_a_package_from_before_paths_json_is_laid_out(place):
    info = {"paths.json": None, "files": b"bin/tool\nlib/x\n", "has_prefix": f"{PLACEHOLDER} text bin/tool\n".encode()}
    env = laid_out(place, {"bin/tool": f"#!{PLACEHOLDER}/x\n".encode(), "lib/x": b"x"}, info=info)
    assert (env / "bin/tool").read_text() == f"#!{PREFIX}/x\n" and (env / "lib/x").exists()


def test_a_file_of_a_later_package_replaces_that_of_an_earlier_one(place):
    (place / "env/lib").mkdir()
    (place / "env/lib/x").write_bytes(b"old")
    assert (laid_out(place, {"lib/x": b"new"}) / "lib/x").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "~/out"])
def test_a_list_of_files_that_leads_outside_is_refused(place, name):
    (place / "out").write_text("mine")
    with pytest.raises(ValueError, match="outside"):
        laid_out(place, {"x": b""}, info={"paths.json": {"paths": [{"_path": name}]}})
    assert (place / "out").read_text() == "mine"


def test_no_file_is_written_through_a_link_of_another_package(place):
    (place / "outside").mkdir()
    (place / "env/lib").symlink_to(place / "outside")
    with pytest.raises(layout.LayoutError):
        laid_out(place, {"lib/x": b"x"})
    assert os.listdir(place / "outside") == []


@pytest.mark.parametrize(
    "info",
    [
        {"paths.json": b"{"}, {"paths.json": {"paths": [5]}}, {"paths.json": {"paths": [{}]}},
        {"paths.json": {"paths": [{"_path": "gone"}]}}, {"link.json": b"x"},
    ],
)  # fmt: skip
def test_metadata_that_make_no_sense_are_refused(place, info):
    with pytest.raises(layout.LayoutError) as caught:
        laid_out(place, {"bin/tool": b""}, info=info)
    assert caught.value.code == "bad-package"


@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
@pytest.mark.parametrize("members", [{"../out": b"x"}, {"/out": b"x"}, {"bin/x": "../../out"}, {"a": "b", "a/c": b"x"}])
def test_a_package_with_hostile_members_is_refused(place, suffix, members):
    with pytest.raises(ValueError, match=r"member|link"):
        laid_out(place, {}, members=members, suffix=suffix)
    assert not (place / "out").exists()


@pytest.mark.parametrize("suffix", [".conda", ".tar.bz2"])
def test_a_cut_package_is_refused(place, suffix):
    channel.made(place / "channel", "tool", {"bin/tool": os.urandom(5000)}, suffix=suffix)
    (package,) = (place / "channel").rglob("tool-*")
    package.write_bytes(package.read_bytes()[:-700])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack_package(str(package), str(place / "env"))
