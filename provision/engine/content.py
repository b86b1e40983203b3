"""Where the playbooks, roles, plugins and inventories are."""

from __future__ import annotations

from pathlib import Path


def root() -> Path:
    """Return the folder that holds roles/, playbooks/, plugins/ and inventory/."""
    # In a wheel that is provision/_ansible; in a clone its top, so that an edited role is the one that runs.
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_ansible", package.parent):
        if (folder / "roles").is_dir():
            return folder
    raise FileNotFoundError(f"{package} was installed without its Ansible roles; reinstall mrtrix-provision.")
