"""Whether root may run what is in a store, depending on who can change it."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress

from ..reading import read_text
from .errors import NotTrusted

TRUST_IT = (
    "Choose a store of your own, import the archive by its SHA-256 (provision store import), or make root the owner "
    "(chown)."
)


def others_write(found):
    """Return in words why root must not run what is in a file or folder, given its `os.stat`."""
    # Only root has privileges that a build could abuse.
    if os.geteuid() != 0:
        return ""
    if found.st_uid not in _trusted():
        return f"belongs to {_user(found.st_uid)}, who could change what root runs"
    sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & 0o022 and not sticky:
        return "can be written to by other users, who could change what root runs"
    return ""


def _trusted():
    """Return the user ids of root and of the user who called sudo."""
    caller = os.environ.get("SUDO_UID", "")
    return {0, int(caller)} if caller.isdecimal() else {0}


def _user(number):
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user with the number {number}"


def store_owner_problem(store):
    """Return in words why root must not use a store, an empty string if it may."""
    # Whoever can rename a folder above it can replace it.
    if os.geteuid() != 0:
        return ""
    for path in dict.fromkeys((store, os.path.realpath(store))):
        with suppress(OSError):
            problem = others_write(os.stat(path))
            if problem:
                return f"The store {store} {problem}"
        for folder in _above(path):
            if _may_rename(folder):
                return f"The store {store} is in the folder {folder}, where other users could change what root runs"
    return ""


def check_owner(store):
    """Raise NotTrusted for a store that a less privileged user could change."""
    problem = store_owner_problem(store)
    if problem:
        raise NotTrusted(f"{problem}.", TRUST_IT)


def _above(path):
    """Return the folders above a path, the nearest first, and the path itself if it is a link."""
    found = [path] if os.path.islink(path) else []
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        found.append(path)
    return found


def _may_rename(folder):
    """Return whether users other than root and the caller of sudo could replace an entry of a folder."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    if found.st_uid not in _trusted():
        # Files of users unknown to this container belong to the system outside it (user_namespaces(7)).
        return found.st_uid != 65534 or read_text("/proc/self/uid_map").split() == ["0", "0", "4294967295"]
    # On Debian and Ubuntu, the group with the owner's own number has no other members.
    others = 0o002 if found.st_gid in (0, found.st_uid) else 0o022
    return stat.S_ISDIR(found.st_mode) and bool(found.st_mode & others) and not found.st_mode & stat.S_ISVTX
