"""Preparing a new folder beside a prefix, and replacing or deleting the prefix in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress

from ..files import make_folder
from .prefix import RECEIPT, leftovers, staged

_AT_FDCWD = -100


_RENAME_EXCHANGE = 2  # linux/fs.h


def exchange(new, target):
    """Replace the folder `target` with `new` in one step, and delete the old one."""
    if not os.path.lexists(target):
        os.rename(new, target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE)
    if done != 0:
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
            raise OSError(code, os.strerror(code), target)
        # This is not atomic. If it is interrupted, the next `staging` cleans up.
        aside = _put_aside(target)
        os.rename(new, target)
        new = aside
    shutil.rmtree(new, ignore_errors=True)


def discard(folder):
    """Delete a folder with our receipt; after an interruption, the rest can still be recognised as ours."""
    aside = _put_aside(folder)
    if os.path.lexists(aside):
        shutil.rmtree(aside)


def drop_leftovers(target):
    """Delete the temporary folders that killed runs left beside a folder; the caller holds its lock."""
    for path in leftovers(os.path.realpath(target)):
        shutil.rmtree(path, ignore_errors=True)


def _put_aside(folder):
    """Rename a folder to a temporary name, for deletion, and return the new path."""
    aside = os.path.join(os.path.dirname(folder), staged(folder) + os.urandom(6).hex())
    try:
        os.rename(folder, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A folder from a container's image cannot be renamed (Documentation/filesystems/overlayfs.rst).
        for name in sorted(os.listdir(folder), key=lambda name: name == RECEIPT):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        os.rmdir(folder)
    return aside


@contextmanager
def staging(target):
    """Yield a new folder beside `target`, deleted at the end unless renamed; the caller holds a lock."""
    make_folder(os.path.dirname(target))
    drop_leftovers(target)
    folder = tempfile.mkdtemp(prefix=staged(target), dir=os.path.dirname(target))
    os.chmod(folder, 0o755)
    try:
        yield folder
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
