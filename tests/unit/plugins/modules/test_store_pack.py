"""What is packed into the store, and what is told where it cannot be."""

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.module_utils.provision import drive
from plugins.module_utils.provision.store import pack as packing
from plugins.module_utils.provision.store import portable as portable
from plugins.module_utils.provision.store.read import read_archive
from plugins.modules import store_pack

from .built_tree import KEY, ROOT, TOOL, everything, run_module


def test_an_installation_is_packed_and_its_report_tells_where(given, shelf, capsys, tmp_path):
    TOOL.install(given)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "0001.tar.zst").write_text("piece")
    code, answer = run_module(
        store_pack, capsys, prefix=given["prefix"], store=str(shelf), state_file=given["state_file"],
        unfinished=str(unfinished), progress=str(tmp_path / "now.json"),
    )  # fmt: skip
    assert (code, answer["changed"], list(answer["kept"])) == (0, True, ["archive"])
    assert read_archive(answer["kept"]["archive"])["sha256"] == answer["sha256"]
    assert json.loads(Path(given["state_file"]).read_text())["report"]["archive"] == answer["kept"]["archive"]
    assert not unfinished.exists()
    assert json.loads((tmp_path / "now.json").read_text())["unit"] == "bytes"


def test_what_is_packed_onto_drive_is_told_to_reach_it_later(given, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(portable, "os_release", lambda: {"ID": "debian", "VERSION_ID": "12"})
    TOOL.install(given)
    mine = tmp_path / "content/drive/MyDrive"
    mine.mkdir(parents=True)
    monkeypatch.setattr(drive, "drive_folder", lambda: str(mine))
    code, answer = run_module(store_pack, capsys, prefix=given["prefix"], store=str(mine / "provision"))
    assert (code, answer["kept"]["archive"]) == (0, str(mine / f"provision/{KEY}.tar.zst"))
    assert "provision.drive(flush=True)" in answer["kept"]["notes"][0]


# Runs a module with a limit for the size of files: argv is where the modules are, and its arguments.
LIMITED = """
import json, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from ansible.module_utils.testing import patch_module_args
from plugins.modules import store_pack
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with patch_module_args(json.loads(sys.argv[2])): store_pack.main()
"""


def test_a_store_that_takes_no_more_is_a_warning_and_the_unfinished_build_stays(given, tree, shelf, tmp_path):
    (tree / "lib/library").write_bytes(random.Random(2).randbytes(300_000))
    TOOL.install(given)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    before, state = everything(tmp_path / "opt"), json.loads(Path(given["state_file"]).read_text())
    arguments = {
        "prefix": given["prefix"], "store": str(shelf), "state_file": given["state_file"], "unfinished": str(unfinished)
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, ROOT, json.dumps(arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["changed"], list(answer["kept"])) == (False, ["notes"])
    (problem,) = answer["kept"]["notes"]
    assert str(shelf) in problem and problem in str(answer["warnings"])
    assert [name for name in os.listdir(shelf) if name != ".lock"] == []
    assert everything(tmp_path / "opt") == before
    noted = {"not_kept": {"store": str(shelf), "problem": ""}}
    assert json.loads(Path(given["state_file"]).read_text()) == {**state, **noted}
    assert unfinished.is_dir()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.ENOTCONN])
def test_a_store_that_is_full_read_only_or_gone_does_not_fail_the_run(given, shelf, capsys, monkeypatch, code):
    TOOL.install(given)

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(packing._Sink, "_put", fail)
    ended, answer = run_module(store_pack, capsys, prefix=given["prefix"], store=str(shelf))
    assert (ended, answer["changed"], list(answer["kept"])) == (0, False, ["notes"])
    (problem,) = answer["kept"]["notes"]
    assert str(shelf) in problem
    assert problem in str(answer["warnings"])


def test_nothing_is_written_below_the_mount_point_of_a_drive_that_is_not_mounted(given, capsys, tmp_path, monkeypatch):
    TOOL.install(given)
    monkeypatch.setattr(drive, "_DRIVE_MOUNTS", (str(tmp_path / "drive"),))
    ended, answer = run_module(
        store_pack, capsys, prefix=given["prefix"], store=str(tmp_path / "drive/MyDrive/provision")
    )
    assert (ended, answer["changed"]) == (0, False)
    assert f"{tmp_path}/drive, " in answer["kept"]["notes"][0]
    assert not (tmp_path / "drive").exists()
