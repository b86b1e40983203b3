"""Where the playbooks, roles, plugins and inventories lie, and what of the plugins is of use in Python."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

# The modules in plugins/module_utils import each other by relative names, so they need a package to be in. Ansible's
# own, `ansible.module_utils`, would bring all of Ansible with it.
_UTILITIES = "_provision_utilities"


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
    package = Path(__file__).resolve().parent
    for folder in (package / "_ansible", package.parent):
        if (folder / "roles").is_dir():
            return folder
    raise FileNotFoundError(f"{package} was installed without its Ansible roles; install mrtrix-provision again.")


def utility(name: str) -> ModuleType:
    """Return one of the modules that the roles use on the machines, imported without Ansible.

    Parameters
    ----------
    name : str
        A module of ``plugins/module_utils``.

    Returns
    -------
    types.ModuleType
        The module, the same one at each call.

    Raises
    ------
    ModuleNotFoundError
        When there is none of that name.

    Examples
    --------
    >>> utility("provision_checks").LEVELS[0]
    'x86-64'
    """
    if _UTILITIES not in sys.modules:
        package = ModuleType(_UTILITIES)
        package.__path__ = [str(root() / "plugins" / "module_utils")]
        sys.modules[_UTILITIES] = package
    return importlib.import_module(f"{_UTILITIES}.{name}")
