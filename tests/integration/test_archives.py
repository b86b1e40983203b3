"""The store of builds: archives that are whole or not there, whatever flips, fails, or is killed."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.module_utils.provision.store.errors import BadArchive, StoreError
from plugins.module_utils.provision.store.pack import written_whole
from plugins.module_utils.provision.store.read import read_archive
from provision.engine import content

from ..unit.plugins.module_utils.store.packed import (
    KEY,
    MANIFEST,
    carried,
    check_store,
    crafted,
    failing,
    flip,
    pack,
    plain,
    prefix,  # noqa: F401
    shelf,  # noqa: F401
    unpacked,
    use,
    visible,
)
from .killed import NAMES_CHANGE, ended_at

ROOT = str(content.root())


# --- Broken archives --------------------------------------------------------------------------------------------------


def flips(size):
    places = [*range(60), *range(size - 60, size), *random.Random(2).sample(range(size), 60)]
    return [(place, 1 << place % 8) for place in places] + [(4, 1 << bit) for bit in range(8)]


@pytest.mark.parametrize("unpacker", ["package", "system"])
def test_a_flipped_bit_is_noticed_or_changes_nothing(shelf, tmp_path, unpacker, monkeypatch):
    # Small, and half of it random: such parts are stored as they are, and only the checksum tells.
    path = Path(crafted(shelf, plain("bin/a", b"text " * 500), plain("bin/b", random.Random(3).randbytes(1500))))
    use(unpacker, monkeypatch)
    whole, good = path.read_bytes(), unpacked(path, tmp_path / "inner")
    noticed = 0
    for place, bit in flips(len(whole)):
        path.write_bytes(flip(whole, place, bit))
        try:
            assert unpacked(path, tmp_path / "inner") == good
        except BadArchive:
            noticed += 1
    # One bit of a frame's header has no meaning, and has to be ignored (RFC 8878, 3.1.1.1.1.3).
    assert noticed >= len(flips(len(whole))) - 2


def test_a_flipped_bit_is_always_noticed_with_the_notes_beside(prefix, shelf):
    path = Path(pack(prefix, shelf)["archive"])
    whole = path.read_bytes()
    for place, bit in flips(len(whole)):
        path.write_bytes(flip(whole, place, bit))
        with pytest.raises(BadArchive):
            read_archive(str(path))


# --- Stores that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES,
     errno.ENOTCONN],
)  # fmt: skip
@pytest.mark.parametrize("earlier", [True, False], ids=["earlier", "first"])
def test_a_store_that_fails_at_any_step_of_packing_has_no_new_name(prefix, shelf, code, earlier):
    before = None
    if earlier:
        before = Path(pack(prefix, shelf)["archive"]).read_bytes()
    for after in range(60):
        if not earlier:
            shutil.rmtree(shelf, ignore_errors=True)
        with failing(shelf, code, after, looks=code == errno.ENOTCONN) as failed:
            try:
                pack(prefix, shelf)
            except StoreError as error:
                assert not isinstance(error, BadArchive)
                assert error.message.endswith(".") and str(shelf) in error.message and error.hint, error.message
                done = False
            else:
                done = True
        left = visible(shelf) if shelf.exists() else []
        if done:
            before = (shelf / f"{KEY}.tar.zst").read_bytes() if earlier else None
        else:
            assert [name for name in left if name.endswith(".tar.zst")] == ([f"{KEY}.tar.zst"] if earlier else [])
            assert not earlier or (shelf / f"{KEY}.tar.zst").read_bytes() == before
        for name in left:
            if name.endswith(".tar.zst"):
                read_archive(str(shelf / name))
        if not failed:
            break
    assert 8 < after < 60


# --- Several at once, and killed --------------------------------------------------------------------------------------


# Packs again and again: argv is where the modules are, the installation, the store, the manifest, and how often.
PACKER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from plugins.module_utils.provision.store.pack import pack
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[5])):
    pack(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
    print("packed", flush=True)
"""


def packer(prefix, shelf, times):
    process = subprocess.Popen(
        [sys.executable, "-c", PACKER, ROOT, prefix, shelf, json.dumps(MANIFEST), str(times)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_two_packers_at_once_leave_one_good_archive(prefix, shelf, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(prefix, other, symlinks=True)
    (other / "bin/mrinfo").write_text("the other one's")
    both = [packer(folder, shelf, 6) for folder in (prefix, other)]
    for process in both:
        begin(process)
    for process in both:
        assert process.communicate(timeout=60)[0] == "packed\n" * 6
        assert process.returncode == 0
    assert check_store(shelf) == [f"{KEY}.json", f"{KEY}.tar.zst"]
    assert unpacked(shelf / f"{KEY}.tar.zst", tmp_path / "again") in (carried(prefix), carried(other))


def test_what_a_killed_packer_leaves_is_deleted_by_the_next_one_of_this_machine(prefix, shelf):
    def killed():
        with written_whole(str(shelf / "0001.tar.zst")):
            os.kill(os.getpid(), signal.SIGKILL)

    ended_at(10**6, killed)
    assert [name[:5] for name in os.listdir(shelf)] == [".new-"]
    pack(prefix, shelf)
    assert not list(shelf.glob(".new-*"))


# A packer is also killed before it opens a file, or changes what may be done with one.
STEPS = ("open", "os.chmod", *NAMES_CHANGE)


@pytest.mark.parametrize("earlier", [True, False], ids=["earlier", "first"])
def test_a_packer_killed_before_any_step_leaves_only_good_archives(prefix, shelf, tmp_path, earlier):
    old = carried(prefix)
    pack(prefix, shelf)
    (prefix / "bin/mrinfo").write_text("newer")
    step = 0
    ended = False
    while not ended:
        step += 1
        if not earlier:
            shutil.rmtree(shelf, ignore_errors=True)
        ended = ended_at(step, lambda: pack(prefix, shelf), STEPS)
        names = check_store(shelf)
        assert set(names) <= {f"{KEY}.json", f"{KEY}.tar.zst"}
        assert not earlier or f"{KEY}.tar.zst" in names
        if names:
            assert unpacked(shelf / f"{KEY}.tar.zst", tmp_path / "again") in (old, carried(prefix))
    assert step > 20
    assert unpacked(shelf / f"{KEY}.tar.zst", tmp_path / "again") == carried(prefix)
