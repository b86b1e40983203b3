"""A picture is the pixels it was made of, in a notebook and in a file."""

import base64
import errno
import io
import os

import numpy as np
import pytest
from PIL import Image

from provision.errors import OptionError
from provision.pictures.picture import Picture


def pixels(channels=3):
    return np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)


def read(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_picture_holds_exactly_the_pixels_it_was_made_of(channels):
    picture = Picture.of(pixels(channels), "noise")
    np.testing.assert_array_equal(read(picture.png), pixels(channels))
    assert (picture.width, picture.height) == (7, 5)


def test_pixels_that_are_a_view_of_others_are_taken_as_they_look():
    np.testing.assert_array_equal(read(Picture.of(pixels()[::-1, ::2], "").png), pixels()[::-1, ::2])


@pytest.mark.parametrize(
    "wrong",
    [pixels().astype(float), pixels()[..., 0], pixels()[..., :2], pixels()[:0]],
    ids=["float", "grey", "two channels", "empty"],
)
def test_other_arrays_are_refused_with_what_is_allowed(wrong):
    with pytest.raises(OptionError) as refused:
        Picture.of(wrong, "")
    assert refused.value.code == "bad-value"
    for value in ("uint8", "(H, W, 3)", "(H, W, 4)", str(wrong.dtype), str(wrong.shape)):
        assert value in refused.value.message


def test_a_notebook_is_given_the_png_and_the_words():
    picture = Picture.of(pixels(), "three slices")
    data, metadata = picture._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == picture._repr_png_() == picture.png
    assert metadata["image/png"]["alt"] == "three slices"


def test_it_reads_as_one_short_line():
    assert repr(Picture.of(pixels(), "three slices")) == "<Picture 7 x 5: three slices>"


def test_a_saved_picture_is_the_same_and_everybody_may_read_it(tmp_path):
    picture = Picture.of(pixels(), "")
    path = picture.save(str(tmp_path / "a.png"))
    assert path == tmp_path / "a.png"
    assert path.read_bytes() == picture.png
    assert path.stat().st_mode & 0o777 == 0o644


def test_only_png_is_written(tmp_path):
    with pytest.raises(OptionError) as refused:
        Picture.of(pixels(), "").save(tmp_path / "a.jpg")
    assert refused.value.code == "unknown-format"
    assert "a.jpg" in refused.value.message and "a.png" in refused.value.hint
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(OptionError) as refused:
        Picture.of(pixels(), "").save(tmp_path / "result" / "a.png")
    assert refused.value.code == "no-folder"
    assert str(tmp_path / "result") in refused.value.message and "'results'" in refused.value.hint


def test_a_number_of_numpys_is_a_resolution(tmp_path):
    with Image.open(Picture.of(pixels(), "").save(tmp_path / "a.png", dpi=np.int64(100))) as saved:
        assert saved.info["dpi"] == pytest.approx((100, 100), abs=0.1)


@pytest.mark.parametrize("path", [None, 5, b"a.png"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(OptionError) as refused:
        Picture.of(pixels(), "").save(path)
    assert refused.value.code == "bad-value"


def test_a_file_is_not_offered_as_a_folder(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(OptionError) as refused:
        Picture.of(pixels(), "").save(tmp_path / "results" / "a.png")
    assert refused.value.code == "no-folder" and "'results'" not in refused.value.hint


def test_a_folder_is_not_written_over(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OptionError) as refused:
        Picture.of(pixels(), "").save(tmp_path / "a.png")
    assert refused.value.code == "not-a-file" and str(tmp_path / "a.png") in refused.value.message


def test_a_file_that_cannot_be_written_whole_is_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("provision.pictures.picture.Path.replace", full)
    with pytest.raises(OSError) as failed:
        Picture.of(pixels(), "").save(tmp_path / "a.png")
    assert failed.value.errno == errno.ENOSPC
    assert (tmp_path / "a.png").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.png"]
