"""The store of builds: one archive per build, that is whole or not there, and what each machine can run of them."""

# An archive <key>.tar.zst begins with its manifest; <key>.json has it again, with size and sha256, to be read quickly.
# Where the two differ the archive decides: what stands beside it may be lost, or older.

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import io
import json
import math
import os
import re
import stat
import tarfile
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, suppress

from ..cpu import LEVELS
from ..disk import free_bytes
from ..file_lock import locked
from ..files import drop_half_written, make_folder, set_mode, write_json
from ..versions import is_release, numbers, satisfies
from .members import Members, extract_member
from .tar import TarReader
from .trust import others_write, store_owner_problem
from .zstd import BLOCK, LEVEL, QUICK, NoZstdError, Reader, ZstdError, compressor

PACKER = "provision 0.1.0"
MANIFEST = "manifest.json"
SUFFIX = ".tar.zst"
BAD = ".bad"
NEW = ".new-"  # how the name of an archive begins that is being written
HOURS_NEW = 24  # after which another machine's packing is taken for given up
_MANIFEST_LIMIT = 1 << 20
_WORD_LIMIT = 1000  # of letters in one word of a manifest
_NAME_LIMIT = 200  # of a build's name, to which endings are added: a file's has at most 255
_UNPACKED_LIMIT = 1 << 36
_CREATED_LIMIT = 1 << 40
_DIGITS_LIMIT = 18
# tarfile moves what is left of a block whenever it has taken something from it, so that large ones cost time.
_TAR_BLOCK = 1 << 14
# What is wrong with one name of a store, and not with the store.
ITS_OWN = (
    errno.ENOENT, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENAMETOOLONG
)  # fmt: skip
# What archives are called, also once a browser or a mounted drive has kept two of one name apart.
_ARCHIVE = re.compile(r"[^.].*\.tar([ (_-].*)?\.zst", re.I)
# What is wrong with one member, and not with the folder it goes to.
_OF_THE_MEMBER = (errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENAMETOOLONG, errno.ENOTDIR)
# What a manifest must tell, and as what.
_FIELDS = {
    "tool": str,
    "version": str,
    "release": str,
    "arch": str,
    "cpu": str,
    "glibc": str,
    "asked": list,
    "commands": list,
    "complete": bool,
    "unpacked": int,
    "created": float,
}


class StoreError(Exception):
    """A store that cannot be used as asked; the message and the hint are for people."""

    code = "store"

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.message, self.hint = message, hint


class BadArchive(StoreError):
    """An archive that must not be used by anybody: broken, cut off or hostile."""

    code = "bad-archive"


class NoBuild(BadArchive):
    """A file that may be whole and is no build that can be used here; it is its owner's, and keeps its name."""


class NotTrusted(StoreError):
    """A store or an archive that somebody could change who has not the rights of this process."""

    code = "store-not-trusted"


class Unreadable(StoreError):
    """A store that cannot be read just now; nothing is known of the archive."""

    code = "store-unreadable"


# --- Names ------------------------------------------------------------------------------------------------------------


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


# --- Manifests --------------------------------------------------------------------------------------------------------


def check_manifest(manifest):
    """Return a manifest whose fields are there, of their types and within reason; raise NoBuild otherwise."""
    if not isinstance(manifest, dict):
        raise NoBuild("its manifest is not a JSON object")
    for name, value in manifest.items():
        if not (_is_word(name) and _is_plain(value)):
            raise NoBuild(f"its manifest has no right {name[:60]!a}")
    for name, kind in _FIELDS.items():
        value = manifest.get(name)
        right = isinstance(value, (int, float) if kind is float else kind)
        if not right or isinstance(value, bool) != (kind is bool):
            raise NoBuild(f"its manifest has no right {name!r}")
    if not 0 <= manifest["created"] <= _CREATED_LIMIT:
        raise NoBuild("its manifest has no right 'created'")
    if not 0 <= manifest["unpacked"] <= _UNPACKED_LIMIT:
        raise NoBuild("its manifest has no right 'unpacked'")
    for name in ("repo", "belongs_to"):
        if not isinstance(manifest.get(name) or "", str):
            raise NoBuild(f"its manifest has no right {name!r}")
    for name in ("asked", "commands", "cpu_flags"):
        if not isinstance(manifest.get(name, []), list):
            raise NoBuild(f"its manifest has no right {name!r}")
    if not isinstance(manifest.get("build_seconds", 0), (int, float)):
        raise NoBuild("its manifest has no right 'build_seconds'")
    if len(key_of(manifest)) > _NAME_LIMIT:
        raise NoBuild("its name would be too long")
    return manifest


