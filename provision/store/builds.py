"""The store of builds: list, verify and prune it, and exchange builds with other machines."""

from __future__ import annotations

import errno
import hashlib
import json
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

from provision.engine import content, lock
from provision.engine.events import Step
from provision.errors import OptionError, ProvisionError, unknown
from provision.machine import cpu, failures, places, system
from provision.machine import download as _downloads
from provision.machine import files as _files
from provision.machine.conda.fetch import kept_in
from provision.machine.conda.lock import read_lock
from provision.machine.store import names as _names
from provision.machine.store.choose import why_not_here
from provision.machine.store.errors import ITS_OWN, BadArchive, StoreError
from provision.machine.store.names import BAD, NEW, SUFFIX, key_of
from provision.machine.store.pack import adopt, drop_unfinished
from provision.machine.store.read import manifest_of, read_archive
from provision.machine.store.trust import check_owner
from provision.paths import absolute
from provision.store import conda_package
from provision.store.listing import Build, Checked, Exported, Leftover, Listing, Pruned

DAYS_UNFINISHED = 7
"""After so many days an unfinished build counts as abandoned."""

_BLOCK = 1 << 18
_FORMATS = {"archive": SUFFIX, "conda": conda_package.SUFFIX}
_UNFINISHED = "unfinished"
# What the roles write into the folder of an unfinished build; anything else there is not ours.
_PIECES = ("[0-9][0-9][0-9][0-9].tar.zst", NEW + "*")

Tell = Callable[[Step], Any]
Work = Callable[[int, int], Any]


def folder(store: str | os.PathLike | None = None) -> Path:
    """Return the folder of a store.

    Parameters
    ----------
    store : path-like, optional
        A folder (default: ``provision`` on Google Drive if that is mounted, else ``~/.cache/provision``).

    Returns
    -------
    pathlib.Path
        An absolute path, which need not exist.

    Raises
    ------
    OptionError
        If it is a file.

    Examples
    --------
    >>> folder("/mnt/builds")
    PosixPath('/mnt/builds')
    """
    place = absolute(places.default_store() if store is None else store)
    # Other problems are reported by whoever reads the folder.
    with suppress(OSError):
        if not stat.S_ISDIR(place.stat().st_mode):
            raise OptionError(
                f"The store {place} is a file, not a folder.", hint="Name the folder with the builds.", code="store"
            )
    return place


def ls(store: str | os.PathLike | None = None) -> Listing:
    """List the builds in a store, and whether they run on this machine.

    Parameters
    ----------
    store : path-like, optional
        As for `folder`.

    Returns
    -------
    Listing
        A sequence of `provision.store.listing.Build`, shown as a table; empty if the folder does not exist.

    Raises
    ------
    OptionError
        If the store is a file.
    ProvisionError
        If it cannot be read.

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
    """Check that all archives in a store are intact, by reading them from beginning to end.

    Parameters
    ----------
    store : path-like, optional
        As for `folder`.
    progress : callable, optional
        Called with each `provision.engine.events.Step`. By default, progress is shown on standard error, or
        below the cell of a notebook.

    Returns
    -------
    Checked
        A `provision.store.listing.Listing` with ``ok``; the ``problem`` of a build says what is wrong with it.

    Raises
    ------
    OptionError
        If the store is a file.
    ProvisionError
        If it cannot be read.

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
    """Delete all but the newest builds of each tool from a store, along with useless files.

    Those are archives set aside as damaged, the remains of interrupted packing, unfinished builds that have not been
    touched for a week, and conda packages that no role's lock lists any more. Files that cannot be read as builds are
    kept, since they may not be ours.

    Parameters
    ----------
    keep : int
        How many builds of each tool to keep; 0 deletes all, and all conda packages.
    store : path-like, optional
        As for `folder`.
    wait : float
        How many seconds to wait while another run of yours is changing this machine; 0 not to wait.

    Returns
    -------
    Pruned
        What was deleted, and how many bytes that freed.

    Raises
    ------
    OptionError
        If the number is not a whole number of 0 or more, or the store is a file.
    ProvisionError
        If the store cannot be read or written.

    Examples
    --------
    >>> prune(2, "/mnt/builds").freed
    0
    """
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
        raise OptionError(
            f"The number of builds to keep must be a whole number, not {keep!r}.",
            hint="Use 0 to keep none.",
            code="bad-value",
        )
    place, too_old = folder(store), time.time() - DAYS_UNFINISHED * 86_400
    freed: dict[Path, int] = {}
    with lock.held("provision store prune", wait), _plainly():
        found = ls(place)
        for build in _beyond(found, keep):
            # An archive alone is still a build; its manifest alone is not.
            freed[build.path] = _deleted(_beside(build.path)) + _deleted(build.path)
        for left in found.set_aside:
            beside = _beside(left.path.with_suffix(""))
            freed[left.path] = _deleted(beside.with_name(beside.name + BAD)) + _deleted(left.path)
        for left in found.unfinished:
            if left.touched < too_old:
                freed[left.path] = _deleted_build(left.path)
        for path in _unlisted(place, keep):
            freed[path] = _deleted(path)
        freed.update(_dropped(place))
    return Pruned(place, tuple(freed), sum(freed.values()), tuple(build for build in found if build.problem))


