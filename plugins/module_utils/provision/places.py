"""Where things are: home, notes, cache, store and prefixes, and how paths from users are read."""

from __future__ import annotations

import os
import pwd

from . import drive


def home():
    """Return the home folder: HOME if this user can use it, else that of the password database."""
    # After sudo -E, HOME belongs to another user, who could change root's files; a service's does not exist.
    given = os.environ.get("HOME", "")
    if _is_usable_home(given):
        return given
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # no entry, as in a container started with a numeric user
        return given if given.startswith("/") else "/"


def _is_usable_home(folder):
    try:
        owner = os.stat(folder).st_uid
    except OSError:
        return False
    is_fit = folder.startswith("/") and is_text(folder)
    return is_fit and owner in (os.getuid(), 0) and os.access(folder, os.W_OK | os.X_OK)


def state_folder():
    """Return the folder where the roles note what they have installed."""
    if os.getuid() == 0:
        return "/var/lib/provision"
    return users_state_folder()


def users_state_folder():
    """Return the folder for what a user's runs leave for later ones, such as logs."""
    return os.path.join(_base("XDG_STATE_HOME", ".local/state"), "provision")


def cache_folder():
    """Return the folder for files that can be recreated: source trees, builds, downloads."""
    return os.path.join(_base("XDG_CACHE_HOME", ".cache"), "provision")


def _base(variable, usual):
    """Return the folder that a variable names, else the usual one in the home; relative ones do not count (XDG)."""
    given = os.environ.get(variable, "")
    return given if given.startswith("/") and is_text(given) else os.path.join(home(), usual)


def is_text(value):
    """Return whether Ansible can handle a name or value: it is UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:  # Python's stand-ins for other bytes
        return False
    return True


def default_store():
    """Return the default store: on Drive if that is mounted, else the cache."""
    folder = drive.drive_folder()
    return os.path.join(folder, "provision") if folder else cache_folder()


def default_prefix(wanted, folder, machine, tool):
    """Return the absolute path of a role's `prefix`."""
    if wanted != "auto":
        return absolute(wanted, folder, machine)
    return f"/opt/{tool}" if machine["root"] else os.path.join(machine["home"], ".local/opt", tool)


def default_link_dir(wanted, folder, machine):
    """Return the absolute path of a role's `link_dir`, an empty string for none."""
    if wanted == "none":
        return ""
    if wanted != "auto":
        return absolute(wanted, folder, machine)
    return "/usr/local/bin" if machine["root"] else os.path.join(machine["home"], ".local/bin")


def absolute(path, folder, machine):
    """Return the absolute form of a path from the user: relative to their folder, or to their home here."""
    if not path or "://" in path:
        return path
    if path == "~" or path.startswith("~/"):
        return os.path.normpath(machine["home"] + path[1:])
    return os.path.normpath(os.path.join(folder or machine["home"], os.path.expanduser(path)))


def unknown_user(path):
    """Return the user that a path such as ``~jane/x`` names if there is none, else an empty string."""
    start = path.partition("/")[0]
    return start[1:] if start.startswith("~") and os.path.expanduser(start) == start else ""


def store_folder(wanted, folder, machine):
    """Return the folder of `provision_store`, an empty string for none."""
    if wanted in ("auto", "none"):
        return machine["store"] if wanted == "auto" else ""
    return absolute(wanted, folder, machine)
