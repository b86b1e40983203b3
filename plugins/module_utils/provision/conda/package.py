"""Unpacking a conda package, which may be hostile."""

from __future__ import annotations

import zipfile

from ..store.members import BROKEN, extract_all, unpack
from ..store.tar import TarReader
from ..store.zstd import Reader

_SUFFIX = ".tar.zst"


def unpack_package(path, folder):
    """Unpack a ``.conda`` or ``.tar.bz2`` package into an empty folder; ValueError unless complete and safe."""
    if not zipfile.is_zipfile(path):
        unpack(path, folder)
        return
    try:
        extract_all(_tars(path), folder)
    except BROKEN as error:
        raise ValueError(f"{path} cannot be unpacked: {error}") from error


def _tars(path):
    """Yield a reader for each tar archive in a ``.conda`` package, a zip file that holds them compressed."""
    with zipfile.ZipFile(path) as outer:
        names = [name for name in outer.namelist() if name.endswith(_SUFFIX)]
        if not names:
            raise ValueError("it holds no tar archive")
        for name in names:
            with outer.open(name) as packed:
                tar = Reader(packed)
                yield TarReader(tar)
                tar.finish()
