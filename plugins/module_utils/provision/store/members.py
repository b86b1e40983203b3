"""Unpacking the members of an archive: which are refused, and how the others are written."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from contextlib import ExitStack, contextmanager, suppress

from ..files import set_mode
from .tar import TarReader
from .zip import ZipReader

_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))
_ZIP = b"PK\x03\x04"
# What the readers raise for a broken archive; zipfile raises the last three, for an unknown compression for instance.
BROKEN = (
    tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError,
    zipfile.BadZipFile, NotImplementedError, RuntimeError,
)  # fmt: skip
_FILE, _LINK = "file", "link"
_MOST_NAMES = 200_000
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # NAME_MAX and PATH_MAX of Linux, limits.h


class UnsafeError(ValueError):
    """A member that would leave the folder it is unpacked to, cannot be made, or is not a file, folder or link."""

    code = "unsafe-archive"


class Members:
    """Checks the members of one archive in order, by name only, before they are written."""

    # No name or link may lead outside, and no member may be reached through a link, whatever exists or comes later.

    def __init__(self):
        self._top, self._count = {}, 0  # for each name a dict for a folder, else its kind

    def check(self, member):
        """Raise UnsafeError for a member that must not be written."""
        words = words_of(member.name)
        if not words and member.isdir():
            return
        *above, name = words or [""]
        folder = self._folder(above, member)
        there = folder.get(name)
        if not name or there == _LINK:
            raise UnsafeError(_outside(member))
        if isinstance(there, dict) != member.isdir() and there is not None:
            raise UnsafeError(f"its member {member.name!r} is both a folder and something else")
        if member.isdir():
            self._folder(words, member)
        else:
            folder[name] = self._kind(member, len(above))
            self._counted(there)

    def _folder(self, words, member):
        folder = self._top
        for word in words:
            self._counted(folder.get(word))
            folder = folder.setdefault(word, {})
            if folder == _LINK:
                raise UnsafeError(_outside(member))
            if folder == _FILE:
                raise UnsafeError(f"its member {member.name!r} is in a file instead of a folder")
        return folder

    def _counted(self, there):
        self._count += there is None
        if self._count > _MOST_NAMES:
            raise UnsafeError(f"it has more than {_MOST_NAMES} files and folders")

    def _kind(self, member, depth):
        """Return the kind of a member that is not a folder."""
        if member.issym():
            _check_link(member, depth)
            return _LINK
        if member.islnk() and not self._is_file(member.linkname):
            raise UnsafeError(f"its hard link {member.name!r} points outside the folder it is unpacked to")
        if not (member.isfile() or member.islnk()):
            raise UnsafeError(f"its member {member.name!r} is a device or a pipe")
        return _FILE

    def _is_file(self, name):
        found = self._top
        for word in words_of(name):
            found = found.get(word) if isinstance(found, dict) else None
        return found == _FILE


def words_of(name):
    """Return the parts of a member's name; raise UnsafeError if it leads outside or is not a valid name."""
    words = [word for word in name.split("/") if word not in ("", ".")]
    if name.startswith(("/", "~")) or ".." in words:
        raise UnsafeError(f"its member {name!r} would be written outside the folder it is unpacked to")
    _check_length(name, words)
    return words


def _check_length(name, words):
    longest = max((len(_encoded(word)) for word in words), default=0)
    if "\0" in name or len(_encoded(name)) > _LONGEST_PATH or longest > _LONGEST_NAME:
        raise UnsafeError(f"it has an invalid file name: {name[:60]!r}")


def _encoded(name):
    return name.encode("utf-8", "surrogateescape")


def _outside(member):
    return f"its member {member.name!r} would be written outside the folder it is unpacked to"


def _check_link(member, depth):
    # `..` after the name of a folder could lead anywhere if that folder is a link.
    words = [word for word in member.linkname.split("/") if word not in ("", ".")]
    plain = words[next((at for at, word in enumerate(words) if word != ".."), len(words)) :]
    above = len(words) - len(plain)
    if not member.linkname or member.linkname.startswith("/") or ".." in plain or above > depth:
        raise UnsafeError(f"its link {member.name!r} points outside the folder it is unpacked to")
    _check_length(member.linkname, words)


def extract_member(tar, member, folder):
    """Write a checked member, owned by the current user and with plain permissions."""
    # Each folder is opened relative to its parent, so that no link is followed.
    words = words_of(member.name)
    with ExitStack() as opened:
        top = parent = _open_folder(folder, None, opened)
        for word in words if member.isdir() else words[:-1]:
            parent = _open_folder(word, parent, opened)
        if member.isdir():
            return
        with suppress(FileNotFoundError):
            os.unlink(words[-1], dir_fd=parent)
        if member.issym():
            os.symlink(member.linkname, words[-1], dir_fd=parent)
        elif member.islnk():
            source = "/".join(words_of(member.linkname))
            os.link(source, words[-1], src_dir_fd=top, dst_dir_fd=parent, follow_symlinks=False)
        else:
            _write_member(tar, member, words[-1], parent)


def _open_folder(name, parent, opened):
    """Return the descriptor of a folder in another one, made if it is missing; `opened` closes it."""
    made = False
    if parent is not None:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
            made = True
    follow = 0 if parent is None else os.O_NOFOLLOW
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | follow, dir_fd=parent)
    opened.callback(os.close, folder)
    if made:
        set_mode(folder, 0o755)
    return folder


def _write_member(tar, member, name, parent):
    def open_new(path, flags):
        return os.open(path, flags | os.O_NOFOLLOW, 0o600, dir_fd=parent)

    try:
        with open(name, "xb", opener=open_new) as file:
            for block in tar.blocks():
                file.write(block)
            file.flush()
            set_mode(file.fileno(), 0o755 if member.mode & 0o100 else 0o644)
            os.utime(file.fileno(), (member.mtime, member.mtime))
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        raise


@contextmanager
def _opened(archive):
    """Yield a reader for a zip or tar archive, which may be compressed with gzip, bzip2 or xz."""
    with open(archive, "rb") as file:
        start = file.read(6)
    kind = ZipReader if start.startswith(_ZIP) else TarReader
    with next((opened for magic, opened in _PACKED if start.startswith(magic)), open)(archive, "rb") as content:
        yield kind(content)


def extract_all(readers, folder):
    """Check and write the members of one archive, which several readers may hold, to a folder with room for them."""
    room, members = _Room(folder), Members()
    for packed in readers:
        for member in packed:
            members.check(member)
            room.take(member.size)
            extract_member(packed, member, folder)


def unpack(archive, folder):
    """Unpack a tar or zip archive into an empty folder; ValueError unless it is complete and stays inside."""
    # An existing link could lead outside.
    if os.listdir(folder):
        raise ValueError(f"{archive} cannot be unpacked: {folder} is not empty")
    try:
        with _opened(archive) as packed:
            extract_all([packed], folder)
    except BROKEN as error:
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error


class _Room:
    """The free space on a disk, so that an archive that cannot fit fails early."""

    def __init__(self, folder):
        self._folder, usage = folder, shutil.disk_usage(folder)
        self._left = usage.free if usage.total else float("inf")  # some file systems do not report it

    def take(self, size):
        """Raise OSError for more bytes than are free."""
        self._left -= size
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._folder)
