"""Made-up conda packages, in the folders of a channel."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zstandard
from waiting import wait_until

PLACEHOLDER = "/placehold" * 25  # as long as conda-build's, 255 less a few


def made(
    channel: Path,
    name: str,
    files: Mapping[str, bytes | str | tuple[str, bytes]],
    *,
    version: str = "1.0",
    platform: str = "linux-64",
    suffix: str = ".conda",
    depends: tuple[str, ...] = (),
    info: Mapping[str, Any] | None = None,
    members: Mapping[str, bytes | str] | None = None,
) -> dict[str, Any]:
    """Write a package and return its entry in a lock.

    A file is its content, the target of a link (text), or the mode of its placeholder, "text" or "binary", and its
    content. `members` are further members of the archive, which its list of files does not have.
    """
    contents = {path: what[1] if isinstance(what, tuple) else what for path, what in files.items()}
    index = {
        "name": name, "version": version, "build": "0", "build_number": 0, "depends": list(depends),
        "subdir": platform, "timestamp": 0, **({"noarch": "python"} if info and "link.json" in info else {}),
    }  # fmt: skip
    paths = [_path(path, what) for path, what in files.items()]
    texts = {"index.json": index, "paths.json": {"paths": paths, "paths_version": 1}, **(info or {})}
    about = {f"info/{path}": _text(what) for path, what in texts.items() if what is not None}
    package = channel / platform / f"{name}-{version}-0{suffix}"
    package.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".conda":
        _write_conda(package, {**contents, **(members or {})}, about)
    else:
        package.write_bytes(bz2.compress(_tar({**contents, **(members or {}), **about})))
    return entry(name, package)


def entry(name: str, package: Path) -> dict[str, Any]:
    """Return the entry of a package in a lock."""
    data = package.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return {"name": name, "url": package.as_uri(), "sha256": sha256, "size": len(data), "licence": "MIT"}


def lock(tool: str, *packages: dict[str, Any], version: str = "1.0", platform: str = "linux-64") -> dict[str, Any]:
    """Return the lock of a tool."""
    return {"tool": tool, "version": version, "platform": platform, "packages": list(packages)}


def _path(path: str, what: bytes | str | tuple[str, bytes]) -> dict[str, Any]:
    if isinstance(what, str):
        return {"_path": path, "path_type": "softlink"}
    relocated = {"prefix_placeholder": PLACEHOLDER, "file_mode": what[0]} if isinstance(what, tuple) else {}
    data = what[1] if isinstance(what, tuple) else what
    digest = {"sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data)}
    return {"_path": path, "path_type": "hardlink", **digest, **relocated}


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _tar(members: Mapping[str, bytes | str]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname, content = tarfile.SYMTYPE, content, b""
            elif name.startswith(("bin/", "python-scripts/")):
                member.mode = 0o755
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return whole.getvalue()


def _write_conda(package: Path, contents: Mapping[str, bytes | str], about: Mapping[str, bytes]) -> None:
    packed = zstandard.ZstdCompressor().compress
    with zipfile.ZipFile(package, "w") as outer:
        outer.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        outer.writestr(f"pkg-{package.stem}.tar.zst", packed(_tar(contents)))
        outer.writestr(f"info-{package.stem}.tar.zst", packed(_tar(about)))


def serve(box: Any) -> None:
    """Serve /srv/mirror of a test's machine on its port 8002; return when that listens. /srv/asked says who asked."""
    program = "python3 -u -m http.server 8002 --bind 127.0.0.1 --directory /srv/mirror"
    box.run(f"nohup {program} > /srv/asked 2>&1 &")
    wait_until(lambda: "Serving" in box.run("cat /srv/asked", check=False).stdout)