def export(
    key: str,
    dest: str | os.PathLike,
    store: str | os.PathLike | None = None,
    progress: Tell | None = None,
    format: str = "archive",
) -> Exported:
    """Copy a build out of a store, completely or not at all, for use on another machine.

    Parameters
    ----------
    key : str
        The name of the build, or an unambiguous beginning of it.
    dest : path-like
        An existing folder, which gets the archive and its manifest and so becomes a store; or a new file whose name
        ends in ``.tar.zst``, or in ``.conda`` for a conda package.
    store : path-like, optional
        As for `folder`.
    progress : callable, optional
        As for `verify`.
    format : {"archive", "conda"}
        ``"conda"`` writes a conda package, for a channel or ``conda install FILE``. It requires the processor's level
        that the build was compiled for, with conda-forge's ``_x86_64-microarch-level``.

    Returns
    -------
    Exported
        The copy, its size and SHA-256, and the commands that install it elsewhere.

    Raises
    ------
    OptionError
        If the build or folder does not exist, a different file of that name does, or the format is unknown.
    ProvisionError
        If the archive is damaged, or the copy cannot be written.

    Examples
    --------
    >>> export("mrtrix3-3.0.8", "/mnt/usb").sha256  # doctest: +SKIP
    '0d4f...'
    """
    if format not in _FORMATS:
        raise unknown("format", format, _FORMATS, code="bad-value")
    build, into = _named(key, ls(store)), absolute(dest)
    with _plainly(f"The build {build.key}"):
        # Under its own name, whatever a browser has made of that.
        manifest = manifest_of(str(build.path))
        name = conda_package.file_name(manifest) if format == "conda" else key_of(manifest) + SUFFIX
        target = _target(name, into, _FORMATS[format])
    if format == "conda":
        return _export_conda(build, target, progress)
    with _plainly(f"The build {build.key}"), _shown(progress) as tell:
        with _task(tell, f"Verify {build.key}") as work:
            manifest = read_archive(str(build.path), tell=work)
        with _task(tell, f"Copy {build.key}") as work:
            _copy(build.path, target, manifest["sha256"], work)
        if into.is_dir():
            _files.write_json(str(_beside(target)), manifest)
    return Exported(target, manifest["size"], manifest["sha256"], manifest["tool"], manifest["version"])


def _export_conda(build: Build, target: Path, progress: Tell | None) -> Exported:
    """Write a build as a conda package, completely or not at all."""
    if target.exists():
        raise OptionError(f"{target} already exists.", hint="Delete it, or choose another name.", code="file-exists")
    with (
        _plainly(f"The build {build.key}"),
        _shown(progress) as tell,
        _new_file(target.parent) as (new, file),
        tempfile.TemporaryDirectory() as folder,
    ):
        with _task(tell, f"Verify {build.key}") as work:
            manifest = read_archive(str(build.path), keep=folder, tell=work)
        with _task(tell, f"Write {target.name}"):
            conda_package.pack(manifest, Path(folder), new)
        os.fsync(file.fileno())
        _files.set_mode(file.fileno(), 0o644)
        size, sha256 = new.stat().st_size, _sum(new, lambda *_: None)
        new.replace(target)
    return Exported(target, size, sha256, manifest["tool"], manifest["version"])


