"""The picture of a diffusion series: every shell, its directions, a map of dropouts, and the same in words."""

import matplotlib.colors
import numpy as np
import pytest

from provision import qc
from provision.errors import OptionError
from provision.pictures.qc import _projected

from .test_quality import INSIDE, saved, series


@pytest.fixture
def mask(tmp_path, mrtrix):
    return saved(tmp_path, INSIDE, name="mask.nii")


@pytest.fixture
def path(tmp_path, mrtrix):
    values, table = series((0, 6), (1000, 12), (3000, 12))
    values[:, :, 1:3, 20] *= 0.3
    return saved(tmp_path, values, table)


def named(picture, label):
    return next(axes for axes in picture.figure.get_axes() if axes.get_label() == label)


def test_each_shell_has_a_slice_with_its_title_and_its_own_range(path, mask):
    panels = [axes for axes in qc(path, mask=mask).figure.get_axes() if axes.get_label() == "axial"]
    assert [axes.get_title() for axes in panels] == ["b=0, 6 volumes", "b=1000, 12 volumes", "b=3000, 12 volumes"]
    tops = [axes.images[0].get_clim()[1] for axes in panels]
    assert tops[0] > 1.5 * tops[1] > 2 * tops[2]
    assert [bool(axes.collections) for axes in panels] == [True, False, False]  # the outline of the mask


def test_outliers_are_red_and_the_words_name_them(path, mask):
    picture = qc(path, mask=mask)
    marked = named(picture, "map").images[1].get_array()
    assert {tuple(map(int, at)) for at in np.argwhere(marked[..., 3])} == {(1, 20), (2, 20)}
    (arrows,) = named(picture, "shells").lines
    assert list(arrows.get_xdata()) == [20]
    assert "volume 20, slices 1, 2" in picture.alt and "Signal-to-noise ratio at b=0: " in picture.alt
    written = " ".join(text.get_text() for part in picture.figure.subfigs for text in part.texts)
    assert "volume 20, slices 1, 2" in written and "dwi.nii" in written


def test_the_strip_has_the_colour_of_the_title_of_each_shell(path, mask):
    picture = qc(path, mask=mask)
    strip = named(picture, "shells").images[0].get_array()[0]
    panels = [axes for axes in picture.figure.get_axes() if axes.get_label() == "axial"]
    for volume, axes in zip((0, 6, 18), panels, strict=True):
        assert np.allclose(strip[volume], matplotlib.colors.to_rgb(axes.title.get_color()))


def test_directions_are_on_the_upper_half_with_right_on_the_left():
    directions = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, -1], [0.6, 0, -0.8]])
    points, is_up = _projected(directions)
    assert np.allclose(points[:4], [[0, 0], [-np.sqrt(2), 0], [0, np.sqrt(2)], [0, 0]])
    assert is_up.tolist() == [True, True, True, False, False] and points[4, 0] > 0


def test_equal_areas_of_the_sphere_are_equal_in_the_picture():
    random = np.random.default_rng(0).normal(size=(20000, 3))
    points, _ = _projected(random / np.linalg.norm(random, axis=1, keepdims=True))
    assert np.mean((points**2).sum(axis=1) < 1) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("size", [300, 900, 1800])
def test_the_picture_has_the_width_asked_for_and_words_stay_within(tmp_path, mask, size):
    values, table = series((0, 6), (1000, 40))
    values[:, :, 1, 10:16] *= 0.1
    picture = qc(saved(tmp_path, values, table), mask=mask, size=size)
    assert "and 1 more volume" in picture.alt
    assert picture.width == size and 0.5 < picture.height / size < 1.2
    renderer = picture.figure.canvas.get_renderer()
    for part in picture.figure.subfigs:
        for text in part.texts:
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0 and box.x1 <= picture.width and box.y0 >= 0 and box.y1 <= picture.height


@pytest.mark.parametrize(
    "shells", [((1000, 7),), ((0, 1), (1000, 7)), ((0, 2),), tuple((b, 7) for b in range(0, 8000, 1000))]
)
def test_any_number_of_shells_is_drawn(tmp_path, mrtrix, shells):
    picture = qc(saved(tmp_path, *series(*shells)), mask=np.ones(INSIDE.shape, np.uint8))
    assert len([axes for axes in picture.figure.get_axes() if axes.get_label() == "axial"]) == len(shells)


def test_another_size_is_refused_before_anything_is_read(path, mrtrix):
    with pytest.raises(OptionError) as caught:
        qc(path, size=10)
    assert caught.value.code == "bad-value" and not mrtrix.calls
