"""The folder of its own that a tool is in."""

from __future__ import annotations

import os

from ..disk import disk_problem
from ..reading import names_in

RECEIPT = ".provision.json"  # what the role leaves in a prefix of its own


def is_ours(prefix):
    """Tell whether a role has filled a prefix."""
    return bool(prefix) and os.path.exists(os.path.join(prefix, RECEIPT))


def staged(prefix):
    """Return how the names begin of the folders beside a prefix in which it is made ready, or deleted."""
    return f".{os.path.basename(prefix)}.provision-"


def leftovers(prefix):
    """Return the folders that runs which were killed have left beside a prefix; whoever deletes them holds the lock."""
    parent = os.path.dirname(prefix)
    return [os.path.join(parent, name) for name in names_in(parent) if name.startswith(staged(prefix))]


def prefix_problem(prefix):
    """Return why this role may not install into a prefix, an empty string when it may."""
    prefix = os.path.realpath(prefix)
    if os.path.lexists(prefix):
        if not os.path.isdir(prefix):
            return "is a file, not a folder"
        if os.path.ismount(prefix):
            return "is where a file system is mounted, and cannot be replaced"
        if not os.access(prefix, os.R_OK | os.X_OK):
            return "cannot be read by you"
        if not is_ours(prefix) and os.listdir(prefix):
            return "holds files that are not this role's"
    return disk_problem(os.path.dirname(prefix))
