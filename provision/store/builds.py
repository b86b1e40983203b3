"""The store of builds: what is in it, whether it is whole, what may go, and how a build comes to somebody else."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from provision.engine import lock
from provision.engine.events import Step
from provision.errors import OptionError, ProvisionError
from provision.machine import cpu, failures, places, system
from provision.machine import download as _downloads
from provision.machine import files as _files
from provision.machine.store import names as _names
from provision.machine.store.choose import why_not_here
from provision.machine.store.errors import ITS_OWN, BadArchive, StoreError
from provision.machine.store.names import BAD, NEW, SUFFIX, key_of
from provision.machine.store.pack import adopt, drop_unfinished
from provision.machine.store.read import manifest_of, read_archive
from provision.machine.store.trust import check_owner
from provision.paths import absolute
from provision.store.listing import Build, Checked, Exported, Leftover, Listing, Pruned
from provision.words import did_you_mean

DAYS_UNFINISHED = 7
"""After so many days nobody is taken to go on with an unfinished build."""

_BLOCK = 1 << 18
_UNFINISHED = "unfinished"
# What the roles write into the folder of an unfinished build; whatever else is there is somebody else's.
_PIECES = ("[0-9][0-9][0-9][0-9].tar.zst", NEW + "*")

Tell = Callable[[Step], Any]
Work = Callable[[int, int], Any]


def folder(store: str | os.PathLike | None = None) -> Path:
    """Return the folder that is meant by a store.

    Parameters
    ----------
    store : path-like, optional
        A folder. Without one it is ``provision`` on Google Drive where that is mounted, else ``~/.cache/provision``.

    Returns
    -------
    pathlib.Path
        An absolute path; nothing needs to be there.

    Raises
    ------
    OptionError
        When it is a file.

    Examples
    --------
    >>> folder("/mnt/builds")
    PosixPath('/mnt/builds')
    """
    place = absolute(places.default_store() if store is None else store)
    # What keeps a folder from being looked at is told by whoever reads it, in the words that suit.
    with suppress(OSError):
        if not stat.S_ISDIR(place.stat().st_mode):
            raise OptionError(
                f"The store {place} is a file.", hint="Name the folder that the builds are in.", code="store"
            )
    return place


def ls(store: str | os.PathLike | None = None) -> Listing:
    """Tell which builds a store has, and which of them this machine can run.

    Parameters
    ----------
    store : path-like, optional
        As for :func:`folder`.

    Returns
    -------
    Listing
        A sequence of :class:`provision.store.listing.Build`, shown as a table; empty when there is no such folder.

    Raises
    ------
    OptionError
        When the store is a file.
    ProvisionError
        When it cannot be read.

    Examples
    --------
    >>> ls("/mnt/builds")
    There are no builds in /mnt/builds.
    """
    place, machine = folder(store), _machine()
    with _plainly():
        found = tuple(_build(Path(path), machine) for path in _names.archives(str(place)))
        return Listing(place, found, tuple(_set_aside(place)), tuple(_unfinished(place)))


def verify(store: str | os.PathLike | None = None, progress: Tell | None = None) -> Checked:
    """Read all archives of a store from beginning to end, as everybody who takes one does, and change nothing.

    Parameters
    ----------
    store : path-like, optional
        As for :func:`folder`.
    progress : callable, optional
        Called with each :class:`provision.engine.events.Step`; without it, progress is shown on standard error.

    Returns
    -------
    Checked
        A :class:`provision.store.listing.Listing` with ``ok``; the ``problem`` of each build says what is
        wrong with it.

    Raises
    ------
    OptionError
        When the store is a file.
    ProvisionError
        When it cannot be read.

    Examples
    --------
    >>> verify("/mnt/builds").ok
    True
    """
    found = ls(store)
    with _shown(progress) as tell:
        checked = tuple(_read_through(build, tell) for build in found)
    return Checked(found.folder, checked, found.set_aside, found.unfinished)


def prune(keep: int, store: str | os.PathLike | None = None, wait: float = lock.SECONDS) -> Pruned:
    """Delete from a store all but the newest builds of each tool, and what is of no use to anybody.

    That is what was set aside as bad, what packers left that were killed, and unfinished builds that were not touched
    for a week. An archive that nobody can use is left alone, for it may be somebody else's.

    Parameters
    ----------
    keep : int
        How many builds of each tool stay; 0 deletes all.
    store : path-like, optional
        As for :func:`folder`.
    wait : float
        How many seconds to wait while another run of yours changes this machine; 0 to not wait.

    Returns
    -------
    Pruned
        What was deleted, and how many bytes that has freed.

    Raises
    ------
    OptionError
        When the number is none, or the store is a file.
    ProvisionError
        When the store cannot be read or written to.

    Examples
    --------
    >>> prune(2, "/mnt/builds").freed
    0
    """
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
        raise OptionError(
            f"{keep!r} is no number of builds to keep.",
            hint="Give a whole number, such as 2; 0 keeps none.",
            code="bad-value",
        )
    place, too_old = folder(store), time.time() - DAYS_UNFINISHED * 86_400
    freed: dict[Path, int] = {}
    with lock.held("provision store prune", wait), _plainly():
        found = ls(place)
        for build in _beyond(found, keep):
            # An archive alone is still a build; what stands beside one is nothing without it.
            freed[build.path] = _deleted(_beside(build.path)) + _deleted(build.path)
        for left in found.set_aside:
            beside = _beside(left.path.with_suffix(""))
            freed[left.path] = _deleted(beside.with_name(beside.name + BAD)) + _deleted(left.path)
        for left in found.unfinished:
            if left.touched < too_old:
                freed[left.path] = _deleted_build(left.path)
        freed.update(_dropped(place))
    return Pruned(place, tuple(freed), sum(freed.values()), tuple(build for build in found if build.problem))


def export(
    key: str, dest: str | os.PathLike, store: str | os.PathLike | None = None, progress: Tell | None = None
) -> Exported:
    """Copy a build out of a store, whole or not at all, for somebody else to take.

    Parameters
    ----------
    key : str
        The build's name, or the beginning of it where that is no other's.
    dest : path-like
        A folder that exists, which gets the archive and its manifest and so is a store itself; or a file whose name
        ends in ``.tar.zst``, which must not exist, unless it is the same.
    store : path-like, optional
        As for :func:`folder`.
    progress : callable, optional
        As for :func:`verify`.

    Returns
    -------
    Exported
        The copy, its size and SHA-256, and the lines with which somebody else takes it.

    Raises
    ------
    OptionError
        When there is no such build or folder, or another file is there already.
    ProvisionError
        When the archive is broken, or the copy cannot be written.

    Examples
    --------
    >>> export("mrtrix3-3.0.8", "/mnt/usb").sha256  # doctest: +SKIP
    '0d4f...'
    """
    build, into = _named(key, ls(store)), absolute(dest)
    with _plainly(f"The build {build.key}"):
        # Under its own name, whatever a browser has made of that.
        target = _target(key_of(manifest_of(str(build.path))), into)
    with _plainly(f"The build {build.key}"), _shown(progress) as tell:
        with _task(tell, f"Verify {build.key}") as work:
            manifest = read_archive(str(build.path), tell=work)
        with _task(tell, f"Copy {build.key}") as work:
            _copy(build.path, target, manifest["sha256"], work)
        if into.is_dir():
            _files.write_json(str(_beside(target)), manifest)
    return Exported(target, manifest["size"], manifest["sha256"], manifest["tool"], manifest["version"])


def import_(
    source: str | os.PathLike,
    sha256: str,
    store: str | os.PathLike | None = None,
    progress: Tell | None = None,
    wait: float = lock.SECONDS,
) -> Build:
    """Take a build from elsewhere into a store, under the name that its manifest gives.

    Parameters
    ----------
    source : path-like or str
        An archive that was exported from a store: its path, or a URL of http, https or file.
    sha256 : str
        What :func:`export` told of it.
    store : path-like, optional
        As for :func:`folder`; made when it is missing. A build of the same name in it is replaced.
    progress : callable, optional
        As for :func:`verify`.
    wait : float
        As for :func:`prune`.

    Returns
    -------
    Build
        The build, with ``runs_here`` and ``why_not``.

    Raises
    ------
    OptionError
        When there is no such file, the URL is of another kind, or the SHA-256 is none.
    ProvisionError
        When it cannot be downloaded, is broken or another than it should be, or the store cannot be written to. There
        is nothing of it in the store then.

    Examples
    --------
    >>> import_("https://example.org/build.tar.zst", "0d4f...")  # doctest: +SKIP
    """
    source, wanted, place = os.fspath(source), _checked_sum(sha256), folder(store)
    lock.checked(wait)
    with _plainly("This archive"), _shown(progress) as tell, _at_hand(source, place, tell) as (archive, found):
        if found != wanted:
            raise ProvisionError(
                f"This archive is not the one it should be: its SHA-256 is {found}, not {wanted}.",
                hint="Compare it with what provision store export told, or fetch the archive again.",
                code="wrong-checksum",
            )
        with lock.held("provision store import", wait, tell):
            manifest = adopt(str(archive), str(place), wanted)
        return _build(Path(manifest["archive"]), _machine())


# What there is


def _machine() -> dict:
    return {**system.look_at_machine(), "flags": sorted(cpu.cpu_flags())}


def _build(path: Path, machine: dict) -> Build:
    """Return what is known of an archive without reading all of it."""
    key = _beside(path).name.removesuffix(".json")
    size, touched = _size_and_time(path)
    try:
        manifest = manifest_of(str(path))
    except StoreError as error:
        return Build(key, path, size, touched, problem=_problem(error))
    why_not = why_not_here(manifest, machine)
    return Build(
        key, path, size, manifest["created"], manifest["tool"], manifest["version"], manifest.get("sha256", ""),
        runs_here=not why_not, why_not=why_not,
    )  # fmt: skip


def _problem(error: StoreError) -> str:
    """Return what an error of the store says of one archive in it."""
    cause = error.__cause__
    return f"it cannot be read: {cause.strerror or cause}" if isinstance(cause, OSError) else error.message


def _set_aside(place: Path) -> Iterator[Leftover]:
    for path in sorted(place.glob(f"*.zst{BAD}")):
        yield Leftover(path, *_size_and_time(path))


def _unfinished(place: Path) -> Iterator[Leftover]:
    for path in sorted(place.glob(f"{_UNFINISHED}/*/")):
        pieces = [_size_and_time(piece) for piece in _pieces(path)]
        if pieces:
            yield Leftover(path, sum(size for size, _ in pieces), max(touched for _, touched in pieces))


def _pieces(build: Path) -> list[Path]:
    return [path for pattern in _PIECES for path in build.glob(pattern)]


def _size_and_time(path: Path) -> tuple[int, float]:
    """Return a file's size and when it was written, zeros for one that cannot be looked at or has just been deleted."""
    try:
        found = path.stat()
    except OSError as error:
        if error.errno not in ITS_OWN:
            raise
        return 0, 0.0
    return found.st_size, found.st_mtime


