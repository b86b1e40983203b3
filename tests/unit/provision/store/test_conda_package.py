"""A build exported as a conda package: what conda, and our own origin conda, make of it."""

import json
import os

import channel
import pytest

from provision.errors import OptionError
from provision.machine.conda.layout import lay_out
from provision.machine.conda.package import unpack_package
from provision.store import builds

from .archive import KEY, MANIFEST


def silent(_step):
    pass


@pytest.fixture
def exported(tmp_path, pack):
    """Return a function that packs a build, exports it, and returns the package and its unpacked content."""

    def export(**changes):
        pack(**changes)
        (tmp_path / "channel").mkdir()
        done = builds.export(KEY.split("-")[0], tmp_path / "channel", tmp_path / "store", silent, "conda")
        (tmp_path / "unpacked").mkdir()
        unpack_package(str(done.path), str(tmp_path / "unpacked"))
        return done, tmp_path / "unpacked"

    return export


def index_of(unpacked):
    return json.loads((unpacked / "info/index.json").read_text())


def test_it_is_named_and_described_as_conda_names_packages(exported):
    done, unpacked = exported()
    index = index_of(unpacked)
    assert done.path.name == f"{index['name']}-{index['version']}-{index['build']}.conda"
    assert (index["name"], index["version"], index["subdir"]) == ("mrtrix3", "3.0.8", "linux-64")
    assert channel.entry("mrtrix3", done.path)["sha256"] == done.sha256
    assert done.commands == [f"conda install ./{done.path.name}"]


@pytest.mark.parametrize(
    ("cpu", "level"), [("x86-64", None), ("x86-64-v2", ">=2"), ("x86-64-v3", ">=3"), ("x86-64-v4", ">=4")]
)
def test_it_requires_the_level_and_the_glibc_that_it_was_built_for(exported, cpu, level):
    needs = dict(need.split(" ", 1) for need in index_of(exported(cpu=cpu)[1])["depends"])
    assert needs.get("_x86_64-microarch-level") == level and needs["__glibc"] == f">={MANIFEST['glibc']}"


def test_what_it_lists_is_what_it_holds(exported, tmp_path):
    _, unpacked = exported()
    (tmp_path / "env").mkdir()
    assert lay_out(str(unpacked), str(tmp_path / "env"), "/opt/env") == ["bin/mrinfo"]
    assert os.access(tmp_path / "env/bin/mrinfo", os.R_OK)


def test_a_build_for_one_processor_is_refused(exported, tmp_path):
    with pytest.raises(OptionError) as caught:
        exported(cpu="native")
    assert caught.value.code == "other-machine" and os.listdir(tmp_path / "channel") == []


def test_a_file_that_is_there_stays(exported, tmp_path):
    done, _ = exported()
    before = done.path.read_bytes()
    with pytest.raises(OptionError) as caught:
        builds.export(KEY, tmp_path / "channel", tmp_path / "store", silent, "conda")
    assert caught.value.code == "file-exists" and done.path.read_bytes() == before


def test_another_format_is_refused(tmp_path, pack):
    pack()
    with pytest.raises(OptionError) as caught:
        builds.export(KEY, tmp_path, tmp_path / "store", silent, "rpm")
    assert caught.value.code == "bad-value"
