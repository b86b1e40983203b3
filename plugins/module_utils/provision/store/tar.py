"""Reading a tar archive that may be hostile, with the standard library only."""

# tarfile reads headers of any length, replaces a link that it cannot make with another member of that name, and accepts
# an archive without its end. Here sizes are checked first, and the end must be present.

from __future__ import annotations

import tarfile

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 18
_HEADER_LIMIT = 1 << 16  # bytes of one header: a name has at most 4095, PATH_MAX of Linux
_HEADERS_LIMIT = 1 << 24  # bytes of all headers together
_MEMBERS_LIMIT = 200_000
_PADDING_LIMIT = 1 << 22  # zeros after the end: tar fills up a record, of 10 kB by default
_TIME_LIMIT = 1 << 40

_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_KEYWORDS = (b"path", b"linkpath", b"size", b"mtime", b"provision.mtime")  # the pax keywords that are read
_SPARSE = "GNU.sparse"
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)


class CutOffError(tarfile.ReadError):
    """A truncated archive."""

    code = "cut-off"


class TarReader:
    """The members of a tar archive, in order, from a file read once; tarfile.TarError unless it is complete."""

    def __init__(self, file):
        self._file, self._left, self._padding = file, 0, 0
        self._count, self._header_bytes, self._defaults = 0, 0, {}

    def __iter__(self):
        return iter(self.next, None)

    def next(self):
        """Return the next member, a `tarfile.TarInfo`, None at the end; the rest of the previous one is skipped."""
        for _rest in self.blocks():
            pass
        self._exactly(self._padding)
        self._padding = 0
        extended = {}
        while True:
            member = self._member()
            if member is None:
                if extended:
                    raise CutOffError("it ends after a header")
                return None
            self._count += 1
            if self._count > _MEMBERS_LIMIT:
                raise tarfile.ReadError(f"it has more than {_MEMBERS_LIMIT} members")
            if member.type in _LONG:
                extended.setdefault(_LONG[member.type], _text(self._header(member).partition(b"\0")[0]))
            elif member.type in _PAX:
                extended.update(_records(self._header(member)))
            elif member.type == tarfile.XGLTYPE:
                self._defaults.update(_records(self._header(member)))
            else:
                return self._begun(_extend(member, {**self._defaults, **extended}))

    def blocks(self):
        """Yield the unread content of the current member, block by block."""
        while self._left:
            yield self.read(_PIECE)

    def read(self, size):
        """Return the next bytes of the current member, fewer at its end."""
        data = self._exactly(min(size, self._left))
        self._left -= len(data)
        return data

    def _exactly(self, size):
        data = self._file.read(size) if size else b""
        if len(data) < size:
            raise CutOffError("it ends too early")
        return data

    def _member(self):
        """Return the member in the next header, None at the end of the archive."""
        block = self._exactly(_BLOCK)
        if block.count(0) == _BLOCK:
            self._check_end()
            return None
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")

    def _check_end(self):
        """Raise ReadError unless a second empty block follows, and only zeros after it."""
        rest, padding = self._exactly(_BLOCK), 0
        while rest:
            padding += len(rest)
            if rest.count(0) != len(rest) or padding > _PADDING_LIMIT:
                raise tarfile.ReadError("there is data after its end")
            rest = self._file.read(_PIECE)

    def _header(self, member):
        """Return the content of an extended header."""
        self._header_bytes += member.size
        if not 0 <= member.size <= _HEADER_LIMIT or self._header_bytes > _HEADERS_LIMIT:
            raise tarfile.ReadError("it has a header that is far too long")
        return self._exactly(member.size + -member.size % _BLOCK)[: member.size]

    def _begun(self, member):
        """Return a member, whose content comes next."""
        if member.size < 0 or not abs(member.mtime) <= _TIME_LIMIT:  # written so that NaN fails as well
            raise tarfile.ReadError("it has a member with an impossible size or time")
        if member.type == tarfile.GNUTYPE_SPARSE or _SPARSE in member.pax_headers:
            raise tarfile.ReadError(f"its member {member.name!r} is a sparse file")
        if not member.isreg():
            member.size = 0  # for anything else it does not describe the content
        self._left, self._padding = member.size, -member.size % _BLOCK
        return member


def _text(data):
    return data.decode("utf-8", "surrogateescape")


def _records(data):
    """Return the relevant records of a pax header, each ``length keyword=value`` and a newline."""
    found, at = {}, 0
    while at < len(data):
        digits, blank, _rest = data[at : at + 8].partition(b" ")
        if not (blank and digits.isdigit()):
            raise tarfile.ReadError("it has a header that makes no sense")
        record = data[at : at + int(digits)]
        keyword, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if len(record) != int(digits) or not (equals and keyword) or record[-1:] != b"\n":
            raise tarfile.ReadError("it has a header that makes no sense")
        if keyword in _KEYWORDS:
            found[_text(keyword)] = _text(value)
        elif keyword.startswith(_SPARSE.encode()):
            found[_SPARSE] = ""
        at += len(record)
    return found


def _extend(member, headers):
    """Return a member, updated from its extended headers."""
    member.pax_headers = headers
    member.name = headers.get("path", member.name)
    member.linkname = headers.get("linkpath", member.linkname)
    try:
        if "size" in headers:
            member.size = int(headers["size"][:20])
        if "mtime" in headers:
            member.mtime = float(headers["mtime"])
    except ValueError as error:
        raise tarfile.ReadError("it has a header with an invalid number") from error
    return member
