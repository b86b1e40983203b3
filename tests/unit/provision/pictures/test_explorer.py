"""Sliders show the slice they say, quickly, at one brightness, and tell what goes wrong."""

import base64
import gc
import gzip
import os
import sys
import tempfile
import time

import nibabel
import numpy as np
import pytest

import provision
from provision.errors import OptionError, ProvisionError
from provision.machine import notes
from provision.pictures import slices
from provision.pictures.picture import Picture

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed.")

SHAPE = (7, 6, 5, 4)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def drawn(monkeypatch, temporary):
    """The views that were drawn, in order, by a stand-in for mrpeek that draws one pixel."""
    views = []

    def draw(path, header, view, name):
        assert path.exists()
        views.append(view)
        return Picture.of(np.full((1, 1, 3), len(views), np.uint8), f"{name} {len(views)}")

    monkeypatch.setattr(slices, "drawn", draw)
    monkeypatch.setattr(slices, "check_installed", lambda: None)
    return views


def series(*shape):
    """Numbers from 0 to 100 in the first volume, and from 0 to 10 in all others."""
    array = np.random.default_rng(0).uniform(0, 10, shape or SHAPE).astype(np.float32)
    array[..., 0] *= 10
    return array


def explore(image=None, **options):
    return provision.peek(series() if image is None else image, interactive=True, **options)


def compressed(path, array=None):
    nibabel.save(nibabel.Nifti1Image(series() if array is None else array, np.eye(4)), path)
    return path


def moved(explorer, kind, value):
    """Move a slider as somebody in a browser does."""
    widgets = {type(child).__name__ + getattr(child, "description", ""): child for child in explorer.widget.children}
    widgets[kind].value = value


def test_the_first_picture_is_the_axial_slice_in_the_middle(drawn):
    explorer = explore()
    assert [(view.plane, view.focus, view.volume) for view in drawn] == [("axial", (3, 3, 2), 0)]
    assert explorer.picture.alt == "an array 1"
    assert (explorer.plane, explorer.slice, explorer.volume) == ("axial", 2, 0)


def test_the_options_of_peek_hold_for_every_picture(drawn):
    explorer = explore(plane="coronal", focus=(1, 2, 3), volume=1, colourmap="hot", zoom=3, crosshair=False, plot="z")
    explorer.slice = 4
    first, second = drawn
    assert (first.plane, first.focus, first.volume) == ("coronal", (1, 2, 3), 1)
    assert (second.focus, second.colourmap, second.zoom) == ((1, 4, 3), "hot", 3)
    assert (second.crosshair, second.plot) == (False, "z")


def test_setting_slice_and_volume_draws_them_once(drawn):
    explorer = explore()
    explorer.slice = 4
    explorer.volume = 3
    assert [(view.focus, view.volume) for view in drawn[1:]] == [((3, 3, 4), 0), ((3, 3, 4), 3)]
    assert explorer.picture.alt == "an array 3"


def test_moving_the_sliders_draws_into_the_widget(drawn):
    explorer = explore()
    moved(explorer, "IntSliderslice", 1)
    moved(explorer, "IntSlidervolume", 2)
    assert (drawn[-1].focus, drawn[-1].volume) == ((3, 3, 1), 2)
    assert explorer.widget.children[-1].value == explorer.picture.png
    assert explorer.slice == 1


def test_another_plane_is_drawn_once_with_its_own_slices(drawn):
    explorer = explore()
    explorer.slice = 4
    explorer.plane = "sagittal"
    assert [view.plane for view in drawn] == ["axial", "axial", "sagittal"]
    assert explorer.slice == 3
    explorer.slice = 6
    assert drawn[-1].focus == (6, 3, 4)
    moved(explorer, "ToggleButtons", "axial")
    assert (drawn[-1].plane, explorer.slice, len(drawn)) == ("axial", 4, 5)


def test_an_image_without_volumes_has_no_slider_for_them(drawn):
    explorer = explore(series()[..., 0])
    assert [type(child).__name__ for child in explorer.widget.children] == [
        "ToggleButtons", "IntSlider", "HTML", "Image",
    ]  # fmt: skip
    explorer.volume = 0
    with pytest.raises(OptionError) as refused:
        explorer.volume = 1
    assert refused.value.code == "bad-value" and "0 to 0" in refused.value.message


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("slice", 5, "0 to 4"), ("slice", -1, "0 to 4"), ("slice", 1.5, "0 to 4"), ("volume", 4, "0 to 3"),
        ("plane", "top", "sagittal, coronal, axial"), ("range", (3, 1), ""),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_refused_and_nothing_drawn(drawn, name, value, allowed):
    explorer = explore()
    with pytest.raises(OptionError) as caught:
        setattr(explorer, name, value)
    assert caught.value.code == "bad-value" and len(drawn) == 1
    for part in (name, repr(value), allowed):
        assert part in str(caught.value)


def test_one_range_of_the_whole_series_holds_for_all_slices_and_volumes(drawn):
    explorer = explore()
    explorer.volume, explorer.slice = 2, 0
    assert {view.range for view in drawn} == {explorer.range}
    np.testing.assert_allclose(explorer.range, np.percentile(series(), [0.2, 99.8]), rtol=1e-6)


