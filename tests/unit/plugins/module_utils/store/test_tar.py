"""Tar archives that are read with bounds."""

import io
import tarfile

import pytest

from plugins.module_utils.provision.store.tar import TarReader

from .blocks import BLOCK, END, extended, header, plain, read, record

# --- What tar itself writes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_any_tar_writes_is_read(form):
    names = ["a", "long/" * 30 + "name", "empty"] + (["Schädel", "n" * 250] if form != tarfile.USTAR_FORMAT else [])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = 0 if name == "empty" else 700 * number + 1
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    assert [(name, len(content)) for name, content in read(buffer.getvalue())] == [
        (name, 0 if name == "empty" else 700 * number + 1) for number, name in enumerate(names)
    ]


# --- Bounds -----------------------------------------------------------------------------------------------------------


class Endless:
    """A file with a beginning, and zeros after it for ever; more than is asked for with reason is a failure."""

    def __init__(self, start):
        self._start = io.BytesIO(start)

    def read(self, size):
        assert size <= 1 << 16, f"{size} bytes are to be read at once"
        data = self._start.read(size)
        return data + bytes(size - len(data))


@pytest.mark.parametrize("kind", [*b"xgLKX"])
@pytest.mark.parametrize("size", [1 << 17, 1_500_000_000, (1 << 63) - 1])
def test_a_header_that_is_too_long_is_not_read(kind, size):
    with pytest.raises(tarfile.ReadError):
        TarReader(Endless(header("h", bytes([kind]), size))).next()


@pytest.mark.parametrize(
    "content",
    [
        extended(content=b"abc"),
        extended(content=b"9999 path=x\n"),
        extended(content=b"0 path=x\n"),
        extended(content=b"11 path=x\n"),
        extended(content=b"8 =abcd\n"),
        extended(content=record("size", "-5")),
        extended(content=record("size", "many")),
        extended(content=record("size", "9" * 4000)),
        extended(content=record("mtime", "nan")),
        extended(content=record("mtime", "inf")),
        extended(content=record("mtime", "1e300")),
        extended(content=record("GNU.sparse.major", "1")),
        header("a", tarfile.GNUTYPE_SPARSE),
        b"\xff" * BLOCK,
        bytes(100) + b"7" * 412,
    ],
    ids=range(15),
)
def test_a_header_that_makes_no_sense_is_the_archives_fault(content):
    with pytest.raises(tarfile.TarError):
        read(content + plain("a") + END)