def _is_word(value):
    """Tell whether a value is a text that can be written down, as one with half a letter cannot."""
    if not isinstance(value, str) or len(value) > _WORD_LIMIT:
        return False
    try:
        return bool(value.encode()) or not value
    except UnicodeEncodeError:
        return False


def _is_plain(value):
    """Tell whether a value is one that manifests have: a text, a number, yes or no, nothing, or a list of texts."""
    if isinstance(value, list):
        return all(map(_is_word, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (bool, int)) or _is_word(value)


def _integer(digits):
    if len(digits) > _DIGITS_LIMIT:
        raise ValueError("a number is too long")
    return int(digits)


def _parsed(text):
    """Return the manifest in a JSON text; raise NoBuild when it is none."""
    try:
        return check_manifest(json.loads(text, parse_int=_integer))
    except (ValueError, RecursionError) as error:
        raise NoBuild("its manifest is not JSON") from error


def _manifest_in(tar):
    """Return the manifest of an archive, its first member."""
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isfile() or member.size > _MANIFEST_LIMIT:
        raise NoBuild("it has no manifest at its beginning")
    return _parsed(tar.read(member.size))


def _noted(path):
    """Return what stands beside an archive, an empty dict when that is lost or makes no sense."""
    try:
        with open(beside(path), "rb", opener=_open_file) as file:
            manifest = _parsed(file.read(_MANIFEST_LIMIT))
    except (OSError, BadArchive):
        return {}
    is_sum = re.fullmatch("[0-9a-f]{64}", str(manifest.get("sha256")))
    return manifest if is_sum and type(manifest.get("size")) is int else {}


def _is_of(noted, manifest):
    """Tell whether notes are those of this very packing: two machines may pack at once, and a copy be renamed."""
    return noted != {} and (noted["created"], key_of(noted)) == (manifest["created"], key_of(manifest))


def _open_file(path, flags):
    """Open a file, and nothing that would keep one waiting: a pipe, or a device without an end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EISDIR, "Is not a file", path)
    return descriptor


def manifest_of(path):
    """Return an archive's manifest: from beside it if that is of its name and size, else from within it."""
    noted = _noted(path)
    if noted and key_of(noted) == os.path.basename(path)[: -len(SUFFIX)] and noted["size"] == _size(path):
        return noted
    with _members(path) as (content, tar):
        manifest, size = _manifest_in(tar), content.file.size
    if _is_of(noted, manifest) and noted["size"] != size:
        raise BadArchive(f"it has {size} bytes, not {noted['size']}")
    return dict(manifest, size=size)


def _size(path):
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise _unreadable(path, error) from error


# --- What runs where --------------------------------------------------------------------------------------------------


def why_not_here(manifest, machine):
    """Return in words why a build cannot run on a machine, an empty string when it can."""
    if manifest["arch"] != machine["arch"]:
        return f"it is for {manifest['arch']}, and this is {machine['arch']}"
    if numbers(manifest["glibc"]) > numbers(machine["glibc"]):
        return f"it needs glibc {manifest['glibc']}, and here is {machine['glibc'] or 'another C library'}"
    if manifest["cpu"] == "native":
        if not manifest.get("cpu_flags"):
            return "it does not say which processor it is for"
        lacking = sorted(set(manifest["cpu_flags"]) - set(machine["flags"]))
        return f"this processor lacks {', '.join(lacking[:3])}" if lacking else ""
    if _level(manifest["cpu"]) > _level(machine["cpu"]):
        return f"it is for {manifest['cpu']}, and this processor is {machine['cpu']}"
    return ""


def _level(cpu):
    return LEVELS.index(cpu) if cpu in LEVELS else -1


def why_not_wanted(manifest, wanted):
    """Return in words why a build is not the one wanted, an empty string when it is."""
    # A release is the same wherever it was cloned from: `repo` counts for anything else.
    if manifest["tool"] != wanted["tool"]:
        return f"it is {manifest['tool']}"
    if not satisfies(manifest["version"], wanted["version"]):
        return f"it is version {manifest['version']}"
    if not is_release(manifest["version"]) and wanted["version"] != "any" and manifest.get("repo") != wanted["repo"]:
        return f"it was built from {manifest.get('repo') or 'another repository'}"
    if wanted.get("belongs_to") not in (None, "", manifest.get("belongs_to")):
        return f"it belongs to {manifest.get('belongs_to') or 'nothing'}"
    if wanted["cpu"] not in ("", manifest["cpu"]):
        return f"it was compiled for {manifest['cpu'] or 'no processor in particular'}"
    lacking = sorted(set(wanted["commands"]) - set(manifest["commands"]))
    if not manifest["complete"] and (lacking or not wanted["commands"]):
        return f"it lacks {', '.join(lacking[:3])}" if lacking else "it has some of the commands only"
    return ""


def _preference(manifest):
    """Return what archives are sorted by, the best last: version, processor, whole ones, the newest."""
    version = manifest["version"]
    release = numbers(version) if is_release(version) else ()
    return release, _level(manifest["cpu"]), manifest["complete"], manifest["created"]


def candidates(store, wanted, machine, passed_over):
    """Give (path, manifest) of the archives that fit, the best first, and note for the others why they do not."""
    # First the archive that this machine would have packed, by its name: on Drive, listing costs 0.1 s for each.
    check_owner(store)
    tried = set()
    if wanted["version"] != "any":
        for complete in (True, False)[: 2 if wanted["commands"] else 1]:
            manifest = {
                **wanted,
                "release": machine["release"],
                "arch": machine["arch"],
                "asked": wanted["commands"],
                "cpu": wanted["cpu"] or machine["own_cpu"],
                "complete": complete,
                "cpu_flags": machine["flags"],
            }
            path = archive_path(store, key_of(manifest))
            if path not in tried and _is_there(path):
                yield from _fitting([path], wanted, machine, passed_over)
            tried.add(path)
    yield from _fitting([path for path in archives(store) if path not in tried], wanted, machine, passed_over)


def _fitting(paths, wanted, machine, passed_over):
    found = []
    for path in paths:
        try:
            manifest = manifest_of(path)
        except BadArchive as error:
            passed_over.append({"archive": path, "why": error.message, "bad": is_broken(error)})
            continue
        except Unreadable as error:
            # One name that is a folder, somebody else's, or gone since the listing hides none of the others.
            if getattr(error.__cause__, "errno", 0) not in ITS_OWN:
                raise
            passed_over.append({"archive": path, "why": error.message})
            continue
        why = why_not_wanted(manifest, wanted) or why_not_here(manifest, machine)
        if why:
            passed_over.append({"archive": path, "why": why})
        else:
            found.append((path, manifest))
    yield from sorted(found, key=lambda item: _preference(item[1]), reverse=True)


def _is_there(path):
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in ITS_OWN:
            return False
        raise _unreadable(path, error) from error
    return True


def archives(store):
    """Return the paths of the archives in a store, sorted; none when it does not exist. Raises Unreadable."""
    try:
        names = sorted(os.listdir(store))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(os.path.join(store, ""), error) from error
    return [os.path.join(store, name) for name in names if _ARCHIVE.fullmatch(name)]


# --- Reading ----------------------------------------------------------------------------------------------------------


def _unreadable(path, error):
    words = "is no longer mounted" if error.errno == errno.ENOTCONN else f"cannot be read: {error.strerror or error}"
    return Unreadable(f"The store {os.path.dirname(path) or path} {words}.", "Mount it again, or name another store.")


class _Source:
    """An archive's bytes on their way: counted, summed up, and with their read errors told from all others."""

    def __init__(self, path, tell=None, trusted=True):
        self.path, self._tell = path, tell
        try:
            self._file = open(path, "rb", buffering=0, opener=_open_file)  # noqa: SIM115 (closed by close)
            found = os.fstat(self._file.fileno())
        except OSError as error:
            raise _unreadable(path, error) from error
        self.size = found.st_size
        problem = "" if trusted else others_write(found)
        if problem:
            self.close()
            raise NotTrusted(f"The archive {path} {problem}.", _TRUST_IT)
        self._sum, self._done = hashlib.sha256(), 0

    def read(self, size):
        try:
            data = self._file.read(size)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        self._sum.update(data)
        self._done += len(data)
        if self._tell:
            self._tell(self._done, self.size)
        return data

    def sha256(self):
        while self.read(BLOCK):
            pass
        return self._sum.hexdigest()

    def close(self):
        self._file.close()


_TRUST_IT = "Name a store of your own, take it by its SHA-256 (provision store import), or give it to root (chown)."


def check_owner(store):
    """Raise NotTrusted for a store in which somebody without this process's rights decides what it runs."""
    problem = store_owner_problem(store)
    if problem:
        raise NotTrusted(f"{problem}.", _TRUST_IT)


@contextmanager
def _members(path, tell=None, trusted=True):
    """Give (the content, the tar archive in it); errors of its content become BadArchive."""
    source = _Source(path, tell, trusted)
    try:
        content = Reader(source)
        yield content, TarReader(content)
    except NoZstdError as error:
        raise Unreadable(f"{error}.", "Install it: pip install zstandard.") from error
    except (tarfile.TarError, OverflowError, ValueError) as error:  # ZstdError is a ValueError
        raise BadArchive(f"it is broken: {error}") from error
    finally:
        source.close()


@contextmanager
def stream_of(path):
    """Give the tar archive in a file, to be read from its beginning to its end; what is read so goes into programs."""
    with _members(path, trusted=False) as (content, tar):
        yield tar
        content.finish()


def read_archive(path, keep=None, accept=None, tell=None, sha256=""):
    """Read an archive to its end, as all who trust it must, into an empty folder if given; return its manifest."""
    # `accept` raises what speaks against a manifest. With a sha256 given, it does not matter whose file it is.
    noted = _noted(path)
    if keep and os.listdir(keep):
        raise StoreError(f"{keep} is not empty.", "Unpack into a new folder.")
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
        raise NoBuild(f"its SHA-256 is {found['sha256']}, not {sha256}")
    if _is_of(noted, manifest) and found["sha256"] != noted["sha256"]:
        raise BadArchive(f"its SHA-256 is {found['sha256']}, not the {noted['sha256']} that was noted beside it")
    if keep:
        write_json(os.path.join(keep, MANIFEST), manifest)
    return found


def _take_members(tar, manifest, folder):
    size, members = 0, Members()
    for member in tar:
        try:
            members.check(member)
        except ValueError as error:
            raise BadArchive(str(error)) from error
        if os.path.normpath(member.name) == MANIFEST:
            raise BadArchive("it has two manifests")
        size += member.size
        if size > manifest["unpacked"]:
            raise BadArchive("it holds more than its manifest says")
        if folder:
            _extract(tar, member, folder)
    if size != manifest["unpacked"]:
        raise BadArchive("it holds less than its manifest says")


def _extract(tar, member, folder):
    try:
        extract_member(tar, member, folder)
    except OSError as error:
        if error.errno not in _OF_THE_MEMBER:
            raise
        raise BadArchive(f"its member {member.name!r} cannot be: {error.strerror}") from error


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


def is_broken(error):
    """Tell whether an error says that an archive is of no use to anybody, and may be set aside."""
    return isinstance(error, BadArchive) and not isinstance(error, NoBuild)


# --- Writing ----------------------------------------------------------------------------------------------------------


def _writing(store, error):
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"The store {store} is full.", "Free some space there: provision store prune --keep 2.")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreError(f"The store {store} cannot be written to.", "Name another store.")
    if error.errno == errno.ENOTCONN:
        return StoreError(f"The store {store} is no longer mounted.", "Mount it again.")
    return StoreError(f"The store {store} cannot be written to: {error.strerror or error}.", "Name another store.")


