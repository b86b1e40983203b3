"""What of Google Colab is of use: a fact to find out, and not a fork of the code."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision import notebook, paths
from provision.display.tables import Table, Tabular
from provision.errors import ProvisionError
from provision.machine import drive as drives
from provision.machine import system

if TYPE_CHECKING:
    from types import ModuleType

    from provision.store.listing import Listing

MOUNT = "/content/drive"
"""Where Drive is mounted when it is not mounted yet: where Colab's own examples mount it."""

SHORT_OF_SPACE = 200_000_000
"""So few free bytes are told of: one that is packed anew lies there twice, beside what was kept of it unfinished."""

_ANOTHER_FOLDER = (
    'To keep builds where they outlive this machine, name a folder: provision.run("mrtrix3", '
    'provision_store="/path/to/folder").'
)
_ALLOW_IT = (
    "Run provision.drive() again and allow the access, with the Google account that the notebook is open in; until "
    "then builds are lost with this machine."
)


@dataclass(frozen=True, repr=False)
class Drive(Tabular):
    """Where builds are kept, and what is kept there.

    Attributes
    ----------
    folder : pathlib.Path or None
        The user's folder of Google Drive; None where no Drive is mounted.
    store : pathlib.Path
        The store of builds: ``provision`` in that folder, else in the user's cache.
    free : int
        Bytes that are free there.
    kept : provision.store.listing.Listing
        The builds in the store.
    notes : tuple of str
        What a person should know, in whole sentences.

    Examples
    --------
    >>> from provision.store.listing import Listing
    >>> store = Path("/content/drive/MyDrive/provision")
    >>> Drive(store.parent, store, 12_300_000_000, Listing(store))
    Google Drive is mounted: /content/drive/MyDrive, 12.3 GB free
    There are no builds in /content/drive/MyDrive/provision.
    """

    folder: Path | None
    store: Path
    free: int
    kept: Listing
    notes: tuple[str, ...] = ()

    def _place(self) -> str:
        from provision.words import format_bytes

        free = f"{format_bytes(self.free)} free"
        if self.folder:
            return f"Google Drive is mounted: {self.folder}, {free}"
        return f"No Google Drive is mounted; builds are kept in {self.store}, {free}"

    def table(self) -> Table:
        """Return the builds as a table, with where they are kept."""
        kept = self.kept.table()
        return replace(kept, lines=[self._place(), *kept.lines, *(f"Note: {note}" for note in self.notes)])


def drive(*, flush: bool = False) -> Drive:
    """Mount Google Drive where that is possible, and tell where builds are kept.

    A Drive that is mounted already is taken where it is, at ``/content/drive`` or at ``/gdrive``. Where none can be
    mounted, on another machine or when nobody allows it, that is told as a note, and builds are kept in the user's
    cache: a notebook goes on from there.

    Parameters
    ----------
    flush : bool
        Wait until all that was written has reached Drive, by unmounting it, and mount it again. It is the only way to
        be sure of that before the machine goes; Colab may ask once more whether it may use Drive.

    Returns
    -------
    Drive
        Where the store of builds is, how much space is free, and what is kept there.

    Raises
    ------
    ProvisionError
        When Drive could not be flushed, when it has dropped and cannot be mounted again, and when the store cannot be
        read.

    Examples
    --------
    >>> drive()  # doctest: +SKIP
    Google Drive is mounted: /content/drive/MyDrive, 12.3 GB free
    build                                   size   age  runs here
    mrtrix3-3.0.8-ubuntu24.04-x86_64-x8...  17 MB  2 d  yes
    1 build, 17 MB, in /content/drive/MyDrive/provision
    """
    found = drives.drive_folder()
    dropped = bool(found) and drives.has_dropped(found)
    notes = []
    if flush or dropped or not found:
        mountpoint = str(Path(found).parent) if found else MOUNT
        with _outside(mountpoint):
            why_not = _mount(mountpoint, flush=flush and bool(found) and not dropped)
        if dropped and why_not:
            raise ProvisionError(
                f"Google Drive at {mountpoint} is no longer connected (Errno 107).", hint=why_not, code="drive-lost"
            )
        if dropped:
            notes.append(
                f"Google Drive at {mountpoint} was no longer connected (Errno 107) and has been mounted again: what "
                "was written last may not have reached it."
            )
        notes += [why_not] if why_not else []
    return _told(notes)


def _told(notes: list[str]) -> Drive:
    """Return what is to be told of the store."""
    from provision.store import builds
    from provision.words import format_bytes

    found, kept = drives.drive_folder(), builds.ls()
    free = shutil.disk_usage(paths.nearest(kept.folder)).free
    if free < SHORT_OF_SPACE:
        notes = [
            *notes,
            f"Only {format_bytes(free)} are free. A build takes about 17 MB, and more while it is made: "
            "provision.store.prune(keep=2) deletes old ones, which on Google Drive go to its bin and count until that "
            "is emptied.",
        ]
    return Drive(Path(found) if found else None, kept.folder, free, kept, tuple(notes))


def _mount(mountpoint: str, *, flush: bool) -> str:
    """Mount Drive, flushed and unmounted before where that is wanted; return why it was not mounted and what to do."""
    if not system.on_colab():
        return f"Only Google Colab mounts Google Drive, and this is another machine. {_ANOTHER_FOLDER}"
    if not notebook.in_notebook():
        return "Google Drive is mounted from a cell of the notebook, and this is none: run provision.drive() in one."
    module = importlib.import_module("google.colab.drive")
    if flush:
        _flush(module)
    try:
        module.mount(mountpoint)
    except Exception as error:  # refused in the page, no page, a runtime that cannot, a folder that is in the way
        what_to_do = _ANOTHER_FOLDER if isinstance(error, NotImplementedError) else _ALLOW_IT
        return f"Google Drive was not mounted: {_reason(error)}. {what_to_do}"
    return ""


def _flush(module: ModuleType) -> None:
    try:
        module.flush_and_unmount()
    except Exception as error:  # a runtime that cannot, or Drive that does not take it
        raise ProvisionError(
            f"Google Drive could not be flushed: {_reason(error)}.",
            hint="Do not end the session before drive.google.com shows the files; provision.store.ls() tells which.",
            code="drive-not-flushed",
        ) from error


def _reason(error: Exception) -> str:
    """Return the first sentence of an error."""
    said = str(error).removeprefix("Error: ").strip() or type(error).__name__
    return said.split(". ")[0].rstrip(".")


@contextmanager
def _outside(mountpoint: str) -> Iterator[None]:
    """Be in another folder while a drive is unmounted, and back in the same, which is then a new one."""
    try:
        here = Path.cwd()
    except OSError:  # in a drive that has dropped, nobody knows any more where
        here = Path(mountpoint)
    if not here.is_relative_to(mountpoint):
        yield
        return
    os.chdir("/")
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(here)
