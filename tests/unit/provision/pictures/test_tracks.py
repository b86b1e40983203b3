"""Tracks are drawn where they are, in the colours of their directions, and thinned only with a note."""

import os
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest

import provision
from provision.errors import OptionError
from provision.pictures import tracks as module

from .tracks import LINES, tck

pytestmark = pytest.mark.usefixtures("mrtrix", "nothing_stays")

AFFINE = np.diag([2.0, 2, 3, 1])
IMAGE = nibabel.Nifti1Image(np.random.default_rng(0).uniform(1, 100, (10, 12, 8)).astype(np.float32), AFFINE)
# Along x at z = 6 (slice 2), along y at z = 12 (slice 4), and along z through both, in mm.
ACROSS, UP = np.array([[2.0, 8, 6], [4, 8, 6], [6, 8, 6]]), np.array([[8.0, 4, 12], [8, 6, 12]])
THROUGH = np.array([[10.0, 10, at] for at in range(0, 19, 2)])


@pytest.fixture
def bundle(tmp_path):
    return tck(tmp_path / "bundle.tck", [np.array(line, np.float32) for line in (ACROSS, UP, THROUGH)])


def drawn(picture):
    """The segments that were drawn, and their colours."""
    (lines,) = picture.figure.axes[0].collections
    return np.array(lines.get_segments()), lines.get_colors()[:, :3]


def words(picture):
    return [text.get_text() for text in picture.figure.texts]


def test_only_segments_within_the_slab_are_drawn_each_at_its_place(bundle):
    segments, _ = drawn(provision.tracks(bundle, IMAGE, slice=2, thickness=1))
    np.testing.assert_allclose(segments, [ACROSS[:2, :2], ACROSS[1:, :2]])
    segments, _ = drawn(provision.tracks(bundle, IMAGE, plane="sagittal", slice=4, thickness=0.5))
    np.testing.assert_allclose(segments, [UP[:, 1:]])


