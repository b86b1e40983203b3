"""The names of archives, and the archives in a store."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress

from ..versions import is_release
from .errors import unreadable

SUFFIX = ".tar.zst"
BAD = ".bad"
NEW = ".new-"  # the prefix of an archive that is being written
# The names of archives, also where a browser or a mounted drive has renamed a second copy.
_ARCHIVE = re.compile(r"[^.].*\.tar([ (_-].*)?\.zst", re.I)


def key_of(manifest):
    """Return the name of a build, such as ``mrtrix3-3.0.8-debian12-x86_64-x86-64-v3``."""
    # The marks at the end identify the source of a non-release, a native processor, and a subset of commands.
    words = [
        manifest["tool"],
        manifest["version"],
        *filter(None, [manifest.get("belongs_to")]),
        manifest["release"].replace("-", ""),
        manifest["arch"],
        manifest["cpu"] or "default",
    ]
    if not is_release(manifest["version"]):
        words.append("from" + _mark([manifest["version"], manifest.get("repo") or ""]))
    if manifest["cpu"] == "native":
        words.append("on" + _mark(manifest.get("cpu_flags", [])))
    if not manifest["complete"]:
        words.append("only" + _mark(manifest["asked"]))
    return re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(words))


def _mark(words):
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]


def archive_path(store, key):
    """Return the path of a build's archive in a store."""
    return os.path.join(store, key + SUFFIX)


def beside(path):
    """Return the path of the .json file beside an archive, with its manifest, size and sha256."""
    whole = path.lower().endswith(SUFFIX)
    return (path[: -len(SUFFIX)] if whole else os.path.splitext(path)[0]) + ".json"


def archives(store):
    """Return the paths of the archives in a store, sorted; none if it does not exist. Raises Unreadable."""
    try:
        names = sorted(os.listdir(store))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(os.path.join(store, ""), error) from error
    return [os.path.join(store, name) for name in names if _ARCHIVE.fullmatch(name)]


def set_aside(path):
    """Rename a bad archive and its .json file so that nobody uses it; return its new path."""
    aside = path + BAD
    try:
        os.replace(path, aside)
        with suppress(FileNotFoundError):
            os.replace(beside(path), beside(path) + BAD)
    except OSError:
        return path
    return aside
