"""Tar archives that would fill the memory."""

import tarfile
import tracemalloc

import pytest

from plugins.module_utils.provision.store import members, tar
from plugins.module_utils.provision.store.tar import TarReader

from ..unit.plugins.module_utils.store.blocks import extended, header, plain, record


@pytest.mark.parametrize(
    "endless",
    [
        extended(content=record("comment", "x" * 60_000)),
        extended(content=b"".join(record(f"a{number}", "") for number in range(500))),
        header("h", tarfile.GNUTYPE_LONGNAME, 512) + b"a" * 512,
        plain("a"),
    ],
    ids=["one word", "many words", "names", "members"],
)
def test_what_never_ends_comes_to_an_end_and_fills_no_memory(endless, monkeypatch):
    monkeypatch.setattr(tar, "_MEMBERS_LIMIT", 2000)
    monkeypatch.setattr(tar, "_HEADERS_LIMIT", 1 << 20)
    tracemalloc.start()
    with pytest.raises(tarfile.ReadError):
        for _ in TarReader(_Repeated(endless)):
            pass
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


class _Repeated:
    def __init__(self, content):
        self._content, self._at = content, 0

    def read(self, size):
        many = self._content * (size // len(self._content) + 2)
        data = many[self._at : self._at + size]
        self._at = (self._at + size) % len(self._content)
        return data


def test_names_of_many_folders_do_not_fill_the_memory():
    known = members.Members()
    tracemalloc.start()
    with pytest.raises(members.UnsafeError) as caught:
        for number in range(1000):
            known.check(tarfile.TarInfo(f"{number}/" + "a/" * 1900 + "a"))
    assert str(members._MOST_NAMES) in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 200_000_000
    tracemalloc.stop()
