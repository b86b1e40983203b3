"""A picture shows the slice that was asked for, as the image has it, or says in one sentence why it cannot."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from provision.errors import OptionError, ProvisionError
from provision.pictures import sixel, slices
from provision.pictures.peek import peek

from .affines import scanner_affine
from .viewer import (
    BAR,
    SHAPE,
    grey,
    mrpeek,  # noqa: F401
    nothing_installed,  # noqa: F401
    option,
    stand_in,  # noqa: F401
    temporary,  # noqa: F401
    values,
)

# --- against the image itself, with the real mrpeek -----------------------------------------------------------------


AFFINES = {
    "positive determinant": scanner_affine(SHAPE, (2.0, 1.5, 3.0)),
    "negative determinant": scanner_affine(SHAPE, (2.0, 1.5, 3.0), negative=True),
    "oblique": scanner_affine(SHAPE, (2.0, 1.5, 3.0), rotation=(20, -15, 30)),
    "oblique, negative": scanner_affine(SHAPE, (2.0, 1.5, 3.0), rotation=(20, -15, 30), negative=True),
    "permuted": scanner_affine(SHAPE, (2.0, 1.5, 3.0), rotation=(90, 0, 80)),
}


def expected(array, affine, plane, focus, zoom, volume=0):
    """The grey levels of a slice from 0 to 1: right on the left, front on the left or on top, head on top.

    The zoom makes whole numbers of pixels of all edges of a voxel.
    """
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
    data = image.get_fdata()
    data = data[..., volume] if data.ndim > 3 else data
    axis = slices.PLANES.index(plane)
    flat = np.take(data, focus[axis], axis=axis)
    edges = np.array(image.header.get_zooms()[:3])
    pixels = [round(edge / edges.min() * zoom) for edge in np.delete(edges, axis)]
    return np.repeat(np.repeat(flat[::-1, ::-1].T, pixels[1], axis=0), pixels[0], axis=1) / 1000


def assert_shows(picture, slice_of_image):
    """Within what 100 levels of grey and 8 bits leave: half a level and half a bit."""
    shown = grey(picture)[:, BAR:]
    assert shown.shape == slice_of_image.shape
    assert np.abs(shown - slice_of_image).max() <= 0.5 / 100 + 1 / 255


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
@pytest.mark.parametrize("plane", slices.PLANES)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_slice_is_that_of_the_image_to_the_pixel(mrpeek, tmp_path, affine, plane, name):
    nibabel.save(nibabel.Nifti1Image(values(), affine), tmp_path / name)
    focus = (1, 3, 2)
    picture = peek(tmp_path / name, plane=plane, focus=focus, range=(0, 1000), zoom=6, crosshair=False)
    assert_shows(picture, expected(values(), affine, plane, focus, 6))


@pytest.mark.parametrize("plane", slices.PLANES)
@pytest.mark.parametrize("volume", [0, 2])
def test_a_volume_is_that_of_the_series(mrpeek, plane, volume):
    series, affine = values(*SHAPE, 3), AFFINES["oblique, negative"]
    image = nibabel.Nifti1Image(series, affine)
    picture = peek(image, plane=plane, focus=(4, 1, 3), volume=volume, range=(0, 1000), zoom=6, crosshair=False)
    assert_shows(picture, expected(series, affine, plane, (4, 1, 3), 6, volume))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("plane", slices.PLANES)
def test_an_image_one_voxel_thick_is_shown(mrpeek, axis, plane):
    shape = [1 if other == axis else size for other, size in enumerate(SHAPE)]
    picture = peek(values(*shape), plane=plane, range=(0, 1000), zoom=3, crosshair=False)
    focus = [size // 2 for size in shape]
    assert_shows(picture, expected(values(*shape), np.eye(4), plane, focus, 3))


def test_a_file_of_mrtrix3_is_shown_like_its_array(mrpeek, tmp_path):
    head = "mrtrix image\ndim: 7,6,5\nvox: 1,1,1\nlayout: -0,+2,-1\ndatatype: Float32LE\n"
    head += "transform: 1,0,0,0\ntransform: 0,1,0,0\ntransform: 0,0,1,0\nfile: . 200\nEND\n"
    stored = values()[::-1, :, ::-1].transpose(0, 2, 1).ravel(order="F")
    (tmp_path / "a.mif").write_bytes(head.encode().ljust(200) + stored.tobytes())
    picture = peek(tmp_path / "a.mif", plane="coronal", focus=(0, 2, 0), range=(0, 1000), zoom=2, crosshair=False)
    assert_shows(picture, expected(values(), np.eye(4), "coronal", (0, 2, 0), 2))


def test_three_planes_stand_side_by_side_in_the_middle_of_the_height(mrpeek):
    picture = peek(values(), focus=(1, 3, 2), range=(0, 1000), zoom=4, crosshair=False)
    left = BAR
    for plane in slices.PLANES:
        panel = expected(values(), np.eye(4), plane, (1, 3, 2), 4)
        top = (picture.height - panel.shape[0]) // 2
        shown = grey(picture)[top : top + panel.shape[0], left : left + panel.shape[1]]
        assert np.abs(shown - panel).max() <= 0.5 / 100 + 1 / 255
        left += panel.shape[1]
    assert left == picture.width


def test_the_crosshair_crosses_in_the_voxel_of_the_focus(mrpeek):
    options = {"plane": "axial", "focus": (1, 4, 2), "range": (0, 1000), "zoom": 8}
    without, with_it = (grey(peek(values(), **options, crosshair=shown))[:, BAR:] for shown in (False, True))
    rows, columns = np.nonzero(without != with_it)
    row, column = np.bincount(rows).argmax(), np.bincount(columns).argmax()
    # x grows to the left and y upwards.
    assert (SHAPE[0] - 1 - column // 8, SHAPE[1] - 1 - row // 8) == (1, 4)


def test_more_than_the_range_is_white_and_less_is_black(mrpeek):
    shown = grey(peek(values(), plane="axial", focus=(0, 0, 1), range=(400, 600), zoom=1, crosshair=False))[:, BAR:]
    flat = values()[::-1, ::-1, 1].T
    assert (shown[flat > 600] == 1).all()
    assert (shown[flat < 400] == 0).all()


def test_the_words_tell_the_range_that_mrpeek_found(mrpeek):
    alt = peek(values(), plane="axial", percentiles=(0, 100)).alt
    flat = values()[..., 2]
    assert alt == (f"axial slice of an array at voxel (3, 3, 2), intensities from {flat.min():.4g} to {flat.max():.4g}")


def test_a_plot_is_below_the_slices_and_its_values_are_told(mrpeek):
    plain, plotted = (peek(values(*SHAPE, 9), plane="axial", zoom=8, plot=plot) for plot in (None, "volume"))
    np.testing.assert_array_equal(grey(plotted)[: plain.height, : plain.width], grey(plain))
    assert plotted.height > plain.height
    assert grey(plotted)[plain.height :].any()
    along = values(*SHAPE, 9)[3, 3, 2]
    low, high = plotted.alt.partition("along volume from ")[2].split(" to ")
    np.testing.assert_allclose([float(low), float(high)], [along.min(), along.max()], rtol=1e-5)


def test_what_no_percentiles_can_be_made_of_is_shown_all_the_same(mrpeek):
    image = values()
    image[..., 1], image[..., 2] = np.nan, 7
    for level, shown in ((1, 0), (2, 1)):
        picture = peek(image, plane="axial", focus=(0, 0, level), crosshair=False)
        assert (grey(picture)[:, BAR:] == shown).all()


# --- how mrpeek is called, with a stand-in --------------------------------------------------------------------------


def test_mrpeek_is_asked_for_the_middle_of_the_first_volume_of_all_planes(stand_in, temporary):
    peek(values(7, 6, 5, 4))
    (call,) = stand_in.calls
    assert call["arguments"][:-1] == [
        "-batch", "-levels", "100", "-zoom", "50", "-colourmap", "gray", "-focus", "3,3,2,0",
    ]  # fmt: skip
    assert Path(call["arguments"][-1]).parent.parent == temporary


def test_every_option_reaches_mrpeek(stand_in):
    where = {"plane": "coronal", "focus": (1, None, 4.4), "volume": np.int64(3), "plot": "volume"}
    peek(values(*SHAPE, 4), **where, range=(-5, 10.5), colourmap="hot", zoom=2.5, crosshair=False)
    (call,) = stand_in.calls
    assert option(call, "-focus") == ["1,3,4,3"]
    assert option(call, "-intensity_range", 2) == ["-5.0", "10.5"]
    assert option(call, "-colourmap") == ["hot"]
    assert option(call, "-zoom") == ["2.5"]
    assert option(call, "-plot") == ["3"]
    assert {"-coronal", "-nocrosshairs"} <= set(call["arguments"])


def test_percentiles_reach_mrpeek(stand_in):
    peek(values(), percentiles=[1, 99])
    assert option(stand_in.calls[0], "-percentile_range", 2) == ["1.0", "99.0"]


def test_the_words_tell_what_is_shown(stand_in, tmp_path):
    nibabel.save(nibabel.Nifti1Image(values(*SHAPE, 4), np.eye(4)), tmp_path / "dwi.nii")
    assert peek(tmp_path / "dwi.nii", plane="axial", volume=2, plot="z").alt == (
        "axial slice of dwi.nii at voxel (3, 3, 2), volume 2, intensities from 0 to 100, "
        "below them along z from 2 to 95"
    )


def test_the_pictures_are_decoded_with_the_library_that_was_installed(stand_in, nothing_installed, monkeypatch):
    libraries = []
    pixel = np.zeros((1, 1, 3), np.uint8)
    monkeypatch.setattr(sixel, "decode", lambda data, library: libraries.append(library) or pixel)
    nothing_installed(bin=str(stand_in.bin), decoder="/opt/libsixel.so.1")
    monkeypatch.setenv("PATH", "/nowhere")
    peek(values())
    assert libraries == ["/opt/libsixel.so.1"]


def test_a_slice_without_a_finite_value_is_drawn_black(stand_in):
    stand_in.write(before="if calls == 1: sys.exit('mrpeek: [SYSTEM FATAL CODE: SIGSEGV (11)] Segmentation fault')")
    assert peek(values()).alt.endswith("intensities from 0 to 1")
    assert option(stand_in.calls[1], "-intensity_range", 2) == ["0.0", "1.0"]


@pytest.mark.parametrize(
    ("value", "limits"),
    [("7", ["0.0", "7.0"]), ("-7", ["-7.0", "0.0"]), ("0", ["0.0", "1.0"]), ("nan", ["0.0", "1.0"])],
)
def test_a_slice_of_one_value_is_drawn_with_zero_as_the_darkest_or_the_brightest(stand_in, value, limits):
    stand_in.write(high="nan", low="-nan", value=value)
    peek(values())
    assert option(stand_in.calls[1], "-intensity_range", 2) == limits


def test_without_mrpeek_the_call_that_installs_it_is_told_and_nothing_is_written(monkeypatch, temporary):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProvisionError) as caught:
        peek(values())
    assert caught.value.code == "not-installed" and 'provision.run("mrpeek")' in caught.value.hint
    assert os.listdir(temporary) == []


# --- what is refused before mrpeek is started -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"plane": "axail"}, ["sagittal, coronal, axial", "'axial'"]),
        ({"plane": 2}, ["sagittal, coronal, axial"]),
        ({"focus": (7, 0, 0)}, ["(0, 0, 0) to (6, 5, 4)", "7 x 6 x 5 x 4"]),
        ({"focus": (0, -1, 0)}, ["(0, 0, 0) to (6, 5, 4)"]),
        ({"focus": (0, 0)}, ["(0, 0, 0) to (6, 5, 4)"]),
        ({"focus": 3}, ["(0, 0, 0) to (6, 5, 4)"]),
        ({"focus": (0, 0, float("nan"))}, ["(0, 0, 0) to (6, 5, 4)"]),
        ({"focus": (0, 0, float("inf"))}, ["(0, 0, 0) to (6, 5, 4)"]),
        ({"volume": 4}, ["0 to 3", "7 x 6 x 5 x 4"]),
        ({"volume": -1}, ["0 to 3"]),
        ({"volume": 1.5}, ["0 to 3"]),
        ({"volume": True}, ["0 to 3"]),
        ({"range": (1, 1)}, []),
        ({"range": (0, float("inf"))}, []),
        ({"range": 5}, []),
        ({"percentiles": (2, 101)}, ["0 to 100"]),
        ({"colourmap": "grey"}, ["gray, hot, cool, jet, inferno, viridis, pet", "'gray'"]),
        ({"zoom": 0}, ["0.2 to 600", "7 x 6 x 5 x 4"]),
        ({"zoom": "big"}, ["0.2 to 600"]),
        ({"zoom": 10_000}, ["0.2 to 600"]),
        ({"plot": "w"}, ["x, y, z, volume"]),
    ],
    ids=str,
)
def test_a_value_that_is_not_allowed_is_refused_with_those_that_are(stand_in, options, allowed):
    with pytest.raises(OptionError) as caught:
        peek(values(*SHAPE, 4), **options)
    assert caught.value.code == "bad-value"
    ((name, value),) = options.items()
    parts = [repr(value), *allowed]
    assert name == "colourmap" or name in caught.value.message
    assert [part for part in parts if part not in str(caught.value)] == []
    assert stand_in.calls == []


def test_a_range_and_percentiles_together_are_refused(stand_in):
    with pytest.raises(OptionError) as caught:
        peek(values(), range=(0, 1), percentiles=(1, 2))
    assert caught.value.code == "given-twice" and stand_in.calls == []
    assert "range" in caught.value.message and "percentiles" in caught.value.message


def test_an_image_of_one_volume_has_only_that(stand_in):
    peek(values(), volume=0)
    assert option(stand_in.calls[0], "-focus") == ["3,3,2"]
    with pytest.raises(OptionError) as caught:
        peek(values(), volume=1)
    assert caught.value.code == "bad-value" and "0 to 0" in caught.value.message


@pytest.mark.parametrize(("shape", "plot"), [(SHAPE, "volume"), ((7, 6, 1), "z")])
def test_nothing_is_plotted_along_an_axis_of_one_voxel(stand_in, shape, plot):
    with pytest.raises(OptionError) as caught:
        peek(values(*shape), plot=plot)
    assert caught.value.code == "bad-value" and stand_in.calls == []
    assert f" {plot}:" in caught.value.message and " x ".join(map(str, shape)) in caught.value.message


def test_an_image_that_cannot_be_shown_is_refused(stand_in, tmp_path, temporary):
    codes = []
    for image in (tmp_path / "a.nii", np.full(SHAPE, np.nan)):
        with pytest.raises(OptionError) as caught:
            peek(image)
        codes.append(caught.value.code)
    assert codes == ["no-file", "nothing-to-show"] and stand_in.calls == []
    assert os.listdir(temporary) == []
