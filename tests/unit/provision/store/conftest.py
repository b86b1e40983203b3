"""A machine of which all is known, and builds for it."""

import os
import shutil
import time
from pathlib import Path

import pytest

from provision.machine import cpu, system
from provision.machine.store import pack as packing

from .archive import MANIFEST


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Be on a machine whose C library and processor are known."""
    told = {"arch": "x86_64", "glibc": "2.36", "cpu": "x86-64-v3"}
    monkeypatch.setattr(system, "look_at_machine", lambda: told)
    monkeypatch.setattr(cpu, "cpu_flags", lambda: {"sse4_2"})


@pytest.fixture
def pack(tmp_path):
    """Return a function that packs a small build into tmp_path/store and returns its archive."""

    def pack(age=0.0, folder="store", **changes):
        prefix = tmp_path / "prefix"
        shutil.rmtree(prefix, ignore_errors=True)
        (prefix / "bin").mkdir(parents=True)
        (prefix / "bin" / "mrinfo").write_bytes(os.urandom(20_000))
        now = time.time
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: now() - age)
            packed = packing.pack(str(prefix), str(tmp_path / folder), {**MANIFEST, **changes})
        return Path(packed["archive"])

    return pack
