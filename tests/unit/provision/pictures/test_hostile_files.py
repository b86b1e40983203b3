"""Whatever a file says of itself: a picture of it is made, or one sentence says why not."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from provision.errors import OptionError, ProvisionError
from provision.pictures import images, slices
from provision.pictures import view as webview

from .tracks import streamlines

bounded = settings(
    max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
NIFTI = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)).to_bytes()
MIF = {
    "dim": "3,4,5", "vox": "1,1,1", "layout": "+0,+1,+2", "datatype": "Int16LE", "file": ". 300",
    "transform": "1,0,0,0", "scaling": "0,1",
}  # fmt: skip
words = some.one_of(
    some.sampled_from(["", "nan", "inf", "-1", "0", "1e400", "1e-320", "9" * 5000, "-0,+0,+1", ".. 0", "/dev/null 0",
                       "x\0y 0", "Bit", "CFloat64LE", "1,2", "3,4,5,6,7,8,9"]),
    some.text(max_size=20),
    some.lists(some.integers(-(2**70), 2**70) | some.floats(), max_size=9).map(lambda row: ",".join(map(str, row))),
)  # fmt: skip


def every_reader(path: Path, folder: Path) -> None:
    """Hand a file to all that read it; a refusal must be one of ours."""
    for read in (
        images.header, images.loaded, lambda path: images.on_disk(path, folder), seen, sample,
    ):  # fmt: skip
        try:
            read(path)
        except ProvisionError as error:
            assert "\n" not in error.message and len(error.message) < 1000


def seen(path):
    """What comes before mrpeek is started, and before a browser gets anything."""
    header = images.header(path)
    view = slices.checked(header, None, None, None, None, None, "gray", None, True, None)
    assert slices.default_zoom(header, view.plane) > 0
    item = webview._item(path, 1)
    webview._check_size(item, webview._frames(item, 0))


def sample(path):
    images.sample(images.on_disk(path, path.parent))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@bounded
@given(changes=some.lists(some.tuples(some.integers(0, 351), some.binary(min_size=1, max_size=8)), max_size=4),
       length=some.integers(0, len(NIFTI)), whole=some.booleans(), packed=some.booleans())  # fmt: skip
def test_a_changed_or_cut_nifti_is_read_or_refused(folder, changes, length, whole, packed):
    content = bytearray(NIFTI)
    for place, new in changes:
        content[place : place + len(new)] = new
    content = bytes(content) if whole else bytes(content[:length])
    path = folder / ("x.nii.gz" if packed else "x.nii")
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    every_reader(path, folder)


@bounded
@given(changes=some.dictionaries(some.sampled_from(sorted(MIF)), words, min_size=1, max_size=2))
def test_a_changed_mif_is_read_or_refused(folder, changes):
    lines = [f"{name}: {value}" for name, value in {**MIF, **changes}.items()]
    header = "\n".join(["mrtrix image", *lines, "END", ""]).encode(errors="replace")
    (folder / "x.mif").write_bytes(header.ljust(300, b"\0") + bytes(range(120)))
    every_reader(folder / "x.mif", folder)


@pytest.mark.parametrize("changes", [
    {"dim": "1" * 400}, {"dim": "5," + "1" * 400}, {"dim": "6,5,6,6,6," + "1" * 400},
    {"dim": ",".join(["1"] * 100), "layout": ",".join(f"+{axis}" for axis in range(100))},
    {"dim": "9,9,9,99999,99999,99999,99999"}, {"vox": "1e-320,1,1"}, {"vox": "1e300,1,1"}, {"vox": "1e-200,1e-200,1"},
    {"file": "/dev/null 0"},
])  # fmt: skip
def test_a_header_that_cannot_be_true_has_a_code(tmp_path, changes):
    changes = {"layout": ",".join(f"+{axis}" for axis in range(changes.get("dim", "3,4,5").count(",") + 1)), **changes}
    lines = [f"{name}: {value}" for name, value in {**MIF, **changes}.items() if name != "transform"]
    (tmp_path / "x.mif").write_text("\n".join(["mrtrix image", *lines, "END", ""]))
    with pytest.raises(OptionError) as caught:
        images.header(tmp_path / "x.mif")
        images.loaded(tmp_path / "x.mif")
    assert caught.value.code == "bad-image" and len(str(caught.value)) < 1000


def test_a_nifti_whose_numbers_begin_nowhere_has_a_code(tmp_path):
    content = bytearray(NIFTI)
    struct.pack_into("<f", content, 108, np.inf)
    for name in ("x.nii", "x.nii.gz"):
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        for read in (images.header, images.loaded, lambda path: images.on_disk(path, tmp_path)):
            with pytest.raises(OptionError) as caught:
                read(tmp_path / name)
            assert caught.value.code == "bad-image"


def test_a_header_without_an_end_is_not_read_for_ever(tmp_path):
    with gzip.open(tmp_path / "x.mif.gz", "wb", compresslevel=1) as stream:
        stream.write(b"mrtrix image\n")
        for _ in range(40):
            stream.write(b"comments: x\n" * 100_000)
    with pytest.raises(OptionError) as caught:
        images.header(tmp_path / "x.mif.gz")
    # All of it would have been read before a field could be missed.
    assert caught.value.code == "bad-image" and "'dim'" not in caught.value.message


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    os.mkfifo(tmp_path / "pipe")
    lines = [f"{name}: {value}" for name, value in {**MIF, "file": "pipe 0"}.items() if name != "transform"]
    (tmp_path / "x.mih").write_text("\n".join(["mrtrix image", *lines, "END", ""]))
    for name in ("pipe.nii", "x.mih"):
        with pytest.raises(OptionError):
            images.loaded(tmp_path / name)


# Tracks

JUNK = [b"x", b"hello", bytes(5), b"TRACK\0", b"PK\x03\x04 a zip?", bytes(2000), b"\x1f\x8b broken"]


@pytest.mark.parametrize("name", [f"a{ending}" for ending in webview.TRACKS if ending != ".tck"])
def test_tracks_of_other_programs_are_taken_and_junk_is_not(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(streamlines(name))
    webview._check_tracks(path)
    for content in (*JUNK, *map(gzip.compress, JUNK)):
        path.write_bytes(content)
        with pytest.raises(OptionError) as caught:
            webview._check_tracks(path)
        assert caught.value.code == "bad-tracks"


def tck(header: str) -> bytes:
    points = np.array([[0, 0, 0], [1, 1, 1], [np.nan] * 3, [np.inf] * 3], "<f4")
    return header.encode(errors="replace").ljust(200, b"\0") + points.tobytes()


@pytest.mark.parametrize("header", [
    "mrtrix tracks\ndatatype: Float32LE\ncount: 1\nfile: . 200\nEND\n",
    "mrtrix tracks\ndatatype:Float32LE\ncount:1\nfile:. 200\nEND\n",
    "mrtrix tracks\r\ndatatype: Float32LE\r\ncount: 1\r\nfile: . 200\r\nEND\r\n",
    "mrtrix tracks    \n# a comment\ndatatype: Float32LE # or so\nfile: .   200\nEND\n",
])  # fmt: skip
def test_headers_of_tracks_are_read_as_mrtrix3_reads_them(tmp_path, header):
    (tmp_path / "a.tck").write_bytes(tck(header))
    sent = webview._plain_tck(webview._item(tmp_path / "a.tck", 1))
    assert sent[64:] == tck("")[200:]


@bounded
@given(place=words, datatype=words | some.just("Float32LE"), length=some.integers(0, 260))
def test_tracks_with_any_header_are_read_or_refused(folder, place, datatype, length):
    content = tck(f"mrtrix tracks\ndatatype: {datatype}\nfile: {place}\nEND\n")[:length]
    (folder / "x.tck").write_bytes(content)
    try:
        webview._plain_tck(webview._item(folder / "x.tck", 1))
    except ProvisionError as error:
        assert len(error.message) < 1000