def test_the_callers_range_and_percentiles_hold_instead(drawn):
    assert explore(range=(1, 2)).range == (1, 2)
    np.testing.assert_allclose(explore(percentiles=(5, 50)).range, np.percentile(series(), [5, 50]), rtol=1e-6)
    assert {view.percentiles for view in drawn} == {None}


def test_another_range_is_drawn_at_once(drawn):
    explorer = explore()
    explorer.range = (0, 10)
    assert drawn[-1].range == (0, 10)


@pytest.mark.parametrize(("value", "limits"), [(0, (0, 1)), (7, (0, 7)), (-7, (-7, 0))])
def test_a_series_of_one_value_has_a_range(drawn, value, limits):
    assert explore(np.full(SHAPE, value, np.int16)).range == limits


def test_a_mask_of_few_voxels_has_a_range_that_shows_them(drawn):
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[3, 4, 5] = 1
    assert explore(mask).range == (0, 1)


def test_what_goes_wrong_while_sliding_is_told_below_the_sliders_and_gone_afterwards(drawn, monkeypatch):
    explorer, draw = explore(), slices.drawn
    failure = ProvisionError("mrpeek could not show <it>.", hint="Try.")

    def fail(*_):
        raise failure

    monkeypatch.setattr(slices, "drawn", fail)
    moved(explorer, "IntSliderslice", 1)
    message = explorer.widget.children[-2]
    assert message.value == "<b>mrpeek could not show &lt;it&gt;. Try.</b>"
    with pytest.raises(ProvisionError) as raised:
        _ = explorer.picture
    assert raised.value is failure
    with pytest.raises(ProvisionError) as raised:
        explorer.slice = 3
    assert raised.value is failure
    monkeypatch.setattr(slices, "drawn", draw)
    explorer.slice = 2
    assert message.value == ""
    assert explorer.picture.png == explorer.widget.children[-1].value


def test_what_cannot_be_drawn_at_all_is_told_at_once_and_leaves_nothing(drawn, monkeypatch, temporary):
    def fail(*_):
        raise ProvisionError("It broke.", code="broken")

    monkeypatch.setattr(slices, "drawn", fail)
    with pytest.raises(ProvisionError) as raised:
        explore()
    assert raised.value.code == "broken"
    del raised  # its traceback keeps the explorer alive
    gc.collect()
    assert os.listdir(temporary) == []


def test_a_compressed_image_is_decompressed_once_and_removed_with_the_object(drawn, tmp_path, temporary):
    path = compressed(tmp_path / "a.nii.gz")
    explorer = explore(path)
    (copy,) = temporary.glob("*/*")
    assert copy.read_bytes() == gzip.decompress(path.read_bytes())
    path.unlink()
    explorer.slice = 1
    del explorer
    gc.collect()
    assert os.listdir(temporary) == []


def test_what_is_shown_keeps_its_file_until_it_is_closed(drawn, temporary):
    explorer = explore()
    shown = explorer.widget
    del explorer
    gc.collect()
    shown.children[1].value = 0
    assert drawn[-1].focus == (3, 3, 0)
    shown.explorer.close()
    assert os.listdir(temporary) == []


def test_a_notebook_shows_the_widget_and_keeps_the_picture_for_where_there_are_no_widgets(drawn, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **options: shown.append((bundle, options)))
    explorer = explore()
    explorer._ipython_display_()
    ((bundle, options),) = shown
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.widget.model_id
    assert base64.b64decode(bundle["image/png"]) == explorer.picture.png
    assert options == {"raw": True, "metadata": {"image/png": {"alt": explorer.picture.alt}}}


def test_it_reads_as_one_line(drawn, tmp_path):
    assert repr(explore(compressed(tmp_path / "dwi.nii.gz"))) == "<Explorer of dwi.nii.gz: 7 x 6 x 5 x 4>"


def test_without_ipywidgets_the_command_that_installs_it_is_told_and_nothing_is_written(drawn, monkeypatch, temporary):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ProvisionError) as caught:
        explore()
    assert caught.value.code == "missing-packages" and "ipywidgets" in caught.value.message
    assert 'pip install "mrtrix-provision[view]"' in caught.value.hint
    assert os.listdir(temporary) == []


def test_without_mrpeek_the_call_that_installs_it_is_told_and_nothing_is_written(monkeypatch, temporary):
    monkeypatch.setattr(notes, "read_state", lambda _: {})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProvisionError) as caught:
        explore()
    assert caught.value.code == "not-installed" and 'provision.run("mrpeek")' in caught.value.hint
    assert os.listdir(temporary) == []


def test_a_redraw_of_a_diffusion_series_takes_less_than_a_third_of_a_second(tmp_path, monkeypatch, temporary):
    """With the real mrpeek: the median of some, because the machine has other things to do as well."""
    if not (folder := os.environ.get("PROVISION_TEST_MRPEEK")):
        pytest.skip("PROVISION_TEST_MRPEEK does not name the folder of a real mrpeek.")
    state = {"report": {"bin": folder, "decoder": os.environ.get("PROVISION_TEST_SIXEL")}}
    monkeypatch.setattr(notes, "read_state", lambda _: state)
    explorer = explore(compressed(tmp_path / "a.nii.gz", series(48, 48, 20, 193)))
    seconds = []
    for volume in range(20, 190, 20):
        begun = time.perf_counter()
        explorer.volume = volume
        seconds.append(time.perf_counter() - begun)
    assert f"volume {volume}," in explorer.picture.alt
    assert np.median(seconds) < 0.3