def test_colours_are_the_directions_in_the_scanners_frame_however_the_image_is_turned(bundle):
    turned = np.array([[0, -2.0, 0, 22], [2, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]) @ [
        [1, 0.1, 0, 0], [-0.1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]
    ]  # fmt: skip
    for image in (IMAGE, nibabel.Nifti1Image(np.ones((12, 12, 8), np.float32), turned)):
        _, colours = drawn(provision.tracks(bundle, image, slice=3, thickness=12))
        assert {tuple(colour) for colour in colours.round(3)} == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


def test_by_default_the_slice_is_the_one_with_the_most_points(bundle):
    picture = provision.tracks(bundle, IMAGE)
    assert "z = 6.0 mm" in words(picture)[1] and "slab of 6 mm" in words(picture)[1]
    np.testing.assert_array_equal(picture.figure.axes[0].images[0].get_array(), IMAGE.get_fdata()[:, :, 2].T)


def test_the_title_has_the_names_and_how_many_tracks_are_shown(bundle):
    picture = provision.tracks(bundle, IMAGE, slice=2, thickness=1)
    assert words(picture)[0].split("   ") == ["bundle.tck", "1 of 3 tracks", "over an image"]
    assert "1 of 3 tracks of bundle.tck" in picture.alt


def test_without_an_image_the_slice_is_in_mm_and_holds_all_of_the_tracks(bundle):
    picture = provision.tracks(bundle, slice=6, thickness=2.5)
    segments, _ = drawn(picture)
    axes = picture.figure.axes[0]
    assert len(segments) == 4 and not axes.images
    for axis, limits in enumerate((axes.get_xlim(), axes.get_ylim())):
        assert min(limits) < segments[..., axis].min() and segments[..., axis].max() < max(limits)


def test_axial_slices_have_the_patients_right_on_the_left(bundle):
    left, right = provision.tracks(bundle, IMAGE).figure.axes[0].get_xlim()
    assert left > right


def test_a_slice_without_tracks_is_shown_as_such(bundle):
    picture = provision.tracks(bundle, IMAGE, slice=7, thickness=1)
    assert "0 of 3 tracks" in words(picture)[0]


def test_so_many_tracks_are_taken_evenly_spaced_and_the_line_below_says_so(tmp_path):
    path = tck(tmp_path / "a.tck", [np.array([[at, 0, 0], [at, 1, 0]], np.float32) for at in range(10)])
    picture = provision.tracks(path, number=4)
    segments, _ = drawn(picture)
    assert segments[:, 0, 0].tolist() == [1 + at for at in (0, 3, 5, 8)]
    assert "thinned" in words(picture)[1] and "4 of 10 tracks" in words(picture)[0]
    assert "thinned" not in words(provision.tracks(path))[1]


def test_more_segments_than_can_be_drawn_are_thinned_by_tracks(bundle, monkeypatch):
    monkeypatch.setattr(module, "MOST_SEGMENTS", 6)
    picture = provision.tracks(bundle, IMAGE, slice=3, thickness=20)
    assert "1 track in 2" in words(picture)[1] and "2 of 3 tracks" in words(picture)[0]


def test_a_file_larger_than_memory_allows_is_read_in_part(bundle, monkeypatch):
    monkeypatch.setattr(module, "MOST_POINTS", 8)
    assert "1 track in 3" in words(provision.tracks(bundle, slice=6, thickness=50))[1]


def test_a_file_with_fewer_tracks_than_its_header_says_is_warned_of(bundle, mrtrix):
    mrtrix.counts["bundle.tck"] = 7
    with pytest.warns(UserWarning, match="3 tracks.* 7"):
        provision.tracks(bundle)


def test_it_can_be_saved_as_lines_and_drawn_into_a_figure(bundle, tmp_path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4))
    picture = provision.tracks(bundle, IMAGE, figure=figure)
    assert picture.figure is figure
    assert picture.save(tmp_path / "a.svg").read_text().count("LineCollection") == 1


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("none.tck", {}, "no-file"),
        ("empty.tck", {}, "damaged"),
        ("text.tck", {}, "bad-tracks"),
        ("zero.tck", {}, "nothing-to-show"),
        ("far.tck", {"image": IMAGE}, "nothing-to-show"),
        ("a.tck", {"plane": "axail"}, "bad-value"),
        ("a.tck", {"image": IMAGE, "slice": 8}, "bad-value"),
        ("a.tck", {"image": IMAGE, "slice": 1.5}, "bad-value"),
        ("a.tck", {"slice": "first"}, "bad-value"),
        ("a.tck", {"thickness": 0}, "bad-value"),
        ("a.tck", {"thickness": "thin"}, "bad-value"),
        ("a.tck", {"number": 0}, "bad-value"),
        ("a.tck", {"number": 2.5}, "bad-value"),
        ("a.tck", {"size": 10}, "bad-value"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_one_sentence(tmp_path, name, options, code):
    (tmp_path / "empty.tck").touch()
    (tmp_path / "text.tck").write_text("text")
    tck(tmp_path / "zero.tck", [])
    tck(tmp_path / "far.tck", [line + 1000 for line in LINES])
    tck(tmp_path / "a.tck")
    with pytest.raises(OptionError) as caught:
        provision.tracks(tmp_path / name, **options)
    assert caught.value.code == code and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_numbers_of_numpys_are_numbers(bundle, kind):
    assert provision.tracks(bundle, slice=kind(6), thickness=kind(1), number=kind(2)).alt.startswith("1 of 3")


def test_a_point_that_is_far_away_takes_no_memory(tmp_path):
    far = np.array([[1e12, 1e12, 1e12], [6, 8, 6], [8, 8, 6]], np.float32)
    assert provision.tracks(tck(tmp_path / "far.tck", [far]), slice=None).alt.startswith("1 of 1")


def test_a_name_and_a_header_that_are_not_utf8_do_not_keep_tracks_from_being_drawn(tmp_path, monkeypatch, mrtrix):
    monkeypatch.setattr(mrtrix, "_tckconvert", lambda arguments, of: shutil.copyfile(*arguments) and None)
    head = b"mrtrix tracks\ndatatype: Float32LE\ncomment: \xe9\ncount: 1\nfile: . 128\nEND\n"
    ends = np.array([[0, 0, 0], [1, 2, 3], [np.nan] * 3, [np.inf] * 3], "<f4")
    path = tmp_path / os.fsdecode(b"caf\xe9.tck")
    path.write_bytes(head.ljust(128, b"\0") + ends.tobytes())
    picture = provision.tracks(path)
    assert picture.alt.isprintable() and picture.alt.startswith("1 of 1")


def test_a_folder_is_no_file_of_tracks(tmp_path):
    with pytest.raises(OptionError) as caught:
        provision.tracks(tmp_path)
    assert caught.value.code == "not-a-file"


def test_what_is_no_path_is_refused():
    with pytest.raises(OptionError) as caught:
        provision.tracks(3)
    assert caught.value.code == "bad-value"


def test_importing_loads_none_of_the_large_packages():
    code = "import sys, provision.pictures.tracks; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"numpy", "nibabel", "matplotlib"}
