"""Whether a build can be saved in a store."""

from __future__ import annotations

from .. import disk, drive, system
from .trust import store_owner_problem

_SHORT_OF_SPACE = 50_000_000  # a build takes 17 MB, and as much again while it is written


def store_problem(store):
    """Return in words why a build cannot be saved in a store, an empty string if it can."""
    if drive.has_dropped(store):
        return f"The store {store} is no longer mounted"
    problem = drive.unmounted_problem(store, "the store ")
    if problem:
        return problem
    problem = disk.folder_problem(store)
    if problem:
        return f"The store {store} {problem}"
    problem = store_owner_problem(store)
    if problem:
        return problem
    if not disk.writable(store):
        return f"The store {store} cannot be written to"
    free = disk.free_bytes(store)
    if free is not None and free < _SHORT_OF_SPACE:
        return f"The store {store} has only {free // 1_000_000} MB free"
    return ""


def store_warning(wanted, store, problem):
    """Return a warning to show before a long build if it will not be saved safely, else an empty string."""
    if not store:
        return ""
    if problem:
        return (
            f"{problem}: this build will not be saved. To save it, stop this run, fix that or choose another store "
            "(provision_store), and run it again."
        )
    mount = drive.left_mount() if wanted == "auto" and system.on_colab() else ""
    if mount:
        return (
            f"Google Drive is no longer mounted at {mount}: this build is saved in {store}, and lost with this "
            "machine. To save it on Drive, stop this run, call provision.drive() in a cell, and run it again."
        )
    return ""