def import_(
    source: str | os.PathLike,
    sha256: str,
    store: str | os.PathLike | None = None,
    progress: Tell | None = None,
    wait: float = lock.SECONDS,
) -> Build:
    """Add an exported build to a store, under the name in its manifest.

    Parameters
    ----------
    source : path-like or str
        An exported archive: its path, or a URL (http, https or file).
    sha256 : str
        Its SHA-256, as reported by `export`.
    store : path-like, optional
        As for `folder`; created if missing. A build of the same name is replaced.
    progress : callable, optional
        As for `verify`.
    wait : float
        As for `prune`.

    Returns
    -------
    Build
        The build, with ``runs_here`` and ``why_not``.

    Raises
    ------
    OptionError
        If the file does not exist, the URL is of another kind, or the SHA-256 is not one.
    ProvisionError
        If it cannot be downloaded, is damaged or has another SHA-256, or the store cannot be written. The store is
        then unchanged.

    Examples
    --------
    >>> import_("https://example.org/build.tar.zst", "0d4f...")  # doctest: +SKIP
    """
    source, wanted, place = os.fspath(source), _checked_sum(sha256), folder(store)
    lock.checked(wait)
    with _plainly("This archive"), _shown(progress) as tell, _at_hand(source, place, tell) as (archive, found):
        if found != wanted:
            raise ProvisionError(
                f"This archive has the wrong SHA-256: {found}, not {wanted}.",
                hint="Compare it with the output of provision store export, or fetch the archive again.",
                code="wrong-checksum",
            )
        with lock.held("provision store import", wait, tell):
            manifest = adopt(str(archive), str(place), wanted)
        return _build(Path(manifest["archive"]), _machine())


# What there is


def _machine() -> dict:
    return {**system.look_at_machine(), "flags": sorted(cpu.cpu_flags())}


def _build(path: Path, machine: dict) -> Build:
    """Return what is known about an archive without reading all of it."""
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
    """Return what is wrong with one archive, as a clause."""
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
    """Return the size and time of a file; zeros if it cannot be examined or has just been deleted."""
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
    """Return the build with a name, or the only one whose name begins with it."""
    key = key.removesuffix(SUFFIX)
    builds = {build.key: build for build in listing}
    if not builds:
        raise OptionError(f"There are no builds in {listing.folder}.", hint="Choose another store.", code="no-build")
    near = [key] if key in builds else [name for name in builds if name.startswith(key)]
    near = list({_identity(builds[name]): name for name in reversed(near)}.values())[::-1]  # of copies the first
    if len(near) > 1:
        hint = f"Use more of the name: {', '.join(near)}."
        raise OptionError(f"{key!r} is ambiguous.", hint=hint, code="ambiguous")
    if not near:
        where, near_ones = f" in {listing.folder}", _beginnings(builds)
        raise unknown("build", key, builds, where=where, near=near_ones, code="no-build")
    return builds[near[0]]


def _identity(build: Build) -> tuple:
    """Return what identifies a build, and is the same for its copies."""
    return (build.tool, build.version, build.created, build.size)


def _beginnings(keys: Iterable[str]) -> list[str]:
    """Return the keys and their beginnings, word by word, which is what people type."""
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
    """Read a file to its end, pass on each block, and return the SHA-256."""
    found, done = hashlib.sha256(), 0
    while data := file.read(_BLOCK):
        found.update(data)
        write(data)
        done += len(data)
        tell(done, total)
    return found.hexdigest()


