"""Slices as a picture: the right voxels, at the right place, and what is said of them."""

import os

import nibabel
import numpy as np
import pytest
from matplotlib.figure import Figure

from provision.errors import OptionError, ProvisionError
from provision.pictures.drawing import PLANES
from provision.pictures.peek import peek

from .affines import scanner_affine

SHAPE = (7, 6, 5)
VALUES = 100.0 + np.arange(np.prod(SHAPE)).reshape(SHAPE)
SERIES = np.stack([VALUES, 2 * VALUES, 3 * VALUES], -1)
pytestmark = pytest.mark.usefixtures("mrtrix")


def image_of(picture, number=0, layer=0):
    """What a panel shows, shape (across, up)."""
    return picture.figure.axes[number].images[layer].get_array().swapaxes(0, 1)


def texts(picture):
    return [text.get_text() for text in picture.figure.texts]


@pytest.mark.parametrize("plane", PLANES)
def test_a_slice_is_that_of_the_focus(plane):
    picture = peek(SERIES, plane=plane, focus=(1, 2, 3), volume=2)
    through = {"sagittal": SERIES[1, :, :, 2], "coronal": SERIES[:, 2, :, 2], "axial": SERIES[:, :, 3, 2]}
    assert np.array_equal(image_of(picture), through[plane])
    assert "(1, 2, 3)" in picture.alt and "volume 2" in picture.alt and plane in picture.alt


def test_by_default_three_planes_pass_through_the_middle():
    picture = peek(VALUES)
    for number, shown in enumerate((VALUES[3], VALUES[:, 3], VALUES[:, :, 2])):
        assert np.array_equal(image_of(picture, number), shown)
    lefts = [axes.get_position().x0 for axes in picture.figure.axes[:3]]
    assert lefts == sorted(lefts) and len(set(lefts)) == 3


def test_the_words_have_place_and_value_at_the_focus(tmp_path):
    affine = scanner_affine(SHAPE, 2.0)
    nibabel.save(nibabel.Nifti1Image(VALUES, affine), tmp_path / "t1.nii")
    title, footer = texts(peek(tmp_path / "t1.nii", focus=(1, 2, 3)))
    x, y, z = (affine @ [1, 2, 3, 1])[:3]
    assert title == "t1.nii" and "1, 2, 3" in footer and f"{x:.1f}, {y:.1f}, {z:.1f} mm" in footer
    assert footer.endswith(f"{VALUES[1, 2, 3]:.0f}")


def test_the_title_has_the_b_value_where_the_header_knows_it(tmp_path, mrtrix):
    mrtrix.tables["dwi.nii"] = {"dw_scheme": [[0, 0, 1, 0], [1, 0, 0, 1000], [0, 1, 0, 3000]]}
    nibabel.save(nibabel.Nifti1Image(SERIES, np.eye(4)), tmp_path / "dwi_$x_.nii")
    nibabel.save(nibabel.Nifti1Image(SERIES, np.eye(4)), tmp_path / "dwi.nii")
    assert "b = 3000" in texts(peek(tmp_path / "dwi.nii", volume=2))[0]
    assert "dwi_$x_.nii" in texts(peek(tmp_path / "dwi_$x_.nii", volume=2))[0]


def test_the_range_is_the_callers_or_that_of_percentiles_or_robust():
    def limits(**options):
        return peek(VALUES, **options).figure.axes[0].images[0].get_clim()

    assert limits(range=(0, 50)) == (0, 50)
    assert limits(percentiles=(0, 100)) == (VALUES.min(), VALUES.max())
    low, high = limits()
    assert VALUES.min() < low < high < VALUES.max()


def test_the_colour_bar_has_the_intensities():
    picture = peek(VALUES, range=(100, 300), colourmap="viridis")
    bar = next(axes for axes in picture.figure.axes if axes.get_label() == "colour bar")
    assert bar.get_ylim() == (100, 300) and picture.figure.axes[0].images[0].cmap.name == "viridis"


