"""The errors of stores and archives."""

from __future__ import annotations

import errno
import os

from ..failures import Problem

# Errors of one file in a store, rather than of the store.
ITS_OWN = (
    errno.ENOENT, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENAMETOOLONG
)  # fmt: skip


class StoreError(Problem):
    """A store that cannot be used."""

    code = "store"


class BadArchive(StoreError):
    """An archive that nobody must use: broken, truncated or hostile."""

    code = "bad-archive"


class NoBuild(BadArchive):
    """A file that may be intact but is not a usable build; it keeps its name."""

    code = "not-a-build"


class NotTrusted(StoreError):
    """A store or an archive that a less privileged user could change."""

    code = "store-not-trusted"


class Unreadable(StoreError):
    """A store that cannot be read at the moment; the archive may be fine."""

    code = "store-unreadable"


def is_broken(error):
    """Return whether an error means that an archive is of no use to anybody, and may be set aside."""
    return isinstance(error, BadArchive) and not isinstance(error, NoBuild)


def unreadable(path, error):
    """Return the error for a path of a store that cannot be read."""
    is_gone = error.errno == errno.ENOTCONN
    words = "is no longer mounted" if is_gone else f"cannot be read: {error.strerror or error}"
    hint = "Mount it again, or choose another store."
    return Unreadable(f"The store {os.path.dirname(path) or path} {words}.", hint, "not-mounted" if is_gone else "")
