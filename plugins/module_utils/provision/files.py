"""Files that are whole or not there: writing, exchanging and unpacking, in the standard library alone."""

from __future__ import annotations

import bz2
import ctypes
import errno
import fcntl
import gzip
import json
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import time
import zlib
from contextlib import ExitStack, contextmanager, suppress

from .store.tar import TarReader
from .tool.prefix import RECEIPT, leftovers, staged

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


def make_folder(path, mode=0o755):
    """Make a folder and what is missing above it, with this mode whatever the umask; what is there stays as it is."""
    path, missing = os.path.abspath(path), []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, mode)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
            continue  # somebody else has just made it
        with suppress(OSError):  # a mounted Drive has no permissions
            os.chmod(folder, mode)


def plain_modes(folder):
    """Give a folder and all in it the modes that a package's files have, whatever the umask or their origin says."""
    os.chmod(folder, 0o755)
    for parent, folders, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in folders + names):
            if not os.path.islink(path):
                mode = os.stat(path).st_mode
                os.chmod(path, 0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)


def write_json(path, value, mode=0o644):
    """Write a value as JSON under a temporary name and rename it, so that a reader never sees half of it."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True), mode)


def write_text(path, text, mode=0o644):
    """Write a file under a temporary name, which its owner alone can read, and rename it."""
    folder = os.path.dirname(path)
    make_folder(folder)
    handle, name = tempfile.mkstemp(prefix=_half_written(path), dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            set_mode(file.fileno(), mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _half_written(path):
    return f".new-{os.path.basename(path)}-"


def drop_half_written(path):
    """Delete what killed writers of a JSON file have left beside it; the caller holds the file's lock."""
    folder = os.path.dirname(path)
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        if name.startswith(_half_written(path)):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))


def exchange(new, target):
    """Put the folder `new` in the place of `target` in one step, and delete what was there."""
    if not os.path.lexists(target):
        os.rename(new, target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE)
    if done != 0:
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
            raise OSError(code, os.strerror(code), target)
        # There is a gap between the steps. Should it be cut off there, the next `staging` clears up.
        aside = _put_aside(target)
        os.rename(new, target)
        new = aside
    shutil.rmtree(new, ignore_errors=True)


def discard(folder):
    """Delete a folder with our receipt; where that is cut off, what is left is still known to be ours."""
    aside = _put_aside(folder)
    if os.path.lexists(aside):
        shutil.rmtree(aside)


def drop_leftovers(target):
    """Delete what runs that were killed have left beside a folder; the caller holds its lock."""
    for path in leftovers(os.path.realpath(target)):
        shutil.rmtree(path, ignore_errors=True)


