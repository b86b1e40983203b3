"""Reading archives: they are checked to their end before they are trusted."""

# An archive <key>.tar.zst begins with its manifest; <key>.json repeats it, with size and sha256, for quick reading.
# Where the two differ, the archive counts: the .json file may be missing or older.

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tarfile
from contextlib import contextmanager

from ..disk import free_bytes
from ..files import write_json
from .errors import BadArchive, NoBuild, NotTrusted, StoreError, Unreadable, unreadable
from .manifest import MANIFEST, parsed
from .members import Members, UnsafeError, extract_member
from .names import SUFFIX, beside, key_of
from .tar import TarReader
from .trust import TRUST_IT, others_write
from .zstd import BLOCK, NoZstdError, Reader

_MANIFEST_LIMIT = 1 << 20
# Errors of one member, rather than of the folder it is written to.
_OF_THE_MEMBER = (errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENAMETOOLONG, errno.ENOTDIR)


class Source:
    """An archive's bytes: counted, hashed, and with read errors kept apart from all others."""

    def __init__(self, path, tell=None, trusted=True):
        self.path, self._tell = path, tell
        try:
            self._file = open(path, "rb", buffering=0, opener=open_file)  # noqa: SIM115 (closed by close)
            found = os.fstat(self._file.fileno())
        except OSError as error:
            raise unreadable(path, error) from error
        self.size = found.st_size
        problem = "" if trusted else others_write(found)
        if problem:
            self.close()
            raise NotTrusted(f"The archive {path} {problem}.", TRUST_IT)
        self._sum, self._done = hashlib.sha256(), 0

    def read(self, size):
        """Return the next bytes, at most `size`."""
        try:
            data = self._file.read(size)
        except OSError as error:
            raise unreadable(self.path, error) from error
        self._sum.update(data)
        self._done += len(data)
        if self._tell:
            self._tell(self._done, self.size)
        return data

    def sha256(self):
        """Return the SHA-256 of the file, after reading the rest."""
        while self.read(BLOCK):
            pass
        return self._sum.hexdigest()

    def close(self):
        """Close the file."""
        self._file.close()


def open_file(path, flags):
    """Open a regular file, and never a pipe or a device, which could block or not end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EISDIR, "Is not a file", path)
    return descriptor


@contextmanager
def _members(path, tell=None, trusted=True):
    """Yield (the content, the tar archive in it); errors in the content become BadArchive."""
    source = Source(path, tell, trusted)
    try:
        content = Reader(source)
        yield content, TarReader(content)
    except NoZstdError as error:
        raise Unreadable(f"{error}.", "Install it: pip install zstandard.", code="no-zstd") from error
    except (tarfile.TarError, OverflowError, ValueError) as error:  # ZstdError is a ValueError
        raise BadArchive(f"it is broken: {error}", code=getattr(error, "code", "")) from error
    finally:
        source.close()


@contextmanager
def stream_of(path):
    """Yield the tar archive in a file, to be read from start to end; its content will be compiled in."""
    with _members(path, trusted=False) as (content, tar):
        yield tar
        content.finish()


def _manifest_in(tar):
    """Return an archive's manifest, which is its first member."""
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isfile() or member.size > _MANIFEST_LIMIT:
        raise NoBuild("it does not start with a manifest")
    return parsed(tar.read(member.size))


def _noted(path):
    """Return the content of the .json file beside an archive, {} if it is missing or invalid."""
    try:
        with open(beside(path), "rb", opener=open_file) as file:
            manifest = parsed(file.read(_MANIFEST_LIMIT))
    except (OSError, BadArchive):
        return {}
    is_sum = re.fullmatch("[0-9a-f]{64}", str(manifest.get("sha256")))
    return manifest if is_sum and isinstance(manifest.get("size"), int) else {}


def _is_of(noted, manifest):
    """Return whether notes belong to this archive: two machines may pack at once, and copies may be renamed."""
    return noted != {} and (noted["created"], key_of(noted)) == (manifest["created"], key_of(manifest))


def manifest_of(path):
    """Return an archive's manifest: from its .json file if that matches its name and size, else from the archive."""
    noted = _noted(path)
    if noted and key_of(noted) == os.path.basename(path)[: -len(SUFFIX)] and noted["size"] == _size(path):
        return noted
    with _members(path) as (content, tar):
        manifest, size = _manifest_in(tar), content.file.size
    if _is_of(noted, manifest) and noted["size"] != size:
        raise BadArchive(f"it has {size} bytes, not {noted['size']}", code="wrong-checksum")
    return dict(manifest, size=size)


def _size(path):
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise unreadable(path, error) from error


def read_archive(path, keep=None, accept=None, tell=None, sha256=""):
    """Read and check a whole archive, unpack it into an empty folder if one is given, and return its manifest."""
    # `accept` raises an error for an unsuitable manifest. With a known sha256 it does not matter who owns the file.
    noted = _noted(path)
    if keep and os.listdir(keep):
        raise StoreError(f"{keep} is not empty.", "Choose a new folder.")
    with _members(path, tell, trusted=not keep or bool(sha256)) as (content, tar):
        manifest = _manifest_in(tar)
        if accept:
            accept(manifest)
        if keep and manifest["unpacked"] > (free_bytes(keep) or manifest["unpacked"]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), keep)
        _take_members(tar, manifest, keep)
        content.finish()
        source = content.file
        found = dict(manifest, size=source.size, sha256=source.sha256())
    if sha256 and found["sha256"] != sha256.lower():
        raise NoBuild(f"its SHA-256 is {found['sha256']}, not {sha256}", code="wrong-checksum")
    if _is_of(noted, manifest) and found["sha256"] != noted["sha256"]:
        problem = f"its SHA-256 is {found['sha256']}, but its .json file has {noted['sha256']}"
        raise BadArchive(problem, code="wrong-checksum")
    if keep:
        write_json(os.path.join(keep, MANIFEST), manifest)
    return found


def _take_members(tar, manifest, folder):
    size, members = 0, Members()
    for member in tar:
        try:
            members.check(member)
        except UnsafeError as error:
            raise BadArchive(str(error), code=error.code) from error
        if os.path.normpath(member.name) == MANIFEST:
            raise BadArchive("it has two manifests")
        size += member.size
        if size > manifest["unpacked"]:
            raise BadArchive("it holds more than its manifest says", code="too-large")
        if folder:
            _extract(tar, member, folder)
    if size != manifest["unpacked"]:
        raise BadArchive("it holds less than its manifest says", code="cut-off")


def _extract(tar, member, folder):
    try:
        extract_member(tar, member, folder)
    except OSError as error:
        if error.errno not in _OF_THE_MEMBER:
            raise
        raise BadArchive(f"its member {member.name!r} cannot be written: {error.strerror}") from error
