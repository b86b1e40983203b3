"""What archives are called, and which there are in a store."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress

from ..versions import is_release
from .errors import unreadable

SUFFIX = ".tar.zst"
BAD = ".bad"
NEW = ".new-"  # how the name of an archive begins that is being written
# What archives are called, also once a browser or a mounted drive has kept two of one name apart.
_ARCHIVE = re.compile(r"[^.].*\.tar([ (_-].*)?\.zst", re.I)


def key_of(manifest):
    """Return the name of a build, such as ``mrtrix3-3.0.8-debian12-x86_64-x86-64-v3``."""
    # The marks at the end are for the source of what is no release, a native processor, and the commands of a part.
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
    """Return where a build's archive is in a store."""
    return os.path.join(store, key + SUFFIX)


def beside(path):
    """Return the file with an archive's manifest, size and sha256."""
    whole = path.lower().endswith(SUFFIX)
    return (path[: -len(SUFFIX)] if whole else os.path.splitext(path)[0]) + ".json"


def archives(store):
    """Return the paths of the archives in a store, sorted; none when it does not exist. Raises Unreadable."""
    try:
        names = sorted(os.listdir(store))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(os.path.join(store, ""), error) from error
    return [os.path.join(store, name) for name in names if _ARCHIVE.fullmatch(name)]


def set_aside(path):
    """Rename a bad archive, and what stands beside it, so that nobody uses it; return the name that it has then."""
    aside = path + BAD
    try:
        os.replace(path, aside)
        with suppress(FileNotFoundError):
            os.replace(beside(path), beside(path) + BAD)
    except OSError:
        return path
    return aside
