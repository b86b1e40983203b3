"""The folder of a tool's installation."""

from __future__ import annotations

import os

from ..disk import disk_problem, folder_problem
from ..reading import names_in, read_json

RECEIPT = ".provision.json"  # the file that marks a prefix as a role's installation


def is_ours(prefix, tool=""):
    """Return whether a prefix is a role's installation, of this tool if one is named."""
    receipt = os.path.join(prefix, RECEIPT)
    return bool(prefix) and os.path.exists(receipt) and (not tool or read_json(receipt).get("tool", tool) == tool)


def staged(prefix):
    """Return the name prefix of the temporary folders beside a prefix."""
    return f".{os.path.basename(prefix)}.provision-"


def leftovers(prefix):
    """Return the temporary folders that killed runs left beside a prefix; deleting them requires the lock."""
    parent = os.path.dirname(prefix)
    return [os.path.join(parent, name) for name in names_in(parent) if name.startswith(staged(prefix))]


def prefix_problem(prefix, tool=""):
    """Return why the role of a tool may not install into a prefix, an empty string if it may."""
    problem = folder_problem(prefix)
    if problem:
        return problem
    prefix = os.path.realpath(prefix)
    if os.path.lexists(prefix):
        if os.path.ismount(prefix):
            return "is where a file system is mounted, and cannot be replaced"
        if not os.access(prefix, os.R_OK | os.X_OK):
            return "is not readable for you"
        if not is_ours(prefix, tool) and os.listdir(prefix):
            return "contains files that this role did not install"
    outer = os.path.dirname(prefix)
    while outer != os.path.dirname(outer):
        if is_ours(outer):
            return f"is inside {outer}, which is replaced and removed as a whole"
        outer = os.path.dirname(outer)
    return disk_problem(os.path.dirname(prefix))