def test_voxels_are_smooth_or_not():
    styles = [peek(VALUES, smooth=smooth).figure.axes[0].images[0].get_interpolation() for smooth in (True, False)]
    assert styles == ["bilinear", "nearest"]


def test_a_crosshair_can_be_left_out():
    assert [sum(len(axes.lines) for axes in peek(VALUES, crosshair=on).figure.axes[:2]) for on in (True, False)] == [
        8,
        0,
    ]


@pytest.mark.parametrize(("slices", "expected"), [(3, (0, 2, 4)), ([4, 1], (4, 1)), (1, (2,))])
def test_a_mosaic_has_the_slices_asked_for(slices, expected):
    picture = peek(VALUES, slices=slices)
    for number, index in enumerate(expected):
        assert np.array_equal(image_of(picture, number), VALUES[:, :, index])
        assert str(index) in [text.get_text() for text in picture.figure.axes[number].texts]
    sagittal = peek(VALUES, slices=[6], plane="sagittal")
    assert np.array_equal(image_of(sagittal), VALUES[6])


def test_a_mask_is_an_outline():
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:5, 2:5, 1:4] = 1
    picture = peek(VALUES, plane="axial", overlay=mask)
    axes = picture.figure.axes[0]
    assert len(axes.images) == 1 and len(axes.collections) == 1
    outline = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert outline.min() == 1.5 and outline.max() == 4.5
    assert not peek(VALUES, plane="axial", overlay=mask, focus=(0, 0, 0)).figure.axes[0].collections


def test_the_outline_of_a_mask_is_closed_at_the_edge_of_the_image():
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, :, 2] = 1
    (outline,) = peek(VALUES, plane="axial", overlay=mask, focus=(0, 0, 2)).figure.axes[0].collections
    vertices = np.concatenate([path.vertices for path in outline.get_paths()])
    assert vertices.min() == -0.5 and vertices.max(axis=0).tolist() == [SHAPE[0] - 0.5, SHAPE[1] - 0.5]


def test_a_map_is_drawn_from_the_threshold_on_with_its_own_colour_bar():
    values = np.linspace(-1, 1, VALUES.size).reshape(SHAPE)
    picture = peek(VALUES, plane="axial", overlay=values, threshold=0.5)
    shown = image_of(picture, layer=1)
    assert np.array_equal(shown.mask, np.abs(values[:, :, 2].astype("f4")) < 0.5)
    bar = next(axes for axes in picture.figure.axes if axes.get_label() == "colour bar")
    assert bar.get_ylim()[0] == -bar.get_ylim()[1] and bar.get_ylabel() == "an array"
    fixed = peek(VALUES, plane="axial", overlay=values, overlay_range=(0, 2), overlay_colourmap="cool")
    assert fixed.figure.axes[0].images[1].get_clim() == (0, 2) and fixed.figure.axes[0].images[1].cmap.name == "cool"


def test_options_of_maps_do_not_make_a_map_of_a_mask():
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:5, 2:5, 1:4] = 1
    values = np.linspace(0, 1, VALUES.size).reshape(SHAPE)
    picture = peek(VALUES, plane="axial", overlay=[mask, values], threshold=0.3, overlay_colourmap="cool")
    axes = picture.figure.axes[0]
    assert len(axes.collections) == 1 and [image.cmap.name for image in axes.images] == ["gray", "cool"]


def test_a_few_faint_directions_are_seen():
    values = np.zeros((20, 20, 20, 3))
    values[10, 10, 10] = 0.01, 0, 0
    picture = peek(np.ones((20, 20, 20)), overlay=values, plane="axial", opacity=1.0)
    assert image_of(picture, layer=1)[10, 10].tolist() == pytest.approx([1, 0, 0, 1])


def test_three_volumes_are_colours_of_directions():
    vectors = np.zeros((*SHAPE, 3))
    vectors[..., 0], vectors[3, 3, 2] = -0.5, (0, 0, 0.5)
    shown = image_of(peek(VALUES, plane="axial", overlay=vectors), layer=1)
    assert shown[0, 0, :3].tolist() == [1, 0, 0] and shown[3, 3, :3].tolist() == [0, 0, 1] and shown[0, 0, 3] > 0


