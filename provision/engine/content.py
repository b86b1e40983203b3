"""Where the playbooks, roles, plugins and inventories lie."""

from __future__ import annotations

from pathlib import Path


def root() -> Path:
    """Return the folder that holds ``roles/``, ``playbooks/``, ``plugins/`` and ``inventory/``.

    In an installed wheel that is ``provision/_ansible``; in a clone, and in an editable install of one, it is the
    clone's top folder, so that an edited role is the one that runs.

    Returns
    -------
    pathlib.Path
        An absolute path.

    Raises
    ------
    FileNotFoundError
        When neither place holds the roles, as in a package that was built wrongly.

    Examples
    --------
    >>> (root() / "playbooks" / "site.yml").is_file()
    True
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_ansible", package.parent):
        if (folder / "roles").is_dir():
            return folder
    raise FileNotFoundError(f"{package} was installed without its Ansible roles; install mrtrix-provision again.")
