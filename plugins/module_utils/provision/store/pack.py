"""Packing builds into a store, completely or not at all."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import stat
import tarfile
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, suppress

from ..alive import boot_id
from ..failures import CODES
from ..file_lock import locked
from ..files import make_folder, set_mode, write_json
from .errors import BadArchive, StoreError
from .manifest import MANIFEST, check_manifest
from .members import Members, UnsafeError
from .names import NEW, archive_path, beside, key_of
from .read import Source, open_file, read_archive
from .trust import check_owner
from .zstd import BLOCK, LEVEL, QUICK, ZstdError, compressor

PACKER = "provision 0.1.0"
HOURS_NEW = 24  # after which another machine's unfinished archive is considered abandoned
# tarfile moves the rest of a block whenever it has taken something from it, so large blocks cost time.
_TAR_BLOCK = 1 << 14


def pack(prefix, store, manifest, tell=None):
    """Pack an installation into a store; return its manifest, with ``archive`` (its path), ``size`` and ``sha256``."""
    members = _listed(prefix)
    manifest = dict(
        manifest, unpacked=sum(member.size for member in members), packer=PACKER, created=round(time.time(), 1)
    )
    check_manifest(manifest)
    try:
        check_owner(store)
        make_folder(store)
        with _store_locked(store), _unfinished(store) as path:
            with _written(path, LEVEL, tarfile.GNU_FORMAT) as (tar, sink):
                _write_members(tar, prefix, members, manifest, tell)
            manifest.update(size=sink.size, sha256=sink.sha256)
            _check_written(path, store, manifest)
            return dict(manifest, archive=_publish(path, store, manifest))
    except BlockingIOError as error:
        problem = f"Another run has been saving a build in the store {store} for more than five minutes."
        raise StoreError(problem, code="locked") from error
    except ZstdError as error:
        raise StoreError(f"{error}.", "Install it: pip install zstandard.", code="no-zstd") from error
    except OSError as error:
        if str(error.filename or "").startswith(os.path.join(prefix, "")):
            problem = f"{error.filename} cannot be packed: {error.strerror}."
            raise StoreError(problem, code=CODES.get(error.errno, "")) from error
        raise _writing(store, error) from error


def _listed(prefix):
    """Return an installation's members, in the same order everywhere; StoreError for a link that leads outside."""
    members, checked = [], Members()
    for folder, folders, names in os.walk(prefix):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*names, *links]):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, prefix)
            if relative == MANIFEST or relative.startswith(".provision"):
                continue
            member = tarfile.TarInfo(relative)
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
            elif stat.S_ISREG(found.st_mode):
                member.size = found.st_size
                member.mode = 0o755 if found.st_mode & 0o100 else 0o644
            else:
                member.type = tarfile.FIFOTYPE
            try:
                checked.check(member)
            except UnsafeError as error:
                raise StoreError(f"{prefix} cannot be packed: {error}.", code=error.code) from error
            members.append(member)
    return members


def _write_members(tar, prefix, members, manifest, tell):
    """Add the manifest, then the members, all with the same time."""
    # MRtrix3's build compares times to decide what to compile; equal times are up to date.
    text = json.dumps(manifest, indent=1, sort_keys=True).encode()
    first = tarfile.TarInfo(MANIFEST)
    first.size = len(text)
    done = 0
    for member in (first, *members):
        member.mtime = int(manifest["created"])
        if member is first:
            tar.addfile(member, io.BytesIO(text))
        elif member.issym():
            tar.addfile(member)
        else:
            with open(os.path.join(prefix, member.name), "rb") as file:
                tar.addfile(member, file)
            done += member.size
            if tell:
                tell(done, manifest["unpacked"])


def adopt(source, store, sha256=""):
    """Copy an archive into a store under the name from its manifest; return the manifest."""
    if not os.path.isfile(source):
        hint = "Give the path of a file that ends in .tar.zst."
        raise StoreError(f"There is no archive {source}.", hint, code="no-file")
    try:
        with _unfinished(store) as path:
            with closing(Source(source, trusted=bool(sha256))) as file, open(path, "wb", opener=_open_own) as copy:
                for block in iter(lambda: file.read(BLOCK), b""):
                    copy.write(block)
                copy.flush()
                os.fsync(copy.fileno())
            found = read_archive(path, sha256=sha256)
            with _store_locked(store):
                return dict(found, archive=_publish(path, store, found))
    except OSError as error:
        raise _writing(store, error) from error


@contextmanager
def written_whole(path):
    """Yield a tar archive to add to, with fast compression, which gets its name after it has been read back."""
    try:
        with _unfinished(os.path.dirname(path)) as new:
            with _written(new, QUICK, tarfile.PAX_FORMAT) as (tar, sink):
                yield tar
            with closing(Source(new)) as source:
                if source.sha256() != sink.sha256:
                    problem = f"The store {os.path.dirname(path)} does not give back what was written."
                    raise StoreError(problem, code="bad-store")
            _rename(new, path)
    except ZstdError as error:
        raise StoreError(f"{error}.", "Install it: pip install zstandard.", code="no-zstd") from error
    except OSError as error:
        raise _writing(os.path.dirname(path), error) from error


