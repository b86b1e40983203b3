"""Where the playbooks, roles, plugins and inventories are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_PARTS = ("ansible.cfg", "inventory", "playbooks", "plugins", "roles")


def root() -> Path:
    """Return the folder that holds roles/, playbooks/, plugins/ and inventory/."""
    # In a wheel that is provision/_ansible; in a clone its top, so that an edited role is the one that runs.
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_ansible", package.parent):
        if (folder / "roles").is_dir():
            return folder
    raise FileNotFoundError(f"{package} was installed without its Ansible roles; reinstall mrtrix-provision.")


def files() -> Iterator[os.DirEntry[str]]:
    """Yield each file that a run on this machine reads there."""
    with os.scandir(root()) as entries:
        yield from _below(entry for entry in entries if entry.name in _PARTS)


def _below(entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for entry in entries:
        if not entry.is_dir():
            yield entry
        elif entry.name != "__pycache__":
            with os.scandir(entry.path) as inner:
                yield from _below(inner)
