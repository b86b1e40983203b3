"""MRtrix3 on a fresh machine: Ansible roles, driven from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.errors import OptionError, ProvisionError

if TYPE_CHECKING:
    from provision import store
    from provision.checkup import doctor
    from provision.colab import drive
    from provision.core import remove, run, status, stop
    from provision.fod import glyphs
    from provision.history import logs
    from provision.result import Result
    from provision.samples import sample
    from provision.slices import peek
    from provision.webview import view

__version__ = "0.1.0"

__all__ = [
    "OptionError", "ProvisionError", "Result",
    "doctor", "drive", "glyphs", "logs", "peek", "remove", "run", "sample", "status", "stop", "store", "view",
]  # fmt: skip

_LAZY = {
    "Result": "provision.result",
    "doctor": "provision.checkup",
    "drive": "provision.colab",
    "glyphs": "provision.fod",
    "logs": "provision.history",
    "peek": "provision.slices",
    "remove": "provision.core",
    "run": "provision.core",
    "sample": "provision.samples",
    "status": "provision.core",
    "stop": "provision.core",
    "view": "provision.webview",
}
_LAZY_MODULES = ("store",)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that importing this package costs nothing."""
    if name not in {*_LAZY, *_LAZY_MODULES}:
        raise AttributeError(f"module 'provision' has no attribute {name!r}")
    from importlib import import_module

    if name in _LAZY_MODULES:
        return import_module(f"provision.{name}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_MODULES})
