"""MRtrix3 on a fresh machine: Ansible roles, driven from Python."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError, ProvisionError

if TYPE_CHECKING:
    from provision import store
    from provision.actions.logs import logs
    from provision.actions.remove import remove
    from provision.actions.result import Result
    from provision.actions.run import run
    from provision.actions.status import status
    from provision.actions.stop import stop
    from provision.checkup.doctor import doctor
    from provision.colab.drive import drive
    from provision.demo.sample import sample
    from provision.demo.scans import scans
    from provision.fleet.cloud_init import cloud_init
    from provision.fleet.modulefile import modulefile
    from provision.pictures.glyphs import glyphs
    from provision.pictures.peek import peek
    from provision.pictures.qc import qc
    from provision.pictures.tracks import tracks
    from provision.pictures.view import view
    from provision.store.conda_lock import lock
    from provision.study.process import process

__version__ = "0.1.0"

# Files that are newer are not those that this process runs.
_IMPORTED_AT = time.time()

__all__ = [
    "OptionError", "ProvisionError", "Result",
    "cloud_init", "doctor", "drive", "glyphs", "lock", "logs", "modulefile", "peek", "process", "qc", "remove",
    "run", "sample", "scans", "status", "stop", "store", "tracks", "view",
]  # fmt: skip

_LAZY = {
    "Result": "provision.actions.result",
    "cloud_init": "provision.fleet.cloud_init",
    "doctor": "provision.checkup.doctor",
    "drive": "provision.colab.drive",
    "glyphs": "provision.pictures.glyphs",
    "lock": "provision.store.conda_lock",
    "logs": "provision.actions.logs",
    "modulefile": "provision.fleet.modulefile",
    "peek": "provision.pictures.peek",
    "process": "provision.study.process",
    "qc": "provision.pictures.qc",
    "remove": "provision.actions.remove",
    "run": "provision.actions.run",
    "sample": "provision.demo.sample",
    "scans": "provision.demo.scans",
    "status": "provision.actions.status",
    "stop": "provision.actions.stop",
    "tracks": "provision.pictures.tracks",
    "view": "provision.pictures.view",
}
_LAZY_MODULES = ("colab", "store")


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing this package costs nothing."""
    if name not in {*_LAZY, *_LAZY_MODULES}:
        raise AttributeError(f"module 'provision' has no attribute {name!r}")
    from importlib import import_module

    if name in _LAZY_MODULES:
        return import_module(f"provision.{name}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_MODULES})
