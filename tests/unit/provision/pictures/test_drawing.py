"""What pictures of slices share: the place of things, and the range of intensities."""

import numpy as np
import pytest

from provision.errors import OptionError
from provision.pictures import drawing
from provision.pictures.drawing import PLANES, Sheet


def panels(*counts, edge=(2.0, 2.0)):
    return [(PLANES["axial"], count, edge) for count in counts]


@pytest.mark.parametrize(("plane", "letters"), [("axial", "RLAP"), ("coronal", "RLSI"), ("sagittal", "APSI")])
def test_letters_are_radiological(plane, letters):
    assert "".join(PLANES[plane].letters) == letters
    sheet = Sheet([(PLANES[plane], (4, 5), (1.0, 1.0))])
    sheet.letters(0)
    places = {text.get_text(): text.get_position() for text in sheet.axes[0].texts}
    assert places[letters[0]][0] < 0.1 < 0.9 < places[letters[1]][0]
    assert places[letters[3]][1] < 0.1 < 0.9 < places[letters[2]][1]


def test_the_first_voxel_is_at_the_lower_right_corner_and_a_voxel_has_its_edges():
    sheet = Sheet([(PLANES["axial"], (4, 6), (2.0, 3.0))])
    image = sheet.show(0, np.arange(24).reshape(4, 6))
    (left, right), (bottom, top) = sheet.axes[0].get_xlim(), sheet.axes[0].get_ylim()
    assert (left, right, bottom, top) == (7.0, -1.0, -1.5, 16.5)
    assert image.get_extent() == [-1.0, 7.0, -1.5, 16.5] and image.origin == "lower"
    assert image.get_array()[5, 3] == 23


@pytest.mark.parametrize(
    "counts", [[(48, 48)], [(48, 20), (48, 20), (48, 48)], [(9, 200)], [(1, 1)] * 3, [(7, 5)] * 24]
)
def test_panels_have_one_scale_and_fit_a_cell(counts):
    sheet = Sheet(panels(*counts))
    width, height = sheet.pixels
    assert width == drawing.WIDTH and height <= drawing.HEIGHT + 60
    for (across, up), axes in zip(counts, sheet.axes, strict=True):
        box = axes.get_position()
        assert (box.width * width, box.height * height) == pytest.approx(
            (2 * across * sheet.scale, 2 * up * sheet.scale)
        )
        assert box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1


@pytest.mark.parametrize("counts", [[(3000, 1)], [(1, 1), (300, 1), (300, 1)]])
def test_a_row_of_voxels_leaves_room_for_the_bar_of_colours(counts):
    sheet = Sheet(panels(*counts))
    bar = sheet.colour_bar(sheet.show(0, np.zeros(counts[0])))
    assert 0 < bar.ax.get_position().height < 1


def test_a_number_of_numpys_is_a_size():
    assert drawing.check_size(np.int64(300)) == drawing.check_size(np.float32(300)) == 300


def test_the_scale_bar_is_as_long_as_it_says():
    sheet = Sheet(panels((48, 48)))
    sheet.ruler(0)
    (line,) = sheet.axes[0].lines
    (start, end), text = line.get_xdata(), sheet.axes[0].texts[0].get_text()
    assert text == "20 mm" and (end - start) * 96 == pytest.approx(20)


def test_the_crosshair_leaves_its_voxel_free_and_moves():
    sheet = Sheet(panels((48, 48)))
    for at in ((10, 20), (0, 47)):
        sheet.crosshair(0, at)
        assert len(sheet.axes[0].lines) == 4
        for line in sheet.axes[0].lines:
            xs, ys = np.array(line.get_xdata(), float), np.array(line.get_ydata(), float)
            along, still, mine, other = (xs, ys, at[0], at[1]) if ys[0] == ys[1] else (ys, xs, at[1], at[0])
            if np.isfinite(along).all():
                assert still[0] == 2 * other and np.abs(along - 2 * mine).min() > 1


def test_the_range_is_that_of_what_is_not_background():
    noise, head = np.random.default_rng(0).rayleigh(3, 50_000), np.linspace(500, 1000, 20_000)
    low, high = drawing.robust_range(np.concatenate([noise, head, np.zeros(90_000), [np.nan, 1e9]]))
    assert 500 <= low < 520 and 980 < high <= 1000


@pytest.mark.parametrize("values", [[0, 0, 0], [np.nan, np.inf], [7, 7, 0], [-3, -3], [5]])
def test_whatever_the_values_a_range_has_two_ends(values):
    low, high = drawing.robust_range(np.array(values, float))
    assert np.isfinite([low, high]).all() and low < high


@pytest.mark.parametrize("size", [0, 100, 9000, 900.5, "900", True, None])
def test_a_size_that_is_no_width_is_refused(size):
    with pytest.raises(OptionError) as caught:
        drawing.check_size(size)
    assert caught.value.code == "bad-value"


def test_a_picture_keeps_its_figure():
    sheet = Sheet(panels((4, 4)), size=450)
    picture = sheet.picture("words")
    assert picture.figure is sheet.figure and (picture.width, picture.height) == sheet.pixels and picture.alt == "words"


@pytest.mark.parametrize("size", [450, 900])
def test_a_long_name_is_shortened_until_its_line_fits(size):
    name = f"sub-01_ses-1_$x_$_{'acq-multiband_' * 12}dwi.nii.gz"
    sheet = Sheet(panels((48, 48)), size=size)
    image = sheet.show(0, np.zeros((48, 48)))
    bar = sheet.colour_bar(image, name)
    for text in ("short", f"{name}   volume 3 of 61"):
        sheet.title(text)
    (title,) = sheet.figure.texts
    assert title.get_text().startswith("sub-01") and title.get_text().endswith(".nii.gz   volume 3 of 61")
    assert 0.9 * size < title.get_window_extent().x1 < size
    assert bar.ax.yaxis.label.get_window_extent().height <= bar.ax.bbox.height < title.get_window_extent().width
    sheet.title("short")
    assert title.get_text() == "short"
