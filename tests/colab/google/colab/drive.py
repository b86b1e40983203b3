"""Google Drive as a folder: what is written to it stays on the machine until it is flushed.

There a FUSE file system is mounted; here the cloud's files are copied to and fro, so that no root is needed.
"""

import os
import shutil

from google.colab import _message
from google.colab._page import page

__all__ = ["flush_and_unmount", "mount"]

_mounted = []


def flush_and_unmount(timeout_ms=24 * 60 * 60 * 1000):
    """Bring what was written to the cloud, and unmount."""
    if not _mounted:
        print("Drive not mounted, so nothing to flush and unmount.")
        return
    if not page.flushes:
        raise ValueError("flush_and_unmount failed")
    folder = os.path.join(_mounted.pop(), "MyDrive")
    shutil.copytree(folder, page.cloud, dirs_exist_ok=True)
    shutil.rmtree(folder)


def mount(mountpoint, force_remount=False, timeout_ms=120000, readonly=False):
    """Mount it, once the person has allowed that."""
    if not page.mounts:
        raise NotImplementedError(
            "Mounting drive is unsupported in this environment. Use PyDrive2 instead. See examples at"
            " https://colab.research.google.com/notebooks/io.ipynb#scrollTo=7taylj9wpsA2."
        )
    if " " in mountpoint:
        raise ValueError("Mountpoint must not contain a space.")
    # Asked for before anybody looks whether it is mounted already, as there; what comes without an answer is the same.
    answer = _message.blocking_request(
        "request_auth", request={"authType": "dfs_ephemeral"}, timeout_sec=int(timeout_ms / 1000)
    )
    mountpoint = os.path.expanduser(mountpoint)
    if not force_remount and mountpoint in _mounted:
        print(
            f"Drive already mounted at {mountpoint}; to attempt to forcibly remount, call "
            f'drive.mount("{mountpoint}", force_remount=True).'
        )
        return
    _check(mountpoint)
    if answer is None:
        raise ValueError("mount failed")
    page.cloud.mkdir(parents=True, exist_ok=True)
    shutil.copytree(page.cloud, os.path.join(mountpoint, "MyDrive"))
    _mounted[:] = [mountpoint]
    print(f"Mounted at {mountpoint}")


def _check(mountpoint):
    if os.path.islink(mountpoint):
        raise ValueError("Mountpoint must not be a symlink")
    if os.path.isdir(mountpoint) and os.listdir(mountpoint):
        raise ValueError("Mountpoint must not already contain files")
    if not os.path.isdir(mountpoint) and os.path.exists(mountpoint):
        raise ValueError("Mountpoint must either be a directory or not exist")
    if not os.path.exists(os.path.dirname(os.path.normpath(mountpoint))):
        raise ValueError("Mountpoint must be in a directory that exists")