def _beside(archive: Path) -> Path:
    return Path(_names.beside(str(archive)))


def _named(key: str, listing: Listing) -> Build:
    """Return the build of a name, or of the only one that begins like it."""
    key = key.removesuffix(SUFFIX)
    builds = {build.key: build for build in listing}
    if not builds:
        raise OptionError(f"There are no builds in {listing.folder}.", hint="Name another store.", code="no-build")
    near = [key] if key in builds else [name for name in builds if name.startswith(key)]
    near = list({_identity(builds[name]): name for name in reversed(near)}.values())[::-1]  # of copies the first
    if len(near) > 1:
        hint = f"Write more of the name: {', '.join(near)}."
        raise OptionError(f"{key!r} may mean several builds.", hint=hint, code="ambiguous")
    if not near:
        meant = did_you_mean(key, _beginnings(builds))
        hint = f"{meant} The builds are {', '.join(builds)}.".strip()
        raise OptionError(f"There is no build {key!r} in {listing.folder}.", hint=hint, code="no-build")
    return builds[near[0]]


def _identity(build: Build) -> tuple:
    """Return what copies of one build have in common."""
    return (build.tool, build.version, build.created, build.size)


def _beginnings(keys: Iterable[str]) -> list[str]:
    """Return the keys and what they begin with, word by word, which is what people write of them."""
    words = [key.split("-") for key in keys]
    return list(dict.fromkeys("-".join(parts[:end]) for parts in words for end in range(1, len(parts) + 1)))


