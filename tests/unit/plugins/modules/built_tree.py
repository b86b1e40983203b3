"""An MRtrix3 to install, with shell scripts of our own for its compiled commands, and a store with builds of it."""

import json
import os
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from plugins.module_utils.provision.store import portable as portable
from plugins.module_utils.provision.store.pack import pack
from plugins.module_utils.provision.tool import environment, mrtrix3
from plugins.module_utils.provision.tool import install as shared
from provision.engine import content

from ..module_utils.store.packed import KEY as KEY
from ..module_utils.store.packed import MANIFEST as WHOLE

ABOUT = {"name": "mrtrix3", "title": "MRtrix3", "environment": {"MRTRIX_HOME": "PREFIX"}}
TOOL = mrtrix3.MRtrix3(ABOUT)
ROOT = str(content.root())
MRINFO = "#!/bin/sh\n# compiled\necho '== mrinfo 3.0.8 =='\n"
RESPONSE = "#!/usr/bin/env python\nprint('== dwi2response 3.0.8 ==')\n"


@pytest.fixture
def _shell_scripts_are_compiled(monkeypatch, tmp_path):
    def is_compiled(path):
        return not os.path.islink(path) and b"# compiled" in open(path, "rb").read()

    def is_python(path):
        return open(path, "rb").read(14) == b"#!/usr/bin/env"

    (tmp_path / "profile.d").mkdir()
    monkeypatch.setattr(environment, "_PROFILES", str(tmp_path / "profile.d"))
    monkeypatch.setattr(mrtrix3, "is_elf", is_compiled)
    monkeypatch.setattr(mrtrix3, "is_script", is_python)
    monkeypatch.setattr(portable, "strip", lambda paths: None)


@pytest.fixture
def tree(tmp_path, _shell_scripts_are_compiled):
    """A built source tree."""
    tree = tmp_path / "tree"
    for name, text in (("mrinfo", MRINFO), ("dwi2response", RESPONSE), ("mrtrix3.py", "#!/usr/bin/env python\n")):
        (tree / "bin").mkdir(parents=True, exist_ok=True)
        (tree / "bin" / name).write_text(text)
        (tree / "bin" / name).chmod(0o755)
    (tree / "lib" / "mrtrix3" / "__pycache__").mkdir(parents=True)
    (tree / "share").mkdir()
    (tree / "core").mkdir()
    return tree


@pytest.fixture
def given(tmp_path, tree):
    """The module's options for an installation from the tree."""
    return {
        "state_file": str(tmp_path / "state" / "mrtrix3.json"), "origin": "source", "version": "3.0.8", "tool": ABOUT,
        "tree": str(tree), "archive": None, "source": "", "belongs_to": "",
        "bin": None, "store": None, "lock": None, "repo": "there", "progress": None,
        "prefix": str(tmp_path / "opt" / "mrtrix3"), "link_dir": str(tmp_path / "links"), "commands": [],
        "cpu": "x86-64-v3", "extra": {}, "seconds": 1.0, "build_seconds": 7.5,
    }  # fmt: skip


def snapshot(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


MANIFEST = {**WHOLE, "repo": "there", "build_seconds": 1234.5}
MACHINE = {
    "release": "debian-12", "arch": "x86_64", "glibc": "2.36", "cpu": "x86-64-v3", "own_cpu": "x86-64-v3",
    "flags": ["avx2"],
}  # fmt: skip


@pytest.fixture
def shelf(tmp_path, monkeypatch, _shell_scripts_are_compiled):
    """The folder of a store, and a machine of which all is known."""
    monkeypatch.setattr(shared, "this_machine", lambda: MACHINE)
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def wanted(given, shelf):
    """The module's options for an installation from the store."""
    return {**given, "tree": None, "store": str(shelf), "origin": "store", "cpu": "", "build_seconds": 0}


def prefix_of(folder, library="", mrinfo=MRINFO):
    """Make what is packed: a folder with commands that run, and a library with a text of its own."""
    for name, text in (("bin/mrinfo", mrinfo), ("bin/dwi2response", RESPONSE.replace("python", "python3", 1))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib/library").write_text(library)
    return folder


def build(shelf, library="", mrinfo=MRINFO, **changes):
    """Put a build into a store and return the path of its archive."""
    folder = prefix_of(shelf.parent / "built", library, mrinfo)
    return pack(str(folder), str(shelf), {**MANIFEST, **changes})["archive"]


def library(given):
    return Path(given["prefix"], "lib/library").read_text()


def everything(folder):
    """Return {name: content} of all files and links below a folder."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    }  # fmt: skip


def run_module(module, capsys, **args):
    """Run a module with its arguments and return (exit code, what it answered)."""
    with patch_module_args(args), pytest.raises(SystemExit) as ended:
        module.main()
    return ended.value.code, json.loads(capsys.readouterr().out)


def asked(given):
    return {name: value for name, value in given.items() if value is not None}
