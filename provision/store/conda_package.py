"""A build as a conda package, for a channel or ``conda install FILE``."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from provision.errors import OptionError
from provision.machine.conda.lock import PLATFORMS
from provision.machine.store.zstd import compressor

SUFFIX = ".conda"

_CONTENT = ("bin", "lib", "share")  # what is needed to run it, not to build modules against it
_LEVEL = 19  # packages are packed once and fetched often
# conda-forge's packages that make a solver check the processor, as all its builds for a level do.
_MICROARCHITECTURE = {"x86-64": 0, "x86-64-v2": 2, "x86-64-v3": 3, "x86-64-v4": 4, "armv8-a": 0}
_LICENCES = {"mrtrix3": "MPL-2.0", "mrpeek": "MPL-2.0"}


def file_name(manifest: Mapping[str, Any]) -> str:
    """Return the name of the package of a build, as conda names packages: name, version, build."""
    return f"{manifest['tool']}-{_version(manifest)}-{_build(manifest)}{SUFFIX}"


def pack(manifest: Mapping[str, Any], folder: Path, package: Path) -> None:
    """Write an unpacked build as a conda package; refuse a build whose processor no package can require."""
    # The format: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
    index = _index(manifest)
    stem = file_name(manifest).removesuffix(SUFFIX)
    paths = sorted(
        path for top in _CONTENT for path in (folder / top).rglob("*") if path.is_symlink() or path.is_file()
    )
    info = {
        "index.json": index,
        "paths.json": {"paths": [_path(path, folder) for path in paths], "paths_version": 1},
        "about.json": {"license": index["license"], "summary": f"{manifest['tool']}, built by provision"},
        "provision.json": dict(manifest),
    }
    with zipfile.ZipFile(package, "w") as outer:
        outer.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        outer.writestr(f"pkg-{stem}.tar.zst", _packed(_files(paths, folder, index["timestamp"])))
        outer.writestr(f"info-{stem}.tar.zst", _packed(_texts(info, index["timestamp"])))


def _version(manifest: Mapping[str, Any]) -> str:
    return re.sub(r"[^A-Za-z0-9._]", "_", manifest["version"])


def _build(manifest: Mapping[str, Any]) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", f"{manifest['release']}_{manifest['cpu']}_0")


def _index(manifest: Mapping[str, Any]) -> dict[str, Any]:
    level = _MICROARCHITECTURE.get(manifest["cpu"])
    if level is None:
        raise OptionError(
            f"This build is for one processor ({manifest['cpu']}), which a conda package cannot require.",
            hint="Build it for a level, such as x86-64-v3.",
            code="other-machine",
        )
    platform = PLATFORMS[manifest["arch"]]
    needs = [f"__glibc >={manifest['glibc']}", "python >=3.9"]
    return {
        "name": manifest["tool"],
        "version": _version(manifest),
        "build": _build(manifest),
        "build_number": 0,
        "depends": [*needs, *([f"_x86_64-microarch-level >={level}"] if level else [])],
        "license": _LICENCES.get(manifest["tool"], ""),
        "platform": platform.partition("-")[0],
        "arch": manifest["arch"],
        "subdir": platform,
        "timestamp": int(manifest["created"] * 1000),
    }


def _path(path: Path, folder: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    data = b"" if path.is_symlink() and not path.is_file() else path.read_bytes()
    kind = "softlink" if path.is_symlink() else "hardlink"
    return {"_path": name, "path_type": kind, "sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data)}


def _files(paths: list[Path], folder: Path, stamp: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for path in paths:
        member = tarfile.TarInfo(path.relative_to(folder).as_posix())
        member.mtime = stamp // 1000
        if path.is_symlink():
            member.type, member.linkname, data = tarfile.SYMTYPE, str(path.readlink()), b""
        else:
            member.mode, data = path.stat().st_mode & 0o777, path.read_bytes()
        member.size = len(data)
        yield member, data


def _texts(files: Mapping[str, Any], stamp: int) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for name, value in files.items():
        member, data = tarfile.TarInfo(f"info/{name}"), json.dumps(value, indent=1).encode()
        member.size, member.mtime = len(data), stamp // 1000
        yield member, data


def _packed(members: Iterator[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    frame, plain = compressor(_LEVEL), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return frame.compress(plain.getvalue()) + frame.flush()
