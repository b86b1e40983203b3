"""What is wrong with a store or an archive, in words for people and a code for programs."""

from __future__ import annotations

import errno
import os

from ..failures import Problem

# What is wrong with one name of a store, and not with the store.
ITS_OWN = (
    errno.ENOENT, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENAMETOOLONG
)  # fmt: skip


class StoreError(Problem):
    """A store that cannot be used as asked."""

    code = "store"


class BadArchive(StoreError):
    """An archive that must not be used by anybody: broken, cut off or hostile."""

    code = "bad-archive"


class NoBuild(BadArchive):
    """A file that may be whole and is no build that can be used here; it is its owner's, and keeps its name."""

    code = "not-a-build"


class NotTrusted(StoreError):
    """A store or an archive that somebody could change who has not the rights of this process."""

    code = "store-not-trusted"


class Unreadable(StoreError):
    """A store that cannot be read just now; nothing is known of the archive."""

    code = "store-unreadable"


def is_broken(error):
    """Tell whether an error says that an archive is of no use to anybody, and may be set aside."""
    return isinstance(error, BadArchive) and not isinstance(error, NoBuild)


def unreadable(path, error):
    """Return the error for a store that refuses to show what is at a path."""
    is_gone = error.errno == errno.ENOTCONN
    words = "is no longer mounted" if is_gone else f"cannot be read: {error.strerror or error}"
    hint = "Mount it again, or name another store."
    return Unreadable(f"The store {os.path.dirname(path) or path} {words}.", hint, "not-mounted" if is_gone else "")
