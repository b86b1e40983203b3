"""An installation, a store that it is packed into, and looks at what came of it."""

import builtins
import io
import json
import os
import random
import shutil
import tarfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from plugins.module_utils.provision.store import manifest as manifests
from plugins.module_utils.provision.store import pack as packing
from plugins.module_utils.provision.store import zstd
from plugins.module_utils.provision.store.errors import BadArchive
from plugins.module_utils.provision.store.names import key_of
from plugins.module_utils.provision.store.read import read_archive

MANIFEST = {
    "tool": "mrtrix3", "version": "3.0.8", "release": "debian-12", "arch": "x86_64", "cpu": "x86-64-v3",
    "glibc": "2.36", "asked": [], "commands": ["dwi2response", "mrinfo"], "complete": True, "repo": "here",
    "build_seconds": 7.5,
}  # fmt: skip
KEY = "mrtrix3-3.0.8-debian12-x86_64-x86-64-v3"


@pytest.fixture
def prefix(tmp_path):
    """An installation with one of each that an archive has to carry."""
    folder = tmp_path / "prefix"
    noise = random.Random(1).randbytes(700_000)
    for name, held, mode in (
        ("bin/mrinfo", b"#!/bin/sh\n", 0o755),
        ("lib/bundled/libfftw3.so.3", noise, 0o644),
        ("lib/mrtrix3/__init__.py", b"", 0o644),
        ("lib/mrtrix3/__pycache__/app.pyc", b"old", 0o644),
        ("share/" + "long/" * 40 + "name", b"words " * 99, 0o600),
        ("share/Schädel", b"\0", 0o744),
        (".provision.json", b"{}", 0o644),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(held)
        (folder / name).chmod(mode)
    (folder / "bin/alias").symlink_to("mrinfo")
    (folder / "lib/libfftw3.so").symlink_to("bundled/libfftw3.so.3")
    (folder / "share/libraries").symlink_to("../lib/bundled")
    return folder


@pytest.fixture
def shelf(tmp_path):
    """The folder of a store that is not made yet."""
    return tmp_path / "store"


def pack(prefix, shelf, **changes):
    return packing.pack(str(prefix), str(shelf), {**MANIFEST, **changes})


def content_of(folder):
    """Return {name: what it is} of the files and links in a folder."""
    found = {}
    for path in Path(folder).rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def carried(folder):
    """Return what of an installation has to come out of its archive."""
    found = content_of(folder)
    return {name: what for name, what in found.items() if "__pycache__" not in name and name != ".provision.json"}


def visible(shelf):
    return sorted(name for name in os.listdir(shelf) if not name.startswith("."))


def unpacked(path, folder):
    """Read an archive into a new folder and return what is in it, but for the manifest."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    read_archive(str(path), str(folder))
    found = content_of(folder)
    del found[manifests.MANIFEST]
    return found


def plain(name, content=b"x", **headers):
    member = tarfile.TarInfo(name)
    member.size, member.pax_headers = len(content), headers
    return member, content


def tar_of(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def frame_of(content):
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def told(members, **changes):
    """Return a manifest that is right for such members."""
    return {**MANIFEST, "created": 1.0, "unpacked": sum(member.size for member, _ in members), **changes}


def crafted(shelf, *members, first=None, **changes):
    """Write an archive with a right manifest first, or with that first member, and return its path."""
    manifest = told(members, **changes)
    shelf.mkdir(exist_ok=True)
    path = shelf / f"{key_of(manifest)}.tar.zst"
    first = first or plain(manifests.MANIFEST, json.dumps(manifest).encode())
    path.write_bytes(frame_of(tar_of(first, *members)))
    return str(path)


def flip(content, at, bit=1):
    return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


# What changes a folder, and what only looks into it.
CHANGES = ("open", "mkdir", "replace", "unlink", "chmod")
LOOKS = ("listdir", "stat")


class _File:
    """A file of a store that fails: each transfer is a step."""

    def __init__(self, file, step):
        self._file, self._step = file, step

    def read(self, *size):
        self._step()
        return self._file.read(*size)

    def write(self, data):
        self._step()
        return self._file.write(data)

    def flush(self):
        self._step()
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


@contextmanager
def failing(folder, code, after, looks=True):
    """Let the system's calls on what is in a folder fail from one of them on; give the list of those that failed."""
    count, failed = [0], []

    def step(path=""):
        count[0] += 1
        if count[0] > after:
            failed.append(path)
            raise OSError(code, os.strerror(code), path or None)

    def wrap(real):
        def call(path, *args, **kwargs):
            if not isinstance(path, int) and os.fspath(path).startswith(str(folder)):
                step(os.fspath(path))
            return real(path, *args, **kwargs)

        return call

    def open_(path, mode="r", *args, real=open, **kwargs):
        if isinstance(path, int) or not os.fspath(path).startswith(str(folder)) or not (looks or set(mode) & set("wa")):
            return real(path, mode, *args, **kwargs)
        step(os.fspath(path))
        file = real(path, mode, *args, **kwargs)
        return _File(file, step) if "b" in mode else file

    def sync(descriptor, real=os.fsync):
        step()
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        for name in (*CHANGES, *(LOOKS if looks else ())):
            patch.setattr(os, name, wrap(getattr(os, name)))
        patch.setattr(builtins, "open", open_)
        patch.setattr(os, "fsync", sync)
        yield failed


def use(unpacker, monkeypatch):
    """Unpack with the package, or with the system's library as a Python does that has no such package."""
    if unpacker == "system":
        monkeypatch.setattr(zstd, "zstandard", None)
        try:
            zstd._decompressor()
        except zstd.ZstdError as error:
            pytest.skip(str(error))


def check_store(shelf):
    """Check that each name in a store is good, and that notes are those of their archive; return the names."""
    names = visible(shelf) if shelf.exists() else []
    for name in names:
        if name.endswith(".tar.zst"):
            found = read_archive(str(shelf / name))
            notes = shelf / f"{name[:-8]}.json"
            assert not notes.exists() or json.loads(notes.read_text()) == found
    return names


def special(name, kind, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


def link(name, target):
    return special(name, tarfile.SYMTYPE, target)


def outside(tmp_path):
    return {name: what for name, what in content_of(tmp_path).items() if not name.startswith("inner/")}


def refuse(path, tmp_path, code, value=""):
    """Check that an archive is refused, both by those who only check it and by those who unpack it."""
    inner = tmp_path / "inner"
    shutil.rmtree(inner, ignore_errors=True)
    inner.mkdir()
    before = outside(tmp_path)
    for keep in (None, str(inner)):
        with pytest.raises(BadArchive) as caught:
            read_archive(path, keep)
        assert caught.value.code == code and value in caught.value.message
    assert outside(tmp_path) == before
