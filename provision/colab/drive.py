"""Google Drive, as the place where builds outlive a Colab machine."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision import notebook
from provision.display.tables import Table, Tabular
from provision.errors import ProvisionError
from provision.machine import disk, system
from provision.machine import drive as drives

if TYPE_CHECKING:
    from types import ModuleType

    from provision.store.listing import Listing

MOUNT = "/content/drive"
"""Where Drive is mounted unless it already is: as in Colab's own examples."""

SHORT_OF_SPACE = 200_000_000
"""Warn below so many free bytes: while a build is packed again, two copies and its unfinished pieces need room."""

_ANOTHER_FOLDER = (
    'To keep builds beyond this machine, name a folder: provision.run("mrtrix3", provision_store="/path/to/folder").'
)
_ALLOW_IT = (
    "Run provision.drive() again and allow access, with the Google account that the notebook is open in; until then "
    "builds are lost with this machine."
)


@dataclass(frozen=True, repr=False)
class Drive(Tabular):
    """Where builds are saved, and what is saved there.

    Attributes
    ----------
    folder : pathlib.Path or None
        The user's folder on Google Drive; None if Drive is not mounted.
    store : pathlib.Path
        The store: the folder ``provision`` there, else in the user's cache.
    free : int
        Free bytes there.
    kept : provision.store.listing.Listing
        The builds in the store.
    notes : tuple of str
        Warnings, in whole sentences.

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
        return f"Google Drive is not mounted; builds are saved in {self.store}, {free}"

    def table(self) -> Table:
        """Return the builds as a table, with the place where they are saved."""
        kept = self.kept.table()
        return replace(kept, lines=[self._place(), *kept.lines, *(f"Note: {note}" for note in self.notes)])


def drive(*, flush: bool = False) -> Drive:
    """Mount Google Drive if possible, and show where builds are saved.

    A Drive that is already mounted, at ``/content/drive`` or ``/gdrive``, stays where it is. If Drive cannot be
    mounted, because this is not Colab or access was not allowed, a note says so, builds are saved in the user's cache,
    and the notebook continues.

    Parameters
    ----------
    flush : bool
        Wait until everything written has reached Drive, by unmounting it and mounting it again. That is the only way to
        be sure before the session ends; Colab may ask for permission once more.

    Returns
    -------
    Drive
        Where the store is, how much space is free, and which builds it holds.

    Raises
    ------
    ProvisionError
        If Drive could not be flushed, if it was disconnected and cannot be mounted again, or if the store cannot be
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
                f"Google Drive at {mountpoint} was disconnected (Errno 107) and has been mounted again: the last files "
                "written may not have reached it."
            )
        notes += [why_not] if why_not else []
    return _described(notes)


def _described(notes: list[str]) -> Drive:
    """Return the state of the store."""
    from provision.store import builds
    from provision.words import format_bytes

    found, kept = drives.drive_folder(), builds.ls()
    free = shutil.disk_usage(disk.nearest(str(kept.folder))).free
    if free < SHORT_OF_SPACE:
        notes = [
            *notes,
            f"Only {format_bytes(free)} is free. A build takes about 17 MB, and more while it is packed. "
            "provision.store.prune(keep=2) deletes old builds; on Google Drive, empty the bin as well.",
        ]
    return Drive(Path(found) if found else None, kept.folder, free, kept, tuple(notes))


def _mount(mountpoint: str, *, flush: bool) -> str:
    """Mount Drive, after flushing it if asked to; return why it could not be mounted, and what to do."""
    if not system.on_colab():
        return f"Google Drive can be mounted only on Google Colab. {_ANOTHER_FOLDER}"
    if not notebook.in_notebook():
        return "Google Drive can be mounted only from a cell of the notebook: run provision.drive() in one."
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
            hint="Keep the session open until drive.google.com shows the files that provision.store.ls() lists.",
            code="drive-not-flushed",
        ) from error


def _reason(error: Exception) -> str:
    """Return the first sentence of an error."""
    said = str(error).removeprefix("Error: ").strip() or type(error).__name__
    return said.split(". ")[0].rstrip(".")


@contextmanager
def _outside(mountpoint: str) -> Iterator[None]:
    """Leave the working folder while its drive is unmounted, and return to it afterwards."""
    try:
        here = Path.cwd()
    except OSError:  # on a disconnected drive the folder is unknown
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
