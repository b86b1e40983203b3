"""Whether a build can be kept in the folder of the store."""

from __future__ import annotations

from .. import disk, drive, system
from .trust import store_owner_problem

_SHORT_OF_SPACE = 50_000_000  # a build takes 17 MB, and as much again while it is written


def store_problem(store):
    """Return why a build could not be kept in a store, in words; an empty string when nothing speaks against it."""
    if drive.has_dropped(store):
        return f"The store {store} is no longer mounted"
    problem = drive.unmounted_problem(store)
    if problem:
        return problem
    problem = store_owner_problem(store)
    if problem:
        return problem
    if not disk.writable(store):
        return f"The store {store} cannot be written to"
    free = disk.free_bytes(store)
    if free is not None and free < _SHORT_OF_SPACE:
        return f"The store {store} has {free // 1_000_000} MB free"
    return ""


def store_warning(wanted, store, problem):
    """Return what somebody should know of the store, with its `problem`, before a long build; empty for nothing."""
    if not store:
        return ""
    if problem:
        return (
            f"{problem}: this build will not be kept for the next machine. To have it kept, stop this run, mend that "
            "or name another store (provision_store), and run it again."
        )
    mount = drive.left_mount() if wanted == "auto" and system.on_colab() else ""
    if mount:
        return (
            f"No Google Drive is mounted at {mount} any more: this build is kept in {store}, and lost with this "
            "machine. To have it on Drive, stop this run, call provision.drive() in a cell, and run it again."
        )
    return ""
