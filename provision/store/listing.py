"""The contents of a store as a table, and the results of pruning and exporting."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provision.display.tables import Cell, Table, Tabular
from provision.words import format_age, format_bytes, printable


@dataclass(frozen=True)
class Build:
    """One archive in a store.

    Attributes
    ----------
    key : str
        The name, such as ``"mrtrix3-3.0.8-debian12-x86_64-x86-64-v3"``.
    path : pathlib.Path
        The archive.
    size : int
        The size in bytes.
    created : float
        When it was packed, in seconds since 1970.
    tool, version : str
        What was built; empty if the archive cannot be read.
    sha256 : str
        The SHA-256 of the archive; empty if it is not recorded.
    runs_here : bool
        Whether this machine can run it.
    why_not : str
        Why not; empty if it can, or if there is a problem.
    problem : str
        Why no machine can use it; empty for a sound archive.
    """

    key: str
    path: Path
    size: int
    created: float
    tool: str = ""
    version: str = ""
    sha256: str = ""
    runs_here: bool = False
    why_not: str = ""
    problem: str = ""

    def __str__(self) -> str:
        """Return one line for people."""
        return printable(f"{self.path} ({format_bytes(self.size)}) - runs here: {self.verdict}")

    @property
    def verdict(self) -> str:
        """Whether it runs here, in words: ``yes``, or ``no`` or ``bad`` with the reason."""
        return f"bad: {self.problem}" if self.problem else "yes" if self.runs_here else f"no: {self.why_not}"

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class Leftover:
    """Something besides builds: an archive set aside as damaged, or the folder of an unfinished build.

    Attributes
    ----------
    path : pathlib.Path
        The file or folder.
    size : int
        The size in bytes.
    touched : float
        When it was last written to, in seconds since 1970.
    """

    path: Path
    size: int
    touched: float

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, repr=False)
class Listing(Tabular, Sequence):
    """The contents of a store: a sequence of `Build`, shown as a table.

    Parameters
    ----------
    folder : pathlib.Path
        The store.
    builds : sequence of Build
        One for each archive.
    set_aside : sequence of Leftover
        Archives that turned out to be damaged when they were needed.
    unfinished : sequence of Leftover
        Unfinished builds.

    Examples
    --------
    >>> Listing(Path("/store"))
    There are no builds in /store.
    """

    folder: Path
    builds: Sequence[Build] = ()
    set_aside: Sequence[Leftover] = ()
    unfinished: Sequence[Leftover] = ()

    _column = "runs here"

    def __getitem__(self, index: int | slice) -> Any:
        return self.builds[index]

    def __len__(self) -> int:
        return len(self.builds)

    def table(self) -> Table:
        """Return a row for each archive, and one for each leftover."""
        rows = [_row(build.key, build.size, build.created, self._verdict(build)) for build in self.builds]
        for kind, found in (("set aside as bad", self.set_aside), ("unfinished build", self.unfinished)):
            rows += [_row(left.path.name, left.size, left.touched, Cell(kind, "dim")) for left in found]
        head = Cell("build"), Cell("size", "number"), Cell("age", "number"), Cell(self._column)
        return Table(rows, [self._summary()], head)

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only.

        Returns
        -------
        dict
            ``{"store": ..., "builds": [...], "set_aside": [...], "unfinished": [...]}``.

        Examples
        --------
        >>> Listing(Path("/store")).to_dict()
        {'store': '/store', 'builds': [], 'set_aside': [], 'unfinished': []}
        """
        return {
            "store": str(self.folder),
            "builds": [build.to_dict() for build in self.builds],
            "set_aside": [left.to_dict() for left in self.set_aside],
            "unfinished": [left.to_dict() for left in self.unfinished],
        }

    def _verdict(self, build: Build) -> Cell:
        return Cell(build.verdict, "good" if build.runs_here else "bad" if build.problem else "")

    def _summary(self) -> str:
        if not self.builds:
            return f"There are no builds in {self.folder}."
        return f"{_counted(self.builds)}, {format_bytes(sum(build.size for build in self.builds))}, in {self.folder}"


class Checked(Listing):
    """A `Listing` whose archives have been read from beginning to end.

    Examples
    --------
    >>> Checked(Path("/store")).ok
    True
    """

    _column = "content"

    @property
    def ok(self) -> bool:
        """Whether all archives are intact."""
        return not self._bad()

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: that of a `Listing`, plus ``ok``."""
        return {"ok": self.ok, **super().to_dict()}

    def _bad(self) -> list[Build]:
        return [build for build in self.builds if build.problem]

    def _verdict(self, build: Build) -> Cell:
        return Cell(f"bad: {build.problem}", "bad") if build.problem else Cell("ok", "good")

    def _summary(self) -> str:
        if not self.builds:
            return super()._summary()
        return f"{len(self.builds) - len(self._bad())} of {_counted(self.builds)} intact in {self.folder}"


@dataclass(frozen=True, repr=False)
class Pruned:
    """What was deleted from a store.

    Attributes
    ----------
    folder : pathlib.Path
        The store.
    deleted : sequence of pathlib.Path
        The archives, other files, and folders of unfinished builds.
    freed : int
        Bytes freed, including the manifests.
    left_alone : sequence of Build
        Files that cannot be read as builds, and may not be ours.
    """

    folder: Path
    deleted: Sequence[Path]
    freed: int
    left_alone: Sequence[Build] = ()

    def __repr__(self) -> str:
        lines = [f"deleted {path.relative_to(self.folder)}" for path in self.deleted]
        lines += [f"kept {build.path.name} - {build.verdict}" for build in self.left_alone]
        end = f"{format_bytes(self.freed)} freed" if self.deleted else "nothing to delete"
        return "\n".join(map(printable, [*lines, f"{end} in {self.folder}"]))

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only."""
        return {
            "store": str(self.folder),
            "deleted": [str(path) for path in self.deleted],
            "freed": self.freed,
            "left_alone": [build.to_dict() for build in self.left_alone],
        }


@dataclass(frozen=True, repr=False)
class Exported:
    """A build that was copied out of a store.

    Attributes
    ----------
    path : pathlib.Path
        The copy.
    size : int
        The size in bytes.
    sha256 : str
        The SHA-256 of the copy, which import asks for.
    tool, version : str
        What was built.
    """

    path: Path
    size: int
    sha256: str
    tool: str
    version: str

    @property
    def commands(self) -> list[str]:
        """The commands that install it on another machine, from the folder that the file is in."""
        name = shlex.quote(self.path.name)
        if self.path.suffix == ".conda":
            return [f"conda install ./{name}"]
        return [
            f"provision store import {name} --sha256 {self.sha256}",
            f"provision run {self.tool} --version {shlex.quote(self.version)} --archive {name}"
            f" --archive-sha256 {self.sha256}",
        ]

    def __repr__(self) -> str:
        run = "run one of these, with the file's path or URL:" if len(self.commands) > 1 else "run:"
        return "\n".join([
            f"{self.path} ({format_bytes(self.size)})",
            f"SHA-256 {self.sha256}",
            f"On the other machine, {run}",
            *(f"  {line}" for line in self.commands),
        ])  # fmt: skip

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only."""
        return {**asdict(self), "path": str(self.path), "commands": self.commands}


def _row(name: str, size: int, when: float, verdict: Cell) -> tuple[Cell, ...]:
    age = Cell(format_age(time.time() - when), "number")
    return Cell(name, "name"), Cell(format_bytes(size), "number"), age, verdict


def _counted(builds: Sequence[Build]) -> str:
    return f"{len(builds)} build{'' if len(builds) == 1 else 's'}"
