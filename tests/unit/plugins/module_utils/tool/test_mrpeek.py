"""The picture that a viewer has to draw before it is put in its place."""

import os

import pytest

from plugins.module_utils.provision.tool import mrpeek as module
from plugins.module_utils.provision.tool.install import InstallError

SIXEL = b"text \x1bPq#0;2;0;0;0\x1b\\ text"
RIGHT = list(range(70, -10, -10))


def told(monkeypatch, rows, data=SIXEL):
    monkeypatch.setattr(module, "decode", lambda *_: rows)
    return module.wrong_in_picture(data, "libsixel.so.1")


def test_the_image_is_one_that_everybody_reads(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    module.write_picture(str(tmp_path / "image.nii"))
    image = nibabel.load(tmp_path / "image.nii")
    assert image.shape == (8, 8, 1) and (image.affine.diagonal() == 1).all()
    assert image.get_fdata()[:, 5, 0].tolist() == [30.0 * x for x in range(8)]


def test_a_picture_with_the_left_on_the_right_and_a_strip_beside_it_is_right(monkeypatch):
    assert told(monkeypatch, [[0, 0, *RIGHT]] * 8 + [[0] * 10] * 4) == ""


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        ([RIGHT[::-1]] * 8, [str(RIGHT[::-1])]),
        ([[50] * 8] * 8, [str([50] * 8)]),
        ([RIGHT] * 7 + [[9, *RIGHT[1:]]], ["rows"]),
        ([RIGHT] * 6, ["6 ", " 8"]),
        ([RIGHT[:7]] * 8, ["8 ", " 7"]),
    ],
    ids=["mirrored", "flat", "uneven", "low", "narrow"],
)
def test_another_picture_is_told_by_what_is_wrong(monkeypatch, rows, values):
    problem = told(monkeypatch, rows)
    assert problem and all(value in problem for value in values)


def test_output_without_a_picture_is_told(monkeypatch):
    assert "sixel" in told(monkeypatch, [RIGHT] * 8, b"8 x 8\n")


def program(tmp_path, text):
    path = tmp_path / "mrpeek"
    path.write_text(f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [("echo 'mrpeek: no such option' >&2; exit 1", "no such option"), ("exit 3", "3")],
)
def test_a_viewer_that_fails_is_told_in_its_own_words(tmp_path, text, words):
    with pytest.raises(InstallError) as caught:
        module.draw(program(tmp_path, text))
    assert caught.value.code == "does-not-run" and words in caught.value.message


def test_a_viewer_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InstallError) as caught:
        module.draw(str(tmp_path / "none"))
    assert caught.value.code == "does-not-run" and str(tmp_path / "none") in caught.value.message


def test_a_decoder_that_cannot_be_loaded_is_told(tmp_path):
    with pytest.raises(InstallError) as caught:
        module.decode(SIXEL, str(tmp_path / "libsixel.so.1"))
    assert caught.value.code == "no-library" and str(tmp_path / "libsixel.so.1") in caught.value.message
