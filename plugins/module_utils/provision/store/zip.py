"""Reading a zip archive with the interface of `TarReader`."""

from __future__ import annotations

import stat
import tarfile
import time
import zipfile

_BLOCK = 1 << 20
_TYPES = {stat.S_IFLNK: tarfile.SYMTYPE, stat.S_IFREG: tarfile.REGTYPE, 0: tarfile.REGTYPE}
_UNIX = 3  # APPNOTE.TXT, 4.4.2.2


class ZipReader:
    """The members of a zip archive, in order; `blocks` reads the current one."""

    def __init__(self, file):
        self._zip, self._info = zipfile.ZipFile(file), None

    def __iter__(self):
        for info in self._zip.infolist():
            self._info = info
            yield self._member(info)

    def blocks(self):
        """Yield the content of the current member; raise zipfile.BadZipFile if its checksum is wrong."""
        with self._zip.open(self._info) as file:
            yield from iter(lambda: file.read(_BLOCK), b"")

    def _member(self, info):
        member = tarfile.TarInfo(info.filename)
        mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
        member.type = tarfile.DIRTYPE if info.is_dir() else _TYPES.get(stat.S_IFMT(mode), tarfile.CHRTYPE)
        member.size, member.mode = info.file_size, stat.S_IMODE(mode)
        member.mtime = time.mktime((*info.date_time, 0, 0, -1))
        if info.flag_bits & 1:
            raise zipfile.BadZipFile("it is protected with a password")
        if member.issym():
            member.linkname = self._zip.read(info).decode("utf-8", "surrogateescape") if info.file_size < 4096 else ""
        return member
