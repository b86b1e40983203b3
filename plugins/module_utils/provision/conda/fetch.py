"""Fetching the packages of a lock, several at once, and keeping them by their digests."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ..download import DownloadError, fetch, fetch_resumed, shown, source_opened
from .lock import LARGEST, LockError

AT_ONCE = 6  # downloads; browsers open as many connections to a server
_LARGEST_INDEX = 256 << 20
_FOLDER = "packages"


def kept_in(folder):
    """Return where a store or a cache keeps packages."""
    return os.path.join(folder, _FOLDER)


def fetch_all(lock, store, cache, mirror="", tell=lambda *_: None, near=""):
    """Return the path of each package of a lock, in its order: from the store if kept there, else downloaded.

    What was downloaded is kept in the store, if there is one. An interrupted download continues the next time.
    Another host may serve them near, by the names under which they are kept; what it has not comes from the channel.
    """
    progress = _Progress(lock.size, tell)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        works = [pool.submit(_fetched, package, store, cache, mirror, progress, near) for package in lock.packages]
        try:
            return [work.result() for work in works]
        except BaseException:
            progress.stopped = True
            for work in works:
                work.cancel()
            raise


class _Stopped(Exception):
    """Another download has failed."""


class _Progress:
    """The bytes of all downloads together."""

    def __init__(self, total, tell):
        self._total, self._tell, self._lock, self._done = total, tell, threading.Lock(), {}
        self.stopped = False

    def of(self, package):
        """Return what reports the bytes of one package, and ends its download once another has failed."""

        def tell(done, _total):
            if self.stopped:
                raise _Stopped
            with self._lock:
                self._done[package.name] = done
                done = sum(self._done.values())
                self._tell(done, max(done, self._total), package.name)

        return tell


def forget(lock, store, cache):
    """Delete the downloaded packages of a lock, unless they are those of the store."""
    if store and os.path.realpath(store) == os.path.realpath(cache):
        return
    for package in lock.packages:
        with suppress(OSError):
            os.unlink(os.path.join(kept_in(cache), package.kept))
    with suppress(OSError):
        os.rmdir(kept_in(cache))


def _fetched(package, store, cache, mirror, progress, near):
    """Return the path of a package, downloaded if need be."""
    tell = progress.of(package)
    for folder in filter(None, (store, cache)):
        path = os.path.join(kept_in(folder), package.kept)
        if _is_it(path, package):
            tell(os.path.getsize(path), package.size)
            return path
    path = os.path.join(kept_in(cache), package.kept)
    package = package.at(mirror)
    sha256 = package.sha256 or _from_index(package)
    if not (near and _taken(f"{near}/{package.kept}", path, sha256, tell, package.size or LARGEST)):
        fetch_resumed(package.url, path, sha256, tell, package.size or LARGEST)
    if not _is_it(path, package):
        os.unlink(path)
        raise DownloadError(
            f"{shown(package.url)} is not the package of the lock: its MD5 is not {package.md5}.",
            "Make the lock again with: provision lock.", code="wrong-checksum",
        )  # fmt: skip
    if store and os.path.realpath(store) != os.path.realpath(cache):
        _keep(path, os.path.join(kept_in(store), package.kept), sha256)
    return path


def _taken(*download):
    """Return whether another host had a package, and nothing else under its name."""
    try:
        fetch_resumed(*download)
    except DownloadError:
        return False
    return True


def _is_it(path, package):
    """Return whether a file has the size and every digest that the lock has of a package."""
    try:
        if package.size not in (0, os.path.getsize(path)):
            return False
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return False
    digests = {"sha256": package.sha256, "md5": package.md5}
    return all(
        hashlib.new(kind, data, usedforsecurity=False).hexdigest() == wanted
        for kind, wanted in digests.items()
        if wanted
    )


def _from_index(package):
    """Return the SHA-256 of a package in the index of its channel."""
    index = package.url.rpartition("/")[0] + "/repodata.json"
    with source_opened(index, _LARGEST_INDEX) as file:
        try:
            found = json.loads(b"".join(iter(lambda: file.read(1 << 18), b"")))
            entries = {**found.get("packages", {}), **found.get("packages.conda", {})}
            sha256 = entries[package.file]["sha256"]
        except (ValueError, AttributeError, TypeError, KeyError):
            sha256 = ""
    if not (isinstance(sha256, str) and len(sha256) == 64):
        raise LockError(
            f"{shown(index)} has no SHA-256 of {package.file}, and the lock has none either.",
            "Make the lock again with: provision lock.", code="no-checksum",
        )  # fmt: skip
    return sha256.lower()


def _keep(path, kept, sha256):
    """Copy a package to the store; without room or permission there, the next machine downloads it again."""
    with suppress(OSError, DownloadError):
        fetch(path, kept, sha256)
