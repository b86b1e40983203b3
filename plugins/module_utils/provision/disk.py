"""Whether a disk has room for files, and can run programs."""

from __future__ import annotations

import errno
import os
import shutil


def free_bytes(path):
    """Return the free bytes for a path that may not exist yet, None if unknown."""
    try:
        return shutil.disk_usage(nearest(path)).free
    except OSError:
        return None


_FULL = 20_000_000  # less than any build takes


def disk_problem(path):
    """Return why no programs can be put at a path, which may not exist yet; an empty string if they can."""
    return _disk_problem(path)[0]


def disk_code(path):
    """Return the code of that problem, an empty string if there is none."""
    return _disk_problem(path)[1]


def _disk_problem(path):
    try:
        disk = os.statvfs(nearest(path))
    except OSError:
        return "", ""
    if disk.f_flag & os.ST_RDONLY:
        return "is on a file system that is mounted read-only", "read-only"
    if disk.f_flag & os.ST_NOEXEC:
        return "is on a file system that is mounted with noexec: no program can run there", "noexec"
    free = (disk.f_bavail if os.getuid() else disk.f_bfree) * disk.f_frsize
    if disk.f_blocks and free < _FULL:
        return f"is on a disk that is full: only {free // 1_000_000} MB are free", "disk-full"
    if disk.f_files and not disk.f_favail:
        return "is on a disk that is full: it has no free inodes", "disk-full"
    return "", ""


# Bytes of the name of a file or folder: a file system takes 255, and 20 are for temporary names beside it.
_LONGEST_NAME, _LONGEST_PATH = 235, 4000


def folder_problem(path):
    """Return why there can be no folder at a path, which may not exist yet; an empty string if there can."""
    raw = os.fsencode(path)
    if len(raw) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in raw.split(b"/")):
        return "is too long"
    try:
        os.stat(path)
    except OSError as error:
        return {errno.ELOOP: "is a link that leads in a circle", errno.ENOTDIR: "is below a file"}.get(error.errno, "")
    return "" if os.path.isdir(path) else "is a file, not a folder"


def writable(path):
    """Return whether a path, or the nearest existing folder above it, is writable."""
    return os.access(nearest(path), os.W_OK | os.X_OK)


def nearest(path):
    """Return a path, or the nearest existing folder above it."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path
