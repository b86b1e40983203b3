"""What is sent to the browser, and what is refused before anything is sent; no browser is needed for it."""

import base64
import gzip
import io
import subprocess
import sys
import types
import warnings

import nibabel
import numpy as np
import pytest

pytest.importorskip("ipyniivue", reason="ipyniivue is not installed, which provision.view stands on")

import IPython
from anywidget import _util as anywidget_util
from colab import on_colab
from ipyniivue import ColormapType, ShowRender, SliceType

from provision.errors import OptionError, ProvisionError
from provision.pictures import drawing
from provision.pictures import view as webview
from provision.pictures.view import view

from .tracks import LINES, streamlines, tck

pytestmark = pytest.mark.usefixtures("mrtrix", "nothing_stays")

AFFINE = np.array([[2.0, 0, 0, -3], [0, 2, 0, -5], [0, 0, 2.5, 7], [0, 0, 0, 1]])
FLIPPED = np.array([[-1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


@pytest.fixture(autouse=True)
def notebook(monkeypatch):
    """Let this process pass for a kernel."""
    monkeypatch.setattr(IPython, "get_ipython", lambda: types.SimpleNamespace(kernel=object()))


@pytest.fixture
def enabled(monkeypatch):
    """Google Colab, with a list of how often its manager of custom widgets was enabled."""
    calls = []
    anywidget_util.enable_custom_widget_manager_once.cache_clear()
    with on_colab(monkeypatch):
        from google.colab import output

        enable = output.enable_custom_widget_manager
        monkeypatch.setattr(output, "enable_custom_widget_manager", lambda: [calls.append("enabled"), enable()])
        yield calls
    anywidget_util.enable_custom_widget_manager_once.cache_clear()


def nifti(path, values=VALUES, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def sent(volume) -> nibabel.Nifti1Image:
    """Return the image that the browser gets."""
    assert volume.name.endswith(".nii.gz"), "niivue tells the format by the name"
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(volume.data))


# What is shown


def test_the_first_image_is_grey_and_those_over_it_are_coloured_and_half_transparent(tmp_path):
    volumes = view(nifti(tmp_path / "t1.nii.gz"), nifti(tmp_path / "fa.nii"), VALUES).niivue.volumes
    assert [volume.colormap for volume in volumes] == ["gray", "warm", "winter"]
    assert [volume.opacity for volume in volumes] == [1, 0.5, 0.5]
    assert [volume.name for volume in volumes] == ["t1.nii.gz.nii.gz", "fa.nii.nii.gz", "image 3.nii.gz"]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: nifti(folder / "a.nii.gz"),
        lambda folder: str(nifti(folder / "a.nii")),
        lambda folder: nibabel.Nifti1Image(VALUES, AFFINE),
        lambda folder: nifti(folder / "a.nii", VALUES[::-1], AFFINE @ FLIPPED),
    ],
    ids=["nii.gz", "nii as text", "nibabel", "stored from right to left"],
)
def test_the_browser_gets_each_value_at_its_place(tmp_path, make):
    image = sent(view(make(tmp_path)).niivue.volumes[0])
    np.testing.assert_array_equal(image.get_fdata(), VALUES)
    np.testing.assert_allclose(image.get_sform(coded=True)[0], AFFINE)
    assert image.get_sform(coded=True)[1] and image.get_qform(coded=True)[1]


def test_an_array_is_placed_in_voxels_of_one_millimetre():
    np.testing.assert_array_equal(sent(view(VALUES).niivue.volumes[0]).affine, np.eye(4))


def test_of_a_series_only_the_volume_asked_for_is_sent():
    series = np.stack([VALUES, VALUES + 100, VALUES + 200], axis=-1)
    np.testing.assert_array_equal(sent(view(series).niivue.volumes[0]).get_fdata(), VALUES)
    np.testing.assert_array_equal(sent(view(series, volume=2).niivue.volumes[0]).get_fdata(), VALUES + 200)
    several = sent(view(series, volume=np.array([2, 0])).niivue.volumes[0]).get_fdata()
    np.testing.assert_array_equal(several, series[..., [2, 0]])


def test_a_volume_is_chosen_from_images_with_several_and_the_others_are_sent_as_they_are():
    volumes = view(VALUES, np.stack([VALUES, VALUES + 100], axis=-1), volume=1).niivue.volumes
    assert sent(volumes[0]).get_fdata().max() == VALUES.max()
    assert sent(volumes[1]).get_fdata().max() == VALUES.max() + 100


@pytest.mark.parametrize(
    ("factor", "sent_as"), [(1, "uint8"), (-1, "int16"), (100, "int16"), (1000, "float32"), (0.5, "float32")]
)
def test_values_are_sent_exactly_in_the_smallest_type_that_a_texture_has(factor, sent_as):
    image = sent(view(VALUES * factor).niivue.volumes[0])
    assert image.get_data_dtype() == sent_as
    np.testing.assert_array_equal(image.get_fdata(), VALUES * factor)


def test_what_is_no_number_is_sent_as_zero():
    values = VALUES.copy()
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    assert sent(view(values).niivue.volumes[0]).get_fdata()[0, 0, :3].tolist() == [0, 0, 0]


def test_the_first_image_has_the_range_of_peek():
    volume = view(VALUES).niivue.volumes[0]
    assert (volume.cal_min, volume.cal_max) == drawing.robust_range(VALUES)


MAP = np.zeros((10, 10, 10), np.float32)
MAP[:5] = 0.8


@pytest.mark.parametrize(("threshold", "low"), [(None, 0.4), (0.3, 0.3), ([0.2], 0.2), ([None], 0.4)])
def test_an_overlay_is_invisible_below_a_threshold_and_by_default_below_half_of_its_brightest(threshold, low):
    volume = view(MAP, np.where(MAP, MAP, np.nan), threshold=threshold).niivue.volumes[1]
    assert (volume.cal_min, volume.cal_max) == pytest.approx((low, 0.8))
    assert volume.colormap_type is ColormapType.ZERO_TO_MAX_TRANSPARENT_BELOW_MIN and not volume.colormap_negative


def test_negative_values_of_an_overlay_beyond_the_threshold_have_colours_of_their_own():
    signed = view(MAP, MAP - 0.4, threshold=0.3).niivue.volumes[1]
    assert (signed.cal_min, signed.colormap_negative) == (pytest.approx(0.3), "winter")
    assert view(MAP, MAP - 0.1, threshold=0.3).niivue.volumes[1].colormap_negative == ""


def test_of_a_mask_and_labels_none_is_invisible_whatever_type_they_have():
    labels = np.arange(85, dtype=np.float64).reshape(5, 17, 1).repeat(2, axis=2)
    volumes = view(labels, labels, labels > 0).niivue.volumes
    assert [(volume.cal_min, volume.cal_max) for volume in volumes[1:]] == [(0.5, 84), (0.5, 1)]


def test_whole_numbers_that_are_no_labels_have_a_threshold():
    counts = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    assert view(counts, counts).niivue.volumes[1].cal_min > 400


def test_an_overlay_with_nothing_in_it_is_shown():
    assert sent(view(VALUES, 0 * VALUES).niivue.volumes[1]).get_fdata().max() == 0


def test_one_value_is_for_all_over_the_first_image_and_for_it_if_it_is_alone():
    volumes = view(VALUES, VALUES, VALUES, colourmap="hot", opacity=0.25).niivue.volumes
    assert [volume.colormap for volume in volumes] == ["gray", "hot", "hot"]
    assert [volume.opacity for volume in volumes] == [1, 0.25, 0.25]
    alone = view(VALUES, colourmap="hot", opacity=0.25).niivue.volumes[0]
    assert (alone.colormap, alone.opacity) == ("hot", 0.25)


def test_a_sequence_of_values_has_one_for_each(tmp_path):
    tracks = tck(tmp_path / "a.tck")
    viewer = view(VALUES, tracks, VALUES, colourmap=["grey", "viridis"], opacity=[0.9, 0.8, 0.7]).niivue
    assert [volume.colormap for volume in viewer.volumes] == ["gray", "viridis"]
    assert [volume.opacity for volume in viewer.volumes] == [0.9, 0.7]
    assert viewer.meshes[0].opacity == 0.8


@pytest.mark.parametrize(
    ("layout", "kind"),
    [("all", SliceType.MULTIPLANAR), ("axial", SliceType.AXIAL), ("coronal", SliceType.CORONAL),
     ("sagittal", SliceType.SAGITTAL), ("3d", SliceType.RENDER)],
)  # fmt: skip
def test_each_layout_is_a_kind_of_niivues(layout, kind):
    viewer = view(VALUES, layout=layout, height=300).niivue
    assert viewer.opts.slice_type is kind
    assert viewer.opts.multiplanar_show_render is ShowRender.ALWAYS
    assert viewer.height == 300


def test_slices_are_turned_as_peek_and_mrview_turn_them():
    options = view(VALUES).niivue.opts
    assert options.is_radiological_convention and options.sagittal_nose_left
    assert options.is_corner_orientation_text, "niivue 0.65 puts the letter at the left edge of one slice to its right"


def test_colour_bars_and_an_orientation_cube_are_shown():
    options = view(VALUES).niivue.opts
    assert options.is_colorbar and options.is_orient_cube


# The line below, and the picture beside it


def moved(viewer, values):
    """The line below the view after a click in it."""
    data = {"mm": [1.0, -2.0, 3.25, 1.0], "values": [{"name": "x", "value": value} for value in values], "string": ""}
    viewer.niivue._handle_custom_msg({"event": "location_change", "data": data}, [])
    return viewer.widget.children[1].value


def test_the_line_below_has_the_names_and_the_values_at_the_crosshair(tmp_path):
    viewer = view(nifti(tmp_path / "<t1>.nii"), nifti(tmp_path / "fa.nii", MAP), threshold=0.25)
    assert viewer.widget.children[0] is viewer.niivue
    assert viewer.widget.children[1].value == "&lt;t1&gt;.nii + fa.nii (from 0.25)"
    assert moved(viewer, [12.0, 0.34567]).endswith("<br>at 1.0, -2.0, 3.2 mm: &lt;t1&gt;.nii 12, fa.nii 0.3457")
    assert moved(viewer, [None]) == viewer.widget.children[1].value == "&lt;t1&gt;.nii + fa.nii (from 0.25)"


def test_a_saved_notebook_keeps_a_picture_of_the_slices_in_the_same_bundle_as_the_widget(tmp_path):
    viewer = view(MAP, MAP, tck(tmp_path / "a.tck"), threshold=0.3)
    data, about = viewer._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == viewer.widget.model_id
    assert base64.b64decode(data["image/png"]) == viewer.picture.png
    assert about["image/png"] == {"alt": viewer.picture.alt}
    panels = viewer.picture.figure.axes[:3]
    assert [axes.get_label() for axes in panels] == ["sagittal", "coronal", "axial"]
    below, over = (image.get_array() for image in panels[2].images)
    np.testing.assert_array_equal(below, MAP[:, :, 5].T)
    np.testing.assert_array_equal(over.mask, MAP[:, :, 5].T < 0.3)
    assert all(len(axes.collections) == 1 for axes in panels), "tracks"


def test_the_picture_has_the_plane_and_the_volume_of_the_view():
    series = np.stack([VALUES, VALUES + 100], axis=-1)
    picture = view(series, layout="coronal", volume=1).picture
    assert picture.figure.axes[0].get_label() == "coronal"
    np.testing.assert_array_equal(picture.figure.axes[0].images[0].get_array(), VALUES[:, 2].T + 100)


def test_tracks_alone_have_a_picture_unless_mrtrix3_does_not_read_them(tmp_path):
    (tmp_path / "a.trk").write_bytes(streamlines("a.trk"))
    assert view(tck(tmp_path / "a.tck")).picture.figure.axes[0].collections
    other = view(tmp_path / "a.trk")
    assert other.picture is None and "image/png" not in other._repr_mimebundle_()[0]


# Tracks


def test_tracks_are_opaque_lines_coloured_by_direction_that_slices_show_near_them(tmp_path):
    viewer = view(nifti(tmp_path / "t1.nii.gz"), tck(tmp_path / "bundle.tck")).niivue
    (mesh,) = viewer.meshes
    assert (mesh.name, mesh.opacity, mesh.fiber_color) == ("bundle.tck", 1, "Local")
    assert viewer.opts.mesh_thickness_on_2d == 4, "two voxels of 2 mm"
    assert viewer.opts.mesh_xray > 0, "the volume would hide them"


def test_tracks_alone_are_shown_in_three_dimensions(tmp_path):
    viewer = view(tck(tmp_path / "bundle.tck")).niivue
    assert viewer.opts.slice_type is SliceType.RENDER
    assert viewer.volumes == [] and not viewer.opts.is_colorbar


def received(viewer):
    """The tracks that the browser gets."""
    data = viewer.niivue.meshes[0].data
    assert b"datatype: Float32LE" in data[:100], "niivue reads no other"
    return list(nibabel.streamlines.load(io.BytesIO(data)).streamlines)


def test_the_tracks_that_mrtrix3_reads_reach_the_browser(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines = received(view(tck(tmp_path / "a.tck")))
    assert [line.tolist() for line in lines] == [line.tolist() for line in LINES]


def test_of_many_tracks_evenly_spaced_ones_are_shown_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(webview, "MOST_POINTS", 100)
    path = tck(tmp_path / "a.tck", [np.full((9, 3), number, np.float32) + np.eye(9, 3) for number in range(100)])
    with pytest.warns(UserWarning, match=r"a\.tck: (\d+) of 100 tracks") as told:
        viewer = view(path)
    firsts = [int(line[5, 0]) for line in received(viewer)]
    assert f" {len(firsts)} of 100 " in str(told[0].message) and told[0].filename == __file__
    assert f"({len(firsts)} of 100 tracks)" in viewer.widget.children[1].value
    assert 8 <= len(firsts) <= 10 and firsts[0] == 0 and set(np.diff(firsts)) <= {10, 11, 12}


@pytest.mark.parametrize("name", ["a.trk", "a.trk.gz", "a.tt", "a.tt.gz", "a.trx"])
def test_tracks_of_other_programs_are_sent_as_they_are(tmp_path, name):
    content = streamlines(name)
    (tmp_path / name).write_bytes(content)
    (mesh,) = view(tmp_path / name).niivue.meshes
    assert (mesh.name, mesh.data) == (name, content)


# What is refused


def written(path, content=b"text"):
    path.write_bytes(content)
    return path


SERIES = np.zeros((3, 4, 5, 6), np.float32)


@pytest.mark.parametrize(
    ("make", "options", "code", "values"),
    [
        (lambda _: [], {}, "nothing-to-show", ['provision.view("']),
        (lambda folder: [folder / "none.nii"], {}, "no-file", ["none.nii"]),
        (lambda folder: [folder / "none.tck"], {}, "no-file", ["none.tck"]),
        (lambda folder: [tck(folder / "bundle.tck").with_name("bundel.tck")], {}, "no-file", ["'bundle.tck'"]),
        (lambda folder: [folder / "none" / "a.tck"], {}, "no-file", ["none/a.tck"]),
        (lambda folder: [written(folder / "notes.txt")], {}, "unknown-format", ["notes.txt"]),
        (lambda folder: [written(folder / "empty.trk", b"")], {}, "damaged", ["empty.trk"]),
        (lambda folder: [written(folder / "junk.trk")], {}, "bad-tracks", ["junk.trk"]),
        (lambda folder: [written(folder / "a.tck")], {}, "bad-tracks", ["a.tck", "tckinfo"]),
        (lambda folder: [tck(folder / "a.tck", [])], {}, "nothing-to-show", ["a.tck"]),
        (lambda _: ["3"], {}, "no-file", ["3"]),
        (lambda _: [3], {}, "bad-value", ["int"]),
        (lambda _: [VALUES], {"opacity": 1.5}, "bad-value", ["opacity", "0 to 1", "1.5"]),
        (lambda _: [VALUES], {"opacity": "half"}, "bad-value", ["opacity", "0 to 1", "'half'"]),
        (lambda _: [VALUES], {"opacity": [1, 1]}, "bad-value", ["opacity", "2", "1"]),
        (lambda _: [VALUES], {"colourmap": ["hot", "hot"]}, "bad-value", ["colourmap", "2", "1"]),
        (lambda _: [VALUES], {"colourmap": "virdis"}, "bad-value", ["'virdis'", "'viridis'"]),
        (lambda _: [VALUES], {"colourmap": 3}, "bad-value", ["colour map", "3", "actc, "]),
        (lambda _: [VALUES], {"layout": "axail"}, "bad-value", ["'axail'", "'axial'"]),
        (lambda _: [VALUES], {"height": 50}, "bad-value", ["height", "100 to 2000", "50"]),
        (lambda _: [VALUES], {"height": "tall"}, "bad-value", ["height", "100 to 2000", "'tall'"]),
        (lambda _: [SERIES], {"volume": 6}, "bad-value", ["image 1", "0 to 5", "6"]),
        (lambda _: [SERIES], {"volume": -1}, "bad-value", ["-1"]),
        (lambda _: [SERIES], {"volume": "first"}, "bad-value", ["'first'"]),
        (lambda _: [SERIES], {"volume": []}, "bad-value", ["volume=0"]),
        (lambda _: [VALUES, VALUES], {"threshold": -1}, "bad-value", ["threshold", "-1"]),
        (lambda _: [VALUES, VALUES], {"threshold": "half"}, "bad-value", ["threshold", "'half'"]),
        (lambda _: [VALUES, VALUES], {"threshold": [1, 2]}, "bad-value", ["threshold", "2", "1"]),
        (lambda _: [np.full((2, 2, 2), np.nan)], {}, "nothing-to-show", ["array"]),
        (lambda _: [np.zeros((1, 1, 2049), bool)], {}, "too-large", ["image 1", "2048"]),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused_with_one_sentence(tmp_path, make, options, code, values):
    with pytest.raises(OptionError) as error:
        view(*make(tmp_path), **options)
    assert error.value.code == code and "\n" not in str(error.value)
    assert [value for value in values if value not in str(error.value)] == []


def test_what_is_too_large_is_told_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(webview, "LARGEST", 100)
    with pytest.raises(OptionError) as error:
        view(VALUES)
    assert error.value.code == "too-large" and "3 x 4 x 5" in error.value.message and "240 B" in error.value.message
    assert "mrgrid" in error.value.hint and "provision.peek" in error.value.hint
    (tmp_path / "a.trk").write_bytes(streamlines("a.trk"))
    with pytest.raises(OptionError) as error:
        view(tmp_path / "a.trk")
    assert error.value.code == "too-large" and "100 B" in error.value.message and ".tck" in error.value.hint


def test_a_series_too_large_as_a_whole_is_shown_by_one_volume(monkeypatch):
    monkeypatch.setattr(webview, "LARGEST", 4 * VALUES.size)
    series = np.stack([VALUES, VALUES], axis=-1)
    assert view(series, volume=1).niivue.volumes
    with pytest.raises(OptionError) as error:
        view(series, volume=[0, 1])
    assert error.value.code == "too-large"
    assert "3 x 4 x 5" in error.value.message and "mrgrid" not in error.value.hint


def test_without_ipyniivue_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(ProvisionError) as error:
        view(VALUES)
    assert error.value.code == "missing-packages" and "ipyniivue" in error.value.message
    assert 'pip install "mrtrix-provision[view]"' in error.value.hint


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace()], ids=["no IPython", "IPython in a terminal"])
def test_outside_a_notebook_it_names_what_works_there(monkeypatch, shell):
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    with pytest.raises(ProvisionError) as error:
        view(VALUES)
    assert error.value.code == "no-notebook" and "provision.peek" in error.value.hint


# Google Colab


def test_in_colab_the_manager_of_custom_widgets_is_enabled_once_and_named_with_each_view(enabled):
    for viewer in (view(VALUES), view(VALUES, VALUES)):
        _, metadata = viewer._repr_mimebundle_()
        manager = metadata["application/vnd.jupyter.widget-view+json"]["colab"]["custom_widget_manager"]
        assert manager == {"url": "https://example.org/manager.min.js"}
    assert enabled == ["enabled"]


def test_importing_loads_none_of_the_large_packages():
    code = "import sys, provision.pictures.view; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"numpy", "nibabel", "ipyniivue", "ipywidgets", "IPython", "rich", "ansible"}