@contextmanager
def _new_file(place: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a file under a temporary name that pruning knows; it is deleted at the end unless renamed."""
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
    """Copy a file with a known SHA-256; the copy gets its name once it has been read back."""
    if target.exists():
        if not target.is_file() or _sum(target, tell) != wanted:
            message = f"{target} already exists, with different content."
            raise OptionError(message, hint="Delete it, or choose another name.", code="file-exists")
        return
    with _new_file(target.parent) as (new, copy):
        with source.open("rb") as file:
            _passed_on(file, copy.write, source.stat().st_size, tell)
        copy.flush()
        os.fsync(copy.fileno())
        if _sum(new, lambda *_: None) != wanted:
            message = f"{target.parent} does not return what was written to it."
            raise ProvisionError(message, hint="Choose another folder.", code="store")
        _files.set_mode(copy.fileno(), 0o644)
        new.replace(target)


def _target(name: str, dest: Path, suffix: str) -> Path:
    """Return the file that a build is copied to."""
    if dest.is_dir():
        return dest / name
    if not dest.name.endswith(suffix):
        hint = f"Create it first, or name a file that ends in {suffix}."
        raise OptionError(f"There is no folder {dest}.", hint=hint, code="no-folder")
    if not dest.parent.is_dir():
        raise OptionError(f"There is no folder {dest.parent}.", hint="Create it first.", code="no-folder")
    return dest


@contextmanager
def _at_hand(source: str, place: Path, tell: Tell) -> Iterator[tuple[Path, str]]:
    """Yield the local file of a source, downloaded into the store if need be, and its SHA-256."""
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
            f"{sha256!r} is not a SHA-256, which has 64 hexadecimal digits.",
            hint="provision store export prints it.",
            code="bad-value",
        )
    return sha256.lower()


# Deleting


def _beyond(listing: Listing, keep: int) -> list[Build]:
    """Return the builds that are not among the newest of their tool; copies of a build count as one."""
    sound = sorted((build for build in listing if not build.problem), key=lambda build: (build.tool, -build.created))
    gone: list[Build] = []
    for _, found in groupby(sound, key=lambda build: build.tool):
        builds = list(found)
        stay = set(list(dict.fromkeys(map(_identity, builds)))[:keep])
        gone += [build for build in builds if _identity(build) not in stay]
    return gone


def _unlisted(place: Path, keep: int) -> Iterator[Path]:
    """Yield the conda packages, and parts of them, that no role's lock lists; all of them if no build is kept."""
    texts = [path.read_text("utf-8") for path in content.root().glob("roles/*/files/*.lock.json")]
    listed = {package.kept for text in texts for package in read_lock(json.loads(text)).packages} if keep else set()
    for path in sorted(Path(kept_in(str(place))).glob("*")):
        is_ours = re.fullmatch(r"[0-9a-f]{32,64}(\.conda|\.tar\.bz2)(\.part)?", path.name)
        if is_ours and path.name.removesuffix(".part") not in listed:
            yield path


def _deleted(path: Path) -> int:
    """Delete a file and return its size; 0 if it was already gone."""
    size, _ = _size_and_time(path)
    path.unlink(missing_ok=True)
    return size


def _deleted_build(path: Path) -> int:
    if path.is_symlink():
        return 0
    freed = sum(map(_deleted, _pieces(path)))
    with suppress(OSError):  # it holds something that is not ours
        path.rmdir()
    return freed


def _dropped(place: Path) -> dict[Path, int]:
    """Delete the remains of interrupted packing; return them with their sizes."""
    sizes = {path: _size_and_time(path)[0] for path in place.glob(NEW + "*")}
    dropped = map(Path, drop_unfinished(str(place)))
    return {path: sizes.get(path, 0) for path in dropped}


# Errors and progress


@contextmanager
def _plainly(what: str = "") -> Iterator[None]:
    """Turn errors of an archive, the store or the system into those of the package."""
    try:
        yield
    except BadArchive as error:
        raise ProvisionError(
            f"{what} cannot be used: {error.message}.", hint="Build or download it again.", code=error.code
        ) from error
    except (StoreError, _downloads.DownloadError) as error:
        kind = OptionError if error.code == "bad-url" else ProvisionError
        raise kind(error.message, hint=error.hint, code=error.code) from error
    except OSError as error:
        message, hint = failures.explain(error)
        raise ProvisionError(message, hint=hint, code=failures.failure(error)["code"]) from error


@contextmanager
def _shown(progress: Tell | None) -> Iterator[Tell]:
    """Yield the function that takes steps: the caller's, or that of a display."""
    if progress is not None:
        yield progress
        return
    from provision.display.progress import progress as shown

    with shown() as display:
        yield display.step


@contextmanager
def _task(tell: Tell, title: str) -> Iterator[Work]:
    """Report the start and end of a task; yield a function that reports how many bytes are done."""
    where: dict[str, Any] = {"role": "store", "task": title}
    tell(Step("task", **where))
    try:
        yield lambda done, total: tell(Step("work", **where, number=done, total=total, unit="bytes"))
    except BaseException:
        tell(Step("done", **where, failed=True))
        raise
    tell(Step("done", **where))