def test_a_figure_of_the_callers_is_drawn_in_and_part_of_one_too():
    mine = Figure(figsize=(8, 4))
    left, right = mine.subfigures(1, 2)
    pictures = [peek(VALUES, figure=part) for part in (left, right)]
    assert len(left.axes) == len(right.axes) == 4 and pictures[0].figure is left
    assert (pictures[1].width, pictures[1].height) == (800, 400)


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_it_is_saved_for_print(tmp_path, ending):
    path = peek(VALUES).save(tmp_path / f"a.{ending}", dpi=300)
    start = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[ending]
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    "options",
    [
        {"plane": "axil"}, {"plane": 3}, {"focus": (1, 2)}, {"focus": (7, 0, 0)}, {"focus": (-1, 0, 0)},
        {"focus": "abc"},
        {"volume": 1}, {"volume": -1}, {"volume": True}, {"range": (5, 1)}, {"range": 3}, {"percentiles": (-1, 50)},
        {"percentiles": (50, 50)}, {"colourmap": "greyish"}, {"slices": 0}, {"slices": 6}, {"slices": [5]},
        {"slices": []},
        {"slices": "all"}, {"size": 10}, {"smooth": "no"}, {"crosshair": 1}, {"threshold": -1}, {"opacity": 2},
        {"overlay_range": (1, 0)}, {"overlay_colourmap": "hott"}, {"range": (0, float("nan"))},
        {"range": "12"}, {"figure": 5},
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_refused(options):
    with pytest.raises(OptionError) as caught:
        peek(VALUES, **options)
    assert caught.value.code == "bad-value"


def test_an_overlay_on_the_images_own_grid_is_read_once(mrtrix):
    peek(VALUES, overlay=VALUES + 1)
    assert [call[0] for call in mrtrix.calls].count("mrconvert") == 2


@pytest.mark.parametrize(
    ("overlay", "code"),
    [(SERIES[..., :2], "wrong-image"), (np.zeros(SHAPE), "nothing-to-show"), ("gone.nii", "no-file")],
)
def test_an_overlay_that_cannot_be_drawn_is_refused(overlay, code):
    with pytest.raises(OptionError) as caught:
        peek(VALUES, overlay=overlay)
    assert caught.value.code == code


def test_an_image_without_a_finite_value_is_refused():
    with pytest.raises(OptionError) as caught:
        peek(np.full(SHAPE, np.nan))
    assert caught.value.code == "nothing-to-show"


@pytest.mark.parametrize("axis", range(3))
def test_an_image_one_voxel_thick_is_shown(axis):
    thin = VALUES.take([0], axis=axis)
    assert np.array_equal(image_of(peek(thin, plane="axial")), thin[:, :, thin.shape[2] // 2])


def test_without_matplotlib_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr("provision.extras.find_spec", lambda name: None)
    with pytest.raises(ProvisionError) as caught:
        peek(VALUES)
    assert caught.value.code == "missing-packages"


def test_numbers_of_numpys_are_numbers():
    options = {"threshold": np.float32(120), "opacity": np.float32(0.5), "size": np.int64(300)}
    assert peek(VALUES, overlay=VALUES, **options).width == 300


@pytest.mark.parametrize("name", [b"caf\xe9.nii", b"a\nb.nii", b"a\x1b.nii"])
def test_a_name_that_cannot_be_drawn_is_replaced_where_it_cannot(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    nibabel.save(nibabel.Nifti1Image(VALUES, np.eye(4)), path)
    picture = peek(path)
    assert picture.alt.isprintable() and texts(picture)[0].isprintable() and texts(picture)[0].endswith(".nii")


@pytest.mark.parametrize(("path", "code"), [("", "bad-value"), ("~nobody-here/a.nii", "no-folder")])
def test_a_path_that_leads_nowhere_is_refused(path, code):
    with pytest.raises(OptionError) as refused:
        peek(path)
    assert refused.value.code == code
