"""Solving for the conda packages of a tool: the lock that the origin ``conda`` installs from."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.engine import catalog, content
from provision.errors import OptionError, ProvisionError, unknown
from provision.machine import files
from provision.machine.conda.lock import FILE
from provision.paths import absolute
from provision.words import format_bytes

if TYPE_CHECKING:
    import rattler

_PLATFORM = "linux-64"
_MICROARCHITECTURE = "x86_64"
# Every supported system has this glibc: Ubuntu 22.04, https://packages.ubuntu.com/jammy/libc6.
_GLIBC = "2.35"


@dataclass(frozen=True)
class Locked:
    """A lock that was written.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    tool, version : str
        What it is for.
    packages : int
        How many packages it has.
    size : int
        What they are together, in bytes.
    """

    path: Path
    tool: str
    version: str
    packages: int
    size: int

    def __repr__(self) -> str:
        return (
            f"{self.path}: {self.tool} {self.version}, {self.packages} packages ({format_bytes(self.size)})\n"
            f"Install from it: {self.command}"
        )

    @property
    def command(self) -> str:
        """The command that installs from it, in the folder that the file is in."""
        has_version = f"{self.tool}_version" in catalog.role(self.tool).options
        version = f" --version {self.version}" if has_version else ""
        return f"provision run {self.tool} --origin conda{version} --lock {shlex.quote(self.path.name)}"

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: plain values only."""
        return {**asdict(self), "path": str(self.path), "command": self.command}


def lock(
    tool: str,
    version: str | None = None,
    output: str | os.PathLike | None = None,
    channels: Sequence[str] | None = None,
) -> Locked:
    """Solve for a tool's conda packages and write them to a lock, with their addresses and digests.

    Parameters
    ----------
    tool : str
        A role with the origin ``conda``, such as ``"mrtrix3"``. Its own lock says which packages are asked for.
    version : str, optional
        The version of the tool's package (default: that of the role's own lock).
    output : path-like, optional
        The new file (default: ``TOOL.lock.json`` here). One that exists is replaced.
    channels : sequence of str, optional
        Names, addresses or folders of channels, the preferred first (default: those of the role's own lock).

    Returns
    -------
    Locked
        The file, and how many packages of which size it lists.

    Raises
    ------
    OptionError
        If the role does not exist or has no lock, or the folder of the file does not exist.
    ProvisionError
        If py-rattler is not installed, a channel cannot be read, or nothing fits together.

    Examples
    --------
    >>> lock("mrtrix3")  # doctest: +SKIP
    mrtrix3.lock.json: mrtrix3 3.0.8, 17 packages (32 MB)
    """
    asked = _of_the_role(tool)
    path = absolute(output or f"{tool}.lock.json")
    if not path.parent.is_dir():
        raise OptionError(f"There is no folder {path.parent}.", hint="Create it first.", code="no-folder")
    extras.require("lock", "Locks", "rattler")
    first, *others = asked["specs"]  # the tool's version is that of the first
    specs = [first if version is None else f"{_name(first)} =={version}", *others]
    used = list(channels or asked["channels"])
    left_out = dict(name.split(" ", 1) for name in asked["without"])
    records = [record for record in _solved(used, specs, left_out) if record.name.normalized not in left_out]
    found = next(str(record.version) for record in records if record.name.normalized == _name(first))
    entries = [_entry(record) for record in records]
    made = {**asked, "version": found, "channels": used, "specs": specs, "packages": entries}
    files.write_text(str(path), json.dumps(made, indent=1) + "\n")
    return Locked(path, tool, found, len(entries), sum(entry["size"] for entry in entries))


def _of_the_role(tool: str) -> dict[str, Any]:
    """Return a role's own lock."""
    path = content.root() / "roles" / catalog.role(tool).name / "files" / FILE
    if not path.is_file():
        locked = [name for name in catalog.roles() if (content.root() / "roles" / name / "files" / FILE).is_file()]
        raise unknown("lock", tool, locked, code="no-lock")
    return json.loads(path.read_text("utf-8"))


def _name(spec: str) -> str:
    return spec.partition(" ")[0]


def _solved(channels: Sequence[str], specs: Sequence[str], left_out: Mapping[str, str]) -> list[rattler.RepoDataRecord]:
    """Return the packages that fit together, each after those that it needs."""
    import rattler
    from rattler import exceptions

    def solve() -> list[rattler.RepoDataRecord]:
        found = [rattler.Channel(name) for name in channels]
        platforms: list = [_PLATFORM, "noarch"]
        return asyncio.run(rattler.solve(found, list(specs), platforms=platforms, virtual_packages=_machine(left_out)))

    try:
        with ThreadPoolExecutor(1) as pool:  # a notebook's own thread has a running loop
            records = pool.submit(solve).result()
    except (exceptions.SolverError, exceptions.InvalidMatchSpecError, exceptions.InvalidChannelError) as error:
        raise _refused(specs, channels, error, code="no-solution") from error
    except (
        exceptions.GatewayError,
        exceptions.FetchRepoDataError,
        exceptions.IoError,
        exceptions.InvalidUrlError,
    ) as error:
        raise _refused(specs, channels, error, code="unreachable") from error
    every: list[rattler.PackageRecord] = list(records)
    order = [record.name.normalized for record in rattler.PackageRecord.sort_topologically(every)]
    return sorted(records, key=lambda record: order.index(record.name.normalized))


def _refused(specs: Sequence[str], channels: Sequence[str], error: Exception, *, code: str) -> ProvisionError:
    said = " ".join(str(error).split()).rstrip(".")
    return ProvisionError(
        f"{', '.join(specs)} cannot be had from {', '.join(channels)}: {said}.",
        hint="Check the version, the channels and the network.",
        code=code,
    )


def _machine(left_out: Mapping[str, str]) -> list[rattler.GenericVirtualPackage]:
    """Return what every machine that the lock is for has; what is left out counts as being there."""
    import rattler

    there = {"__unix": "0", "__linux": "0", "__glibc": _GLIBC, "__archspec": "1", **left_out}
    return [
        rattler.GenericVirtualPackage(
            rattler.PackageName(name),
            rattler.Version(version),
            rattler.BuildString(_MICROARCHITECTURE if name == "__archspec" else "0"),
        )
        for name, version in there.items()
    ]


def _entry(record: rattler.RepoDataRecord) -> dict[str, Any]:
    """Return a package's entry in a lock."""
    digests: Mapping[str, bytes | None] = {"sha256": record.sha256, "md5": None if record.sha256 else record.md5}
    return {
        "name": record.name.normalized,
        "url": record.url,
        **{kind: digest.hex() for kind, digest in digests.items() if digest},
        "size": record.size or 0,
        "licence": record.license or "",
    }
