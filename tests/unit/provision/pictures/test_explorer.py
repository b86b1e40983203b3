"""Sliders show the slices they say, at one brightness, and tell what goes wrong."""

import base64
import gc
import os
import sys

import nibabel
import numpy as np
import pytest

import provision
from provision.errors import OptionError, ProvisionError
from provision.pictures.slices import Slices

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed.")
pytestmark = pytest.mark.usefixtures("mrtrix", "temporary")

SERIES = np.random.default_rng(0).uniform(1, 100, (7, 6, 5, 4)).astype(np.float32)


def explore(image=SERIES, **options):
    return provision.peek(image, interactive=True, **options)


def compressed(path):
    nibabel.save(nibabel.Nifti1Image(SERIES, np.eye(4)), path)
    return path


def sliders(explorer):
    return {child.description: child for child in explorer.widget.children if hasattr(child, "max")}


def shown(explorer, number):
    return explorer.picture.figure.axes[number].images[0].get_array().swapaxes(0, 1)


def test_the_first_picture_is_that_of_peek():
    explorer, picture = explore(volume=1, focus=(1, 2, 3)), provision.peek(SERIES, volume=1, focus=(1, 2, 3))
    assert explorer.picture.png == picture.png and explorer.widget.children[-1].value == picture.png


def test_there_is_a_slider_for_each_plane_and_for_the_volume():
    assert {name: one.max for name, one in sliders(explore()).items()} == {
        "sagittal": 6, "coronal": 5, "axial": 4, "volume": 3,
    }  # fmt: skip
    assert list(sliders(explore(SERIES[..., 0], plane="axial"))) == ["axial"]
    assert list(sliders(explore(slices=3))) == ["volume"]


def test_moving_a_slider_redraws_all_planes_and_the_words():
    explorer = explore()
    sliders(explorer)["sagittal"].value = 1
    sliders(explorer)["volume"].value = 2
    assert explorer.focus == (1, 3, 2) and explorer.volume == 2
    assert np.array_equal(shown(explorer, 0), SERIES[1, :, :, 2])
    assert np.array_equal(shown(explorer, 2), SERIES[:, :, 2, 2])
    title, footer = [text.get_text() for text in explorer.picture.figure.texts]
    assert "volume 2" in title and "voxel 1, 3, 2" in footer
    assert explorer.widget.children[-1].value == explorer.picture.png


def test_setting_a_place_or_a_volume_moves_the_sliders_and_draws_once(monkeypatch):
    explorer, moves = explore(), []
    move = Slices.move
    monkeypatch.setattr(Slices, "move", lambda self, view: (moves.append(view), move(self, view)))
    explorer.focus = (6, 0, 4)
    assert [sliders(explorer)[name].value for name in ("sagittal", "coronal", "axial")] == [6, 0, 4]
    explorer.volume = 3
    assert sliders(explorer)["volume"].value == 3 and len(moves) == 2


def test_one_range_holds_for_all_slices_and_volumes_until_another_is_set():
    explorer = explore()
    first = explorer.range
    explorer.volume = 2
    assert explorer.range == first
    explorer.range = (5, 50)
    explorer.volume = 1
    assert explorer.range == (5, 50) and explorer.picture.figure.axes[0].images[0].get_clim() == (5, 50)


def test_an_overlay_moves_along():
    mask = np.zeros(SERIES.shape[:3], np.uint8)
    mask[1:3, 1:4, 1:4] = 1
    explorer = explore(overlay=mask, focus=(0, 2, 2))
    sagittal = explorer.picture.figure.axes[0]
    assert not sagittal.collections
    explorer.focus = (2, 2, 2)
    explorer.focus = (1, 2, 2)
    assert len(sagittal.collections) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("focus", (7, 0, 0)),
        ("focus", (1, 2)),
        ("focus", 3),
        ("volume", 4),
        ("volume", "1"),
        ("range", (2, 1)),
        ("range", 3),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_and_nothing_moves(name, value):
    explorer = explore()
    before = explorer.picture.png
    with pytest.raises(OptionError) as caught:
        setattr(explorer, name, value)
    assert caught.value.code == "bad-value" and explorer.picture.png == before


def test_what_goes_wrong_while_sliding_is_shown_below_the_sliders_and_gone_afterwards(monkeypatch):
    explorer, move = explore(), Slices.move

    def fail(*_):
        raise ProvisionError("It could not show <it>.", hint="Try.", code="broken")

    monkeypatch.setattr(Slices, "move", fail)
    sliders(explorer)["axial"].value = 1
    message = explorer.widget.children[-2]
    assert message.value == "<b>It could not show &lt;it&gt;. Try.</b>"
    with pytest.raises(ProvisionError) as caught:
        _ = explorer.picture
    assert caught.value.code == "broken"
    monkeypatch.setattr(Slices, "move", move)
    explorer.focus = (0, 0, 0)
    assert message.value == "" and explorer.picture.png == explorer.widget.children[-1].value


def test_a_compressed_image_is_decompressed_once_and_removed_with_the_object(tmp_path, temporary, mrtrix):
    path = compressed(tmp_path / "a.nii.gz")
    explorer = explore(path)
    path.unlink()
    explorer.volume = 3
    assert [call[2] for call in mrtrix.calls if call[1] == str(path) and call[0] == "mrconvert"] == [
        str(next(temporary.iterdir()) / "2.mif")
    ]
    del explorer
    gc.collect()
    assert os.listdir(temporary) == []


def test_what_is_shown_keeps_its_file_until_it_is_closed(temporary):
    explorer = explore()
    widget = explorer.widget
    del explorer
    gc.collect()
    widget.children[0].value = 0
    assert widget.explorer.focus == (0, 3, 2)
    widget.explorer.close()
    assert os.listdir(temporary) == []


def test_a_notebook_shows_the_widget_and_keeps_the_picture_for_where_there_are_no_widgets(monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **options: displayed.append((bundle, options)))
    explorer = explore()
    explorer._ipython_display_()
    ((bundle, options),) = displayed
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.widget.model_id
    assert base64.b64decode(bundle["image/png"]) == explorer.picture.png
    assert options == {"raw": True, "metadata": {"image/png": {"alt": explorer.picture.alt}}}


def test_it_reads_as_one_line(tmp_path):
    assert repr(explore(compressed(tmp_path / "dwi.nii.gz"))) == "<Explorer of dwi.nii.gz: 7 x 6 x 5 x 4>"


def test_without_ipywidgets_the_command_that_installs_it_is_named_and_nothing_is_left(monkeypatch, temporary):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ProvisionError) as caught:
        explore()
    assert caught.value.code == "missing-packages" and "ipywidgets" in caught.value.message
    del caught
    gc.collect()
    assert os.listdir(temporary) == []