# Reading and writing


def _read_through(build: Build, tell: Tell) -> Build:
    try:
        with _task(tell, f"Verify {build.key}") as work:
            found = read_archive(str(build.path), tell=work)
    except StoreError as error:
        return replace(build, runs_here=False, why_not="", problem=_problem(error))
    return replace(build, sha256=found["sha256"])


def _sum(path: Path, tell: Work) -> str:
    with path.open("rb") as file:
        return _passed_on(file, lambda data: None, path.stat().st_size, tell)


def _passed_on(file, write: Callable[[bytes], Any], total: int, tell: Work) -> str:
    """Read a file to its end, pass each block on, and return the SHA-256 of all."""
    found, done = hashlib.sha256(), 0
    while data := file.read(_BLOCK):
        found.update(data)
        write(data)
        done += len(data)
        tell(done, total)
    return found.hexdigest()


@contextmanager
def _new_file(place: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Give a file under a name that nobody reads, and that pruning knows, gone at the end unless renamed."""
    try:
        file, name = tempfile.mkstemp(prefix=".new-", dir=place)
    except OSError as error:
        error.filename = str(place)  # of the file's name, which was drawn, nobody knows
        raise
    try:
        with os.fdopen(file, "wb") as new:
            yield Path(name), new
    finally:
        with suppress(OSError):
            Path(name).unlink()


def _copy(source: Path, target: Path, wanted: str, tell: Work) -> None:
    """Copy a file of a known SHA-256, and give the copy its name once it has been read back."""
    if target.exists():
        if not target.is_file() or _sum(target, tell) != wanted:
            message = f"{target} is there already, with other content."
            raise OptionError(message, hint="Delete it, or name another.", code="file-exists")
        return
    with _new_file(target.parent) as (new, copy):
        with source.open("rb") as file:
            _passed_on(file, copy.write, source.stat().st_size, tell)
        copy.flush()
        os.fsync(copy.fileno())
        if _sum(new, lambda *_: None) != wanted:
            message = f"{target.parent} does not give back what was written."
            raise ProvisionError(message, hint="Name another folder.", code="store")
        _files.set_mode(copy.fileno(), 0o644)
        new.replace(target)


def _target(key: str, dest: Path) -> Path:
    """Return the file that a build of that name is to be copied to."""
    if dest.is_dir():
        return dest / (key + SUFFIX)
    if not dest.name.endswith(SUFFIX):
        hint = f"Name one that exists, or a file that ends in {SUFFIX}."
        raise OptionError(f"There is no folder {dest}.", hint=hint, code="no-folder")
    if not dest.parent.is_dir():
        raise OptionError(f"There is no folder {dest.parent}.", hint="Make it first.", code="no-folder")
    return dest


@contextmanager
def _at_hand(source: str, place: Path, tell: Tell) -> Iterator[tuple[Path, str]]:
    """Give (the file that a source is, its SHA-256), downloaded into the store where it is on a server."""
    path = _downloads.local_path(source)
    if path is not None:
        archive = _existing(path)
        with _task(tell, f"Verify {archive.name}") as work:
            found = _sum(archive, work)
        yield archive, found
        return
    # As machines download: pooch limits neither size nor speed, and what fails in it is an exception of requests.
    with _downloads.opened(source) as download:
        check_owner(str(place))
        _files.make_folder(str(place))
        with _new_file(place) as (new, file):
            with _task(tell, "Download the build") as work:
                found = _passed_on(download, file.write, download.size, work)
            file.flush()
            yield new, found


def _existing(path: str) -> Path:
    archive = absolute(path)
    try:
        if not stat.S_ISREG(archive.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, "It is not a file")
        archive.open("rb").close()
    except OSError as error:
        why = f"{archive} cannot be read: {error.strerror}."
        code = "not-a-file" if error.errno == errno.EISDIR else "no-file"
        raise OptionError(why, hint="Give the path of one archive, or its URL.", code=code) from error
    return archive


def _checked_sum(sha256: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", str(sha256)):
        raise OptionError(
            f"{sha256!r} is no SHA-256, which has 64 hexadecimal digits.",
            hint="provision store export tells it to whoever exports a build.",
            code="bad-value",
        )
    return sha256.lower()


# Deleting


def _beyond(listing: Listing, keep: int) -> list[Build]:
    """Return the builds that are not among the newest of their tool; copies of one build count as one."""
    sound = sorted((build for build in listing if not build.problem), key=lambda build: (build.tool, -build.created))
    gone: list[Build] = []
    for _, found in groupby(sound, key=lambda build: build.tool):
        builds = list(found)
        stay = set(list(dict.fromkeys(map(_identity, builds)))[:keep])
        gone += [build for build in builds if _identity(build) not in stay]
    return gone


def _deleted(path: Path) -> int:
    """Delete a file and return its size, 0 when it was gone already."""
    size, _ = _size_and_time(path)
    path.unlink(missing_ok=True)
    return size


def _deleted_build(path: Path) -> int:
    if path.is_symlink():
        return 0
    freed = sum(map(_deleted, _pieces(path)))
    with suppress(OSError):  # there is something of somebody else's in it
        path.rmdir()
    return freed


def _dropped(place: Path) -> dict[Path, int]:
    """Delete what killed packers have left, and return it with its sizes."""
    sizes = {path: _size_and_time(path)[0] for path in place.glob(NEW + "*")}
    dropped = map(Path, drop_unfinished(str(place)))
    return {path: sizes.get(path, 0) for path in dropped}


# Errors and progress


@contextmanager
def _plainly(what: str = "") -> Iterator[None]:
    """Turn errors of an archive, of the store and of the system into those of the package."""
    try:
        yield
    except BadArchive as error:
        raise ProvisionError(
            f"{what} cannot be used, because {error.message}.", hint="Make or download it again.", code=error.code
        ) from error
    except (StoreError, _downloads.DownloadError) as error:
        kind = OptionError if error.code == "bad-url" else ProvisionError
        raise kind(error.message, hint=error.hint, code=error.code) from error
    except OSError as error:
        message, hint = failures.explain(error)
        raise ProvisionError(message, hint=hint, code=failures.failure(error)["code"]) from error


@contextmanager
def _shown(progress: Tell | None) -> Iterator[Tell]:
    """Give what is told of each step: the caller's own, or a display."""
    if progress is not None:
        yield progress
        return
    from provision.display.progress import progress as shown

    with shown() as display:
        yield display.step


@contextmanager
def _task(tell: Tell, title: str) -> Iterator[Work]:
    """Tell that a task starts and ends, and give what tells how many bytes of it are done."""
    where: dict[str, Any] = {"role": "store", "task": title}
    tell(Step("task", **where))
    try:
        yield lambda done, total: tell(Step("work", **where, number=done, total=total, unit="bytes"))
    except BaseException:
        tell(Step("done", **where, failed=True))
        raise
    tell(Step("done", **where))
