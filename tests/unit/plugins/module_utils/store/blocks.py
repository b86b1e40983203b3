"""The blocks of a tar archive, whatever they say."""

import io
import tarfile

from plugins.module_utils.provision.store.tar import TarReader

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name, kind=tarfile.REGTYPE, size=0, link="", mode=0o644, mtime=0):
    """Return the header of a member, whatever it says of it."""
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname, member.mode, member.mtime = kind, size, link, mode, mtime
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(content):
    return content + bytes(-len(content) % BLOCK)


def plain(name, content=b"x", mode=0o644):
    return header(name, size=len(content), mode=mode) + padded(content)


def record(keyword, value):
    rest = f" {keyword}={value}\n".encode("utf-8", "surrogateescape")
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def extended(kind=tarfile.XHDTYPE, content=None, **records):
    content = b"".join(record(*one) for one in records.items()) if content is None else content
    return header("h", kind, len(content)) + padded(content)


def read(content):
    """Return [(name, content)] of an archive that is read to its end."""
    tar = TarReader(io.BytesIO(content))
    return [(member.name, b"".join(tar.blocks())) for member in tar]
