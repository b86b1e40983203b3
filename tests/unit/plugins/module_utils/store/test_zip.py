"""Zip archives: what is refused, and how what is in them is written."""

import errno
import os
import stat
import zipfile
from types import SimpleNamespace

import pytest

from plugins.module_utils.provision.store.members import UnsafeError, unpack

LINK, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666


def zipped(path, members):
    """Make an archive of (name, what it holds, mode)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text, mode in members:
            member = zipfile.ZipInfo(name)
            member.create_system, member.external_attr = 3, mode << 16
            made.writestr(member, text)
    return str(path)


def test_what_is_in_it_is_written_with_plain_modes(tmp_path):
    made = zipped(
        tmp_path / "a.zip",
        [
            ("top/", "", stat.S_IFDIR | 0o777),
            ("top/bin/run", "#!/bin/sh\n", stat.S_IFREG | 0o4775),
            ("top/share/text", "words", stat.S_IFREG | 0o666),
            ("top/bin/alias", "run", LINK),
        ],
    )
    (tmp_path / "in").mkdir()
    unpack(made, str(tmp_path / "in"))
    top = tmp_path / "in/top"
    assert (top / "bin/run").read_text() == "#!/bin/sh\n" and (top / "share/text").read_text() == "words"
    modes = {name: stat.S_IMODE((top / name).stat().st_mode) for name in ("bin", "bin/run", "share/text")}
    assert modes == {"bin": 0o755, "bin/run": 0o755, "share/text": 0o644}
    assert os.readlink(top / "bin/alias") == "run"


@pytest.mark.parametrize(
    "member",
    [
        ("../out", "x", stat.S_IFREG | 0o644),
        ("/out", "x", stat.S_IFREG | 0o644),
        ("door", "../..", LINK),
        ("door", "/etc", LINK),
        ("device", "", DEVICE),
    ],
)
def test_what_would_get_out_of_the_folder_is_refused_and_nothing_of_it_is_written(tmp_path, member):
    made = zipped(tmp_path / "a.zip", [member])
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError) as caught:
        unpack(made, str(tmp_path / "in"))
    assert isinstance(caught.value.__cause__, UnsafeError) and repr(member[0]) in str(caught.value)
    assert os.listdir(tmp_path / "in") == [] and sorted(os.listdir(tmp_path)) == ["a.zip", "in"]


def test_nothing_is_written_through_a_link_of_the_same_archive(tmp_path):
    made = zipped(tmp_path / "a.zip", [("door", "inner", LINK), ("door/key", "x", stat.S_IFREG | 0o644)])
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError) as caught:
        unpack(made, str(tmp_path / "in"))
    assert isinstance(caught.value.__cause__, UnsafeError) and "door/key" in str(caught.value)


@pytest.mark.parametrize("at", [40, 60, -5])
def test_what_is_damaged_is_refused(tmp_path, at):
    made = zipped(tmp_path / "a.zip", [("text", "words" * 99, stat.S_IFREG | 0o644)])
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[at] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data[: at if at == -5 else None])
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError) as caught:
        unpack(made, str(tmp_path / "in"))
    assert made in str(caught.value) and not isinstance(caught.value.__cause__, UnsafeError)


def test_what_is_larger_than_the_disk_is_not_begun(tmp_path, monkeypatch):
    made = zipped(tmp_path / "a.zip", [("text", "words" * 99, stat.S_IFREG | 0o644)])
    (tmp_path / "in").mkdir()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=9, total=10))
    with pytest.raises(OSError) as caught:
        unpack(made, str(tmp_path / "in"))
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path / "in") == []
