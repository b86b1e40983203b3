"""Where things are: homes, notes, caches, the store, prefixes, and paths as people write them."""

from __future__ import annotations

import os
import pwd

from . import drive


def home():
    """Return the home folder: the one HOME names where this user can use it, else the one of the password file."""
    # After sudo -E, HOME is another user's, who could change what root leaves there; a service's does not exist.
    given = os.environ.get("HOME", "")
    if _is_usable_home(given):
        return given
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # no entry, as in a container that was started with a number
        return given if given.startswith("/") else "/"


def _is_usable_home(folder):
    try:
        owner = os.stat(folder).st_uid
    except OSError:
        return False
    return folder.startswith("/") and owner in (os.getuid(), 0) and os.access(folder, os.W_OK | os.X_OK)


def state_folder():
    """Return the folder where the roles note what they put on the machine."""
    if os.getuid() == 0:
        return "/var/lib/provision"
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.join(home(), ".local/state"), "provision")


def cache_folder():
    """Return the folder for what can be made again: source trees, builds, downloads."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home(), ".cache"), "provision")


def default_store():
    """Return the folder of the store of builds: on Drive when that is mounted, else the cache."""
    folder = drive.drive_folder()
    return os.path.join(folder, "provision") if folder else cache_folder()


def default_prefix(wanted, machine, tool):
    """Return the absolute prefix that a role's `prefix` names."""
    if wanted != "auto":
        return os.path.abspath(os.path.expanduser(wanted))
    return f"/opt/{tool}" if machine["root"] else os.path.join(machine["home"], ".local/opt", tool)


def default_link_dir(wanted, machine):
    """Return the folder that a role's `link_dir` names, an empty string for none."""
    if wanted == "none":
        return ""
    if wanted != "auto":
        return os.path.abspath(os.path.expanduser(wanted))
    return "/usr/local/bin" if machine["root"] else os.path.join(machine["home"], ".local/bin")


def absolute(path, folder, machine):
    """Return a path as the one who wrote it meant it: from the folder they were in, or their home on this machine."""
    if not path or "://" in path:
        return path
    if path == "~" or path.startswith("~/"):
        return os.path.normpath(machine["home"] + path[1:])
    return os.path.normpath(os.path.join(folder or machine["home"], path))


def store_folder(wanted, folder, machine):
    """Return the folder that `provision_store` names, an empty string for none."""
    if wanted in ("auto", "none"):
        return machine["store"] if wanted == "auto" else ""
    return absolute(wanted, folder, machine)