@contextmanager
def _unfinished(store):
    """Yield the path of a new file in a store under a temporary name, deleted at the end unless renamed."""
    check_owner(store)
    make_folder(store)
    drop_unfinished(store)
    handle, path = tempfile.mkstemp(prefix=_new_here(), dir=store)
    try:
        _is_nobodys(handle)
        yield path
    finally:
        os.close(handle)
        with suppress(OSError):
            os.unlink(path)


def _new_here():
    """Return the prefix of this machine's unfinished archives, until it is rebooted."""
    return f"{NEW}{boot_id()[:8] or f'unknown-{os.uname().nodename}'}-"


def _is_nobodys(handle):
    """Take the lock that a packer holds while it lives; return whether it was free."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is held, or the file system has no locks
        return False
    return True


def drop_unfinished(store):
    """Delete the files of killed packers, those of other machines after `HOURS_NEW`; return the paths."""
    # A mounted Drive does not show the locks of other machines, so only a file's age counts.
    dropped, here = [], os.path.join(store, _new_here())
    for path in glob.glob(os.path.join(glob.escape(store), NEW + "*")):
        with suppress(OSError):
            if time.time() - os.path.getmtime(path) > HOURS_NEW * 3600 or (path.startswith(here) and _is_left(path)):
                os.unlink(path)
                dropped.append(path)
    return dropped


def _is_left(path):
    with open(path, "rb", opener=open_file) as file:
        return _is_nobodys(file.fileno())


@contextmanager
def _store_locked(store):
    """Let one packer of a machine work at a time, if the store's file system has locks."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(os.path.join(store, ".lock"), seconds=300))
        except OSError as error:
            # No locks there, or another user's lock file.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM):
                raise
        yield


def _check_written(unfinished, store, manifest):
    """Read an archive back, and raise StoreError unless it is what was written."""
    try:
        found = read_archive(unfinished)
    except BadArchive as error:
        problem = f"The store {store} does not give back what was written: {error.message}."
        raise StoreError(problem, code="bad-store") from error
    if (found["size"], found["sha256"]) != (manifest["size"], manifest["sha256"]):
        problem = f"The store {store} does not give back what was written: its SHA-256 differs."
        raise StoreError(problem, code="bad-store")


def _publish(unfinished, store, manifest):
    """Give a checked archive its final name, and return its path."""
    path = archive_path(store, key_of(manifest))
    # For a moment the archive is alone, which is valid; beside another's .json file it would look broken.
    with suppress(FileNotFoundError):
        os.unlink(beside(path))
    _rename(unfinished, path)
    with suppress(OSError):  # the archive has the manifest, too
        write_json(beside(path), manifest, alone=True)
    return path


class _Sink:
    """A compressed stream to a file, with its size and SHA-256."""

    def __init__(self, file, level):
        self._file, self._frame, self._sum, self.size = file, compressor(level), hashlib.sha256(), 0
        self.sha256 = ""

    def write(self, data):
        self._put(self._frame.compress(data))
        return len(data)

    def _put(self, data):
        self._sum.update(data)
        self.size += len(data)
        self._file.write(data)

    def finish(self):
        """Write the rest, and flush it all to the disk."""
        self._put(self._frame.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.sha256 = self._sum.hexdigest()


@contextmanager
def _written(path, level, form):
    """Yield (a tar archive to add to, the sink with its final size and sha256), written to a file."""
    with open(path, "wb", opener=_open_own) as file:
        sink = _Sink(file, level)
        with tarfile.open(fileobj=sink, mode="w|", format=form, bufsize=_TAR_BLOCK) as tar:
            tar.copybufsize = _TAR_BLOCK
            yield tar, sink
        sink.finish()


def _open_own(path, flags):
    """Open a file that this process has made, without following a link of its name."""
    return os.open(path, flags & ~os.O_CREAT | os.O_NOFOLLOW)


def _rename(unfinished, path):
    """Give a file its final name, and make it readable for everyone who can enter the store."""
    with open(unfinished, "rb", opener=_open_own) as file:
        set_mode(file.fileno(), 0o644)
    os.replace(unfinished, path)


def _writing(store, error):
    code = CODES.get(error.errno, "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"The store {store} is full.", "Free some space there: provision store prune --keep 2.", code)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreError(f"The store {store} cannot be written to.", "Choose another store.", code)
    if error.errno == errno.ENOTCONN:
        return StoreError(f"The store {store} is no longer mounted.", "Mount it again.", code="not-mounted")
    return StoreError(f"The store {store} cannot be written to: {error.strerror or error}.", "Choose another store.")
