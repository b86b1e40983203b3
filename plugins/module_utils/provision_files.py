"""Files that are whole or not there: writing, exchanging and unpacking, in the standard library alone."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import posixpath
import shutil
import stat
import tarfile
import tempfile
import time
from contextlib import contextmanager, suppress

from .provision_checks import RECEIPT, leftovers, staged

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
        with suppress(OSError):  # a mounted Drive has no permissions
            os.chmod(name, mode)
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
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        file.close()
        raise
    file.close()
    return None


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
        self._links, self._files, self._folders = set(), set(), {"."}

    def check(self, member):
        """Raise ValueError for a member that would leave the folder or is not a plain thing."""
        name = posixpath.normpath(member.name)
        if not self._stays(member.name) or name in self._links:
            raise ValueError(f"its member {member.name!r} would be written outside the folder it is unpacked to")
        if member.issym():
            self._check_link(member, name)
        elif member.islnk() and posixpath.normpath(member.linkname) not in self._files:
            raise ValueError(f"its hard link {member.name!r} points outside the folder it is unpacked to")
        elif member.isfile():
            self._files.add(name)
        elif not (member.isdir() or member.islnk()):
            raise ValueError(f"its member {member.name!r} is a device or a pipe")
        self._folders.update(_parents_of(name), [name] if member.isdir() else [])

    def _stays(self, name):
        """Tell whether a name lies in the folder and is not reached through a link."""
        if name.startswith(("/", "~")) or ".." in name.split("/"):
            return False
        return self._links.isdisjoint(_parents_of(posixpath.normpath(name)))

    def _check_link(self, member, name):
        # `..` behind the name of a folder could lead anywhere, should that folder be a link itself.
        words = [word for word in member.linkname.split("/") if word not in ("", ".")]
        plain = words[next((at for at, word in enumerate(words) if word != ".."), len(words)) :]
        above = len(words) - len(plain)
        if member.linkname.startswith("/") or ".." in plain or above > name.count("/") or name in self._folders:
            raise ValueError(f"its link {member.name!r} points outside the folder it is unpacked to")
        self._links.add(name)


def _parents_of(name):
    """Return the folders above a name, such as ``a`` and ``a/b`` for ``a/b/c``."""
    words = name.split("/")[:-1]
    return ["/".join(words[: count + 1]) for count in range(len(words))]


def extract_member(tar, member, folder):
    """Write a member that was checked, as the user who asks and with plain permissions."""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    tar.extract(member, folder, set_attrs=not member.issym(), **_plain_filter())


def unpack(archive, folder):
    """Unpack a tar archive into an empty folder, as the user who asks and with plain permissions.

    Raises ValueError when the archive is not a whole tar archive or has a member that would leave the folder, or when
    the folder is not empty: a link that is there already could lead out of it.
    """
    if os.listdir(folder):
        raise ValueError(f"{archive} cannot be unpacked: {folder} is not empty")
    try:
        with tarfile.open(archive) as tar:
            members = Members()
            for member in tar:
                members.check(member)
                extract_member(tar, member, folder)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error


def _plain_filter():
    # Named from 3.12 on, where leaving it out is deprecated. The members were checked by `Members`, on every Python
    # alike; to ask the file system once more whether each stays in the folder takes a tenth of the time of unpacking.
    return {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}


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