class _Sink:
    """A compressed stream to a file, counted and summed up."""

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
        """Write what is left and bring all of it to the disk."""
        self._put(self._frame.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.sha256 = self._sum.hexdigest()


@contextmanager
def _written(path, level, form):
    """Give (a tar archive to add to, the sink with its size and sha256 at the end) and write it to a file."""
    with open(path, "wb", opener=_open_own) as file:
        sink = _Sink(file, level)
        with tarfile.open(fileobj=sink, mode="w|", format=form, bufsize=_TAR_BLOCK) as tar:
            tar.copybufsize = _TAR_BLOCK
            yield tar, sink
        sink.finish()


def _open_own(path, flags):
    """Open a file that this process has made, and no other that a link of its name leads to."""
    return os.open(path, flags & ~os.O_CREAT | os.O_NOFOLLOW)


@contextmanager
def written_whole(path):
    """Give a tar archive to add to, quick to compress, that has its name only once it was read back."""
    try:
        with _unfinished(os.path.dirname(path)) as new:
            with _written(new, QUICK, tarfile.PAX_FORMAT) as (tar, sink):
                yield tar
            with closing(_Source(new)) as source:
                if source.sha256() != sink.sha256:
                    raise StoreError(f"The store {os.path.dirname(path)} does not give back what was written.")
            _rename(new, path)
    except ZstdError as error:
        raise StoreError(f"{error}.", "Install it: pip install zstandard.") from error
    except OSError as error:
        raise _writing(os.path.dirname(path), error) from error


@contextmanager
def _unfinished(store):
    """Give the path of a new file in a store under a name that nobody reads, gone at the end unless renamed."""
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
    """Return how the names begin that this machine writes to, until it is started anew."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{NEW}{file.read(8)}-"
    except OSError:
        return f"{NEW}unknown-{os.uname().nodename}-"


def _is_nobodys(handle):
    """Take the lock that a packer holds as long as it lives; tell whether nobody had it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        return False
    return True


def drop_unfinished(store, hours=HOURS_NEW):
    """Delete what packers that were killed have left, on other machines for so many hours; return the paths."""
    # The locks of another machine are not to be seen on a mounted Drive, so only its file's age tells of it.
    dropped, here = [], os.path.join(store, _new_here())
    for path in glob.glob(os.path.join(glob.escape(store), NEW + "*")):
        with suppress(OSError):
            if time.time() - os.path.getmtime(path) > hours * 3600 or (path.startswith(here) and _is_left(path)):
                os.unlink(path)
                dropped.append(path)
    return dropped


def _is_left(path):
    with open(path, "rb", opener=_open_file) as file:
        return _is_nobodys(file.fileno())


@contextmanager
def _store_locked(store):
    """Keep two packers of one machine apart, where the store's file system has locks."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(os.path.join(store, ".lock"), seconds=300))
        except OSError as error:
            # No locks there, or the lock of another user.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM):
                raise
        yield


def _check_written(unfinished, store, manifest):
    """Read an archive back, and raise StoreError unless what was written is what is there."""
    try:
        found = read_archive(unfinished)
    except BadArchive as error:
        raise StoreError(f"The store {store} does not give back what was written: {error.message}.") from error
    if (found["size"], found["sha256"]) != (manifest["size"], manifest["sha256"]):
        raise StoreError(f"The store {store} does not give back what was written: its SHA-256 is another.")


def _publish(unfinished, store, manifest):
    """Give an archive that was read back its name, and return its path."""
    path = archive_path(store, key_of(manifest))
    # Between the two renames the archive stands alone, which is enough; beside another's notes it would seem broken.
    with suppress(FileNotFoundError):
        os.unlink(beside(path))
    _rename(unfinished, path)
    with suppress(OSError):  # what is noted beside it is in it too
        drop_half_written(beside(path))
        write_json(beside(path), manifest)
    return path


def _rename(unfinished, path):
    """Give a file its name, and let all read it who may look into the store."""
    with open(unfinished, "rb", opener=_open_own) as file:
        set_mode(file.fileno(), 0o644)
    os.replace(unfinished, path)


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
        raise StoreError(f"Another run has been packing into the store {store} for five minutes.") from error
    except ZstdError as error:
        raise StoreError(f"{error}.", "Install it: pip install zstandard.") from error
    except OSError as error:
        if str(error.filename or "").startswith(os.path.join(prefix, "")):
            raise StoreError(f"{error.filename} cannot be packed: {error.strerror}.") from error
        raise _writing(store, error) from error


def _listed(prefix):
    """Return an installation's members, in one order on all file systems; StoreError for a link that leads out."""
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
            except ValueError as error:
                raise StoreError(f"{prefix} cannot be packed: {error}.") from error
            members.append(member)
    return members


def _write_members(tar, prefix, members, manifest, tell):
    """Add the manifest, then the members, all of one time."""
    # MRtrix3's build compares times to see what has to be compiled again; equal ones are up to date.
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
    """Copy an archive from elsewhere into a store under the name that its manifest gives; return its manifest."""
    if not os.path.isfile(source):
        raise StoreError(f"There is no archive {source}.", "Give the path of a file that ends in .tar.zst.")
    try:
        with _unfinished(store) as path:
            with closing(_Source(source, trusted=bool(sha256))) as file, open(path, "wb", opener=_open_own) as copy:
                for block in iter(lambda: file.read(BLOCK), b""):
                    copy.write(block)
                copy.flush()
                os.fsync(copy.fileno())
            found = read_archive(path, sha256=sha256)
            with _store_locked(store):
                return dict(found, archive=_publish(path, store, found))
    except OSError as error:
        raise _writing(store, error) from error
