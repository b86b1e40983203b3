"""Google Drive on Colab: where it is mounted, and whether the mount still works."""

from __future__ import annotations

import errno
import os

# The notebook chooses the mount point; these are the usual ones, new and old.
_DRIVE_MOUNTS = ("content/drive", "gdrive", "content/gdrive")


def drive_folder(root="/"):
    """Return the user's folder of a mounted Google Drive, an empty string if there is none."""
    # My Drive has been spelt with and without a space. A Drive that has dropped still counts: the builds are there.
    folders = [os.path.join(root, mount, name) for mount in _DRIVE_MOUNTS for name in ("MyDrive", "My Drive")]
    return next(filter(os.path.isdir, folders), "") or next(filter(has_dropped, folders), "")


def has_dropped(folder):
    """Return whether a folder is on a drive that is still mounted although the program behind it has ended."""
    try:
        os.stat(folder)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


# The folders in a mounted Drive: the user's, in both spellings, and shared ones.
_DRIVE_FOLDERS = ("MyDrive", "My Drive", "Shareddrives", "Shared drives")


def unmounted_drive(path, root="/"):
    """Return the mount point of the unmounted Google Drive that a path is on, else an empty string."""
    # Files written there would be lost with the machine's own disk, and would keep Drive from being mounted.
    for mount in (os.path.join(root, mount) for mount in _DRIVE_MOUNTS):
        for folder in (os.path.join(mount, name) for name in _DRIVE_FOLDERS):
            on_it = os.path.join(os.path.abspath(path), "").startswith(os.path.join(folder, ""))
            if on_it and not os.path.isdir(folder) and not has_dropped(folder):
                return mount
    return ""


def left_mount(root="/"):
    """Return the empty mount point of a Google Drive that is no longer mounted, else an empty string."""
    mounts = (os.path.join(root, mount) for mount in _DRIVE_MOUNTS)
    return "" if drive_folder(root) else next(filter(os.path.isdir, mounts), "")


def on_drive(path):
    """Return whether a path is on a mounted Google Drive, in the user's folder or a shared one."""
    drive = drive_folder()
    return bool(drive) and os.path.realpath(path).startswith(os.path.realpath(os.path.dirname(drive)) + os.sep)


def unmounted_problem(path, what=""):
    """Return a message if something is on a Google Drive that is not mounted, else an empty string."""
    mount = unmounted_drive(path)
    return f"No Google Drive is mounted at {mount}, where {what}{path} is" if mount else ""