def _put_aside(folder):
    """Rename a folder to a name that says that it is to be deleted, and return that."""
    aside = os.path.join(os.path.dirname(folder), staged(folder) + os.urandom(6).hex())
    try:
        os.rename(folder, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # A folder that came with a container's image (overlayfs, Documentation/filesystems/overlayfs.rst).
        for name in sorted(os.listdir(folder), key=lambda name: name == RECEIPT):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        os.rmdir(folder)
    return aside


class Locked(BlockingIOError):
    """A lock that another process holds for longer than its caller can wait; the message is for people."""

    hint = "Wait for it to finish, then run it again."

    def __init__(self, message):
        super().__init__(errno.EWOULDBLOCK, message)

    def __str__(self):
        """Return the sentence alone."""
        return self.strerror


def try_lock(path):
    """Return an open file with an exclusive lock on it, None while another process holds that.

    The file is made when it is missing, for its owner alone: who cannot open it cannot hold it up. A link is not
    followed. Raises OSError for what cannot be opened.
    """
    # Not waiting is for a pipe of that name.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Deleted by the one who held it last: whoever comes next makes another.
        if os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
            return file
    except BlockingIOError:
        _drop_open_lock(file, path)
    except FileNotFoundError:
        pass
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _drop_open_lock(file, path):
    """Delete a lock that is held and that others can open, who could hold it for good: it was made by other means."""
    found = os.fstat(file.fileno())
    with suppress(OSError):
        if found.st_uid == os.geteuid() and found.st_mode & 0o066 and os.path.samestat(found, os.lstat(path)):
            os.unlink(path)


def lock_holder(path):
    """Return who holds the lock of a file, as ``process 1234 (sleep 9)``, else ``another process``."""
    # proc_locks(5): "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF". The device is not everywhere that of stat(2).
    with suppress(OSError, ValueError):
        inode = str(os.lstat(path).st_ino)
        with open("/proc/locks", encoding="ascii") as file:
            for words in map(str.split, file):
                if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode and int(words[4]) > 0:
                    with open(f"/proc/{words[4]}/comm", encoding="utf-8", errors="replace") as name:
                        return f"process {words[4]} ({name.read().strip()})"
    return "another process"


@contextmanager
def locked(path, seconds=0):
    """Hold an exclusive lock on a file while the block runs, waiting for it at most so many seconds.

    Raises Locked, a BlockingIOError, when another process holds it for longer. The kernel drops the lock when its
    holder dies, so a killed run never leaves one behind.
    """
    make_folder(os.path.dirname(path))
    end = time.monotonic() + seconds
    while True:
        file = try_lock(path)
        if file is not None:
            break
        if time.monotonic() >= end:
            raise Locked(f"{path} is locked by {lock_holder(path)}.")
        time.sleep(0.2)
    with file:
        yield file


@contextmanager
def fail_when_locked(module):
    """End an Ansible module in one sentence when another process holds a lock for longer than the block waits."""
    try:
        yield
    except Locked as error:
        module.fail_json(msg=str(error), hint=error.hint, code="locked")


class Members:
    """Checks the members of one archive in their order, by their names alone, before any is written.

    A name or a link's target may not lead out of the folder, and no member may be reached through a link: so it does
    not matter what is there already, or comes later. Links between files of one build need no more than that.
    """

    def __init__(self):
        self._top, self._count = {}, 0  # of each name a dict for a folder, else what it is

    def check(self, member):
        """Raise ValueError for a member that would leave the folder, cannot be made or is not a plain thing."""
        words = words_of(member.name)
        if not words and member.isdir():
            return
        *above, name = words or [""]
        folder = self._folder(above, member)
        there = folder.get(name)
        if not name or there == _LINK:
            raise ValueError(_outside(member))
        if isinstance(there, dict) != member.isdir() and there is not None:
            raise ValueError(f"its member {member.name!r} is a folder and something else")
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
                raise ValueError(_outside(member))
            if folder == _FILE:
                raise ValueError(f"its member {member.name!r} is in a file instead of a folder")
        return folder

    def _counted(self, there):
        self._count += there is None
        if self._count > _MOST_NAMES:
            raise ValueError(f"it has more than {_MOST_NAMES} files and folders")

    def _kind(self, member, depth):
        """Return what a member is that is no folder."""
        if member.issym():
            _check_link(member, depth)
            return _LINK
        if member.islnk() and not self._is_file(member.linkname):
            raise ValueError(f"its hard link {member.name!r} points outside the folder it is unpacked to")
        if not (member.isfile() or member.islnk()):
            raise ValueError(f"its member {member.name!r} is a device or a pipe")
        return _FILE

    def _is_file(self, name):
        found = self._top
        for word in words_of(name):
            found = found.get(word) if isinstance(found, dict) else None
        return found == _FILE


_FILE, _LINK = "file", "link"
_MOST_NAMES = 200_000
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # NAME_MAX and PATH_MAX of Linux, limits.h


def words_of(name):
    """Return the words of a member's name; raise ValueError when it leads elsewhere, or no system has such names."""
    words = [word for word in name.split("/") if word not in ("", ".")]
    if name.startswith(("/", "~")) or ".." in words:
        raise ValueError(f"its member {name!r} would be written outside the folder it is unpacked to")
    _check_length(name, words)
    return words


def _check_length(name, words):
    longest = max((len(_encoded(word)) for word in words), default=0)
    if "\0" in name or len(_encoded(name)) > _LONGEST_PATH or longest > _LONGEST_NAME:
        raise ValueError(f"it has a name that no system has: {name[:60]!r}")


def _encoded(name):
    return name.encode("utf-8", "surrogateescape")


def _outside(member):
    return f"its member {member.name!r} would be written outside the folder it is unpacked to"


def _check_link(member, depth):
    # `..` behind the name of a folder could lead anywhere, should that folder be a link itself.
    words = [word for word in member.linkname.split("/") if word not in ("", ".")]
    plain = words[next((at for at, word in enumerate(words) if word != ".."), len(words)) :]
    above = len(words) - len(plain)
    if not member.linkname or member.linkname.startswith("/") or ".." in plain or above > depth:
        raise ValueError(f"its link {member.name!r} points outside the folder it is unpacked to")
    _check_length(member.linkname, words)


def extract_member(tar, member, folder):
    """Write a member that was checked, as the user who asks and with plain permissions.

    Whatever is there already, no link is followed on the way to it or in its place: each folder is opened in the one
    before.
    """
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
    """Return the descriptor of a folder in another one, made when it is missing, that is closed at the end."""
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

    with open(name, "xb", opener=open_new) as file:
        for block in tar.blocks():
            file.write(block)
        file.flush()
        set_mode(file.fileno(), 0o755 if member.mode & 0o100 else 0o644)
        os.utime(file.fileno(), (member.mtime, member.mtime))


def set_mode(descriptor, mode):
    """Set the permissions of an open file or folder, where its file system has any: a mounted Drive has not."""
    with suppress(OSError):
        os.fchmod(descriptor, mode)


_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


def _unpacked(archive):
    """Return a binary file with the tar archive in a file, which may be packed by gzip, bzip2 or xz."""
    with open(archive, "rb") as file:
        start = file.read(6)
    return next((opened for magic, opened in _PACKED if start.startswith(magic)), open)(archive, "rb")


def unpack(archive, folder):
    """Unpack a tar archive into an empty folder, as the user who asks and with plain permissions.

    Raises ValueError when the archive is not a whole tar archive or has a member that would leave the folder, or when
    the folder is not empty: a link that is there already could lead out of it.
    """
    if os.listdir(folder):
        raise ValueError(f"{archive} cannot be unpacked: {folder} is not empty")
    room = _Room(folder)
    try:
        with _unpacked(archive) as content:
            tar, members = TarReader(content), Members()
            for member in tar:
                members.check(member)
                room.take(member.size)
                extract_member(tar, member, folder)
    except (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error


class _Room:
    """What is free on a disk, so that what can never be held by it is not begun."""

    def __init__(self, folder):
        self._folder, usage = folder, shutil.disk_usage(folder)
        self._left = usage.free if usage.total else float("inf")  # some do not tell

    def take(self, size):
        """Raise OSError for more bytes than are free."""
        self._left -= size
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._folder)


@contextmanager
def staging(target):
    """Give a new folder beside `target`, deleted at the end unless it was renamed; older ones are deleted first.

    The caller holds a lock: a folder of that name that is already there was left by a run that was killed.
    """
    make_folder(os.path.dirname(target))
    drop_leftovers(target)
    folder = tempfile.mkdtemp(prefix=staged(target), dir=os.path.dirname(target))
    os.chmod(folder, 0o755)
    try:
        yield folder
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


def teller(path, unit):
    """Return a function that writes how far a long step is, such as (3, 401, "core/app.o"), to a file.

    It does nothing without a file, and counts in the unit given, ``steps`` or ``bytes``.
    """
    last = [0.0]

    def tell(number, total, what=""):
        # A build prints many steps at once when they are quick; four times a second is enough for a person.
        now = time.monotonic()
        if now - last[0] < 0.25 and number != total:
            return
        last[0] = now
        with suppress(OSError):  # whoever watched has gone; that is no reason to stop the work
            write_json(path, {"number": number, "total": total, "unit": unit, "what": what})

    return tell if path and os.path.isdir(os.path.dirname(path)) else lambda *_: None


CODES = {
    errno.ENOSPC: "disk-full", errno.EDQUOT: "disk-full", errno.EROFS: "read-only", errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted", None: "system-error",
}  # fmt: skip


def failure(error):
    """Return what a module says when it fails with an OSError, as the arguments of its ``fail_json``."""
    message, hint = explain(error)
    code = "locked" if isinstance(error, Locked) else CODES.get(error.errno, CODES[None])
    return {"msg": message, "hint": hint, "code": code}


def explain(error):
    """Return one sentence for an OSError and what to do about it, as (message, hint)."""
    path = error.filename or ""
    if isinstance(error, Locked):
        return str(error), error.hint
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{f' at {path}' if path else ''}.", "Free some space there and run it again."
    if error.errno in (errno.ELOOP, errno.EISDIR):
        return f"{path or 'A file'} is not a plain file.", "Move it out of the way and run it again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path or 'A folder'} may not be used by this user.", "Choose a folder of your own, or use sudo."
    return f"{error}.", ""
