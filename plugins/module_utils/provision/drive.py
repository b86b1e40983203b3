"""Google Drive as Colab mounts it: where it is, whether it has dropped, and whether it is mounted at all."""

from __future__ import annotations

import errno
import os

# Colab mounts Drive where the notebook says: its own examples, older ones, and many people's.
_DRIVE_MOUNTS = ("content/drive", "gdrive", "content/gdrive")


def drive_folder(root="/"):
    """Return the user's folder of a mounted Google Drive, an empty string when there is none."""
    # My Drive has been spelt with and without a space. One that has dropped is still where the builds are.
    folders = [os.path.join(root, mount, name) for mount in _DRIVE_MOUNTS for name in ("MyDrive", "My Drive")]
    return next(filter(os.path.isdir, folders), "") or next(filter(has_dropped, folders), "")


def has_dropped(folder):
    """Tell whether a folder is of a drive that is still mounted while the program behind it has ended."""
    try:
        os.stat(folder)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


# What is in a mounted Drive, beside the user's folder in both spellings.
_DRIVE_FOLDERS = ("MyDrive", "My Drive", "Shareddrives", "Shared drives")


def unmounted_drive(path, root="/"):
    """Return the mount point of the Google Drive that a path is on while no Drive is mounted there, else nothing."""
    # What is written there would be lost with the machine's own disk, and keep Drive from being mounted.
    for mount in (os.path.join(root, mount) for mount in _DRIVE_MOUNTS):
        for folder in (os.path.join(mount, name) for name in _DRIVE_FOLDERS):
            on_it = os.path.join(os.path.abspath(path), "").startswith(os.path.join(folder, ""))
            if on_it and not os.path.isdir(folder) and not has_dropped(folder):
                return mount
    return ""


def left_mount(root="/"):
    """Return the empty mount point of a Google Drive that was mounted and is no more, else nothing."""
    mounts = (os.path.join(root, mount) for mount in _DRIVE_MOUNTS)
    return "" if drive_folder(root) else next(filter(os.path.isdir, mounts), "")


def on_drive(path):
    """Tell whether a path is on a mounted Google Drive, in the user's folder or in one that is shared."""
    drive = drive_folder()
    return bool(drive) and os.path.realpath(path).startswith(os.path.realpath(os.path.dirname(drive)) + os.sep)


def unmounted_problem(store):
    """Return that a store is on a Google Drive that is not mounted, in words; an empty string when it is not."""
    mount = unmounted_drive(store)
    return f"No Google Drive is mounted at {mount}, where the store {store} is" if mount else ""
