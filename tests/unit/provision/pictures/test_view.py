"""What is sent to the browser, and what is refused before anything is sent; no browser is needed for it."""

import gzip
import subprocess
import sys
import types

import nibabel
import numpy as np
import pytest

pytest.importorskip("ipyniivue", reason="ipyniivue is not installed, which provision.view stands on")

import IPython
from anywidget import _util as anywidget_util
from colab import on_colab
from ipyniivue import ColormapType, ShowRender, SliceType

from provision.errors import OptionError, ProvisionError
from provision.pictures import view as webview
from provision.pictures.view import view

from .tracks import streamlines

AFFINE = np.array([[2.0, 0, 0, -3], [0, 2, 0, -5], [0, 0, 2.5, 7], [0, 0, 0, 1]])
VALUES = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
TRACKS = [np.array([[0, 0, 0], [1, 0, 0], [2, 0.5, 0]]), np.array([[0, 1, 0], [0, 2, 1]])]


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


def mif(path, values=VALUES):
    """Write an image of MRtrix3 whose first axis is stored from right to left, in big-endian order."""
    header = f"mrtrix image\ndim: {','.join(map(str, values.shape))}\nvox: 2,2,2.5\nlayout: -0,+1,+2\n"
    header += "datatype: Float32BE\ntransform: 1,0,0,-3\ntransform: 0,1,0,-5\ntransform: 0,0,1,7\nfile: . 200\nEND\n"
    content = header.encode().ljust(200, b"\0") + values[::-1].astype(">f4").tobytes(order="F")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def tck(path, datatype="Float32LE", dtype="<f4", tracks=TRACKS, comment="tckgen"):
    """Write tracks with a separator after each and the mark of the end."""
    header = f"mrtrix tracks\ncommand_history: {comment}\ndatatype: {datatype}\nfile: . 300\nEND\n"
    points = [np.vstack([track, np.full(3, np.nan)]) for track in tracks] + [np.full((1, 3), np.inf)]
    path.write_bytes(header.encode().ljust(300, b"\0") + np.vstack(points).astype(dtype).tobytes())
    return path


def sent(volume) -> nibabel.Nifti1Image:
    """Return the image that the browser gets."""
    assert volume.name.endswith(".nii.gz"), "niivue tells the format by the name"
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(volume.data))


# What is shown


def test_the_first_image_is_grey_and_those_over_it_are_coloured_and_half_transparent(tmp_path):
    viewer = view(nifti(tmp_path / "t1.nii.gz"), nifti(tmp_path / "fa.nii"), VALUES)
    assert [volume.colormap for volume in viewer.volumes] == ["gray", "warm", "winter"]
    assert [volume.opacity for volume in viewer.volumes] == [1, 0.5, 0.5]
    assert [volume.name for volume in viewer.volumes] == ["t1.nii.gz.nii.gz", "fa.nii.nii.gz", "image 3.nii.gz"]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: nifti(folder / "a.nii.gz"),
        lambda folder: str(nifti(folder / "a.nii")),
        lambda folder: nibabel.Nifti1Image(VALUES, AFFINE),
        lambda folder: mif(folder / "a.mif"),
        lambda folder: mif(folder / "a.mif.gz"),
    ],
    ids=["nii.gz", "nii as text", "nibabel", "mif", "mif.gz"],
)
def test_the_browser_gets_each_value_at_its_place(tmp_path, make):
    image = sent(view(make(tmp_path)).volumes[0])
    np.testing.assert_array_equal(image.get_fdata(), VALUES)
    np.testing.assert_allclose(image.get_sform(coded=True)[0], AFFINE)
    assert image.get_sform(coded=True)[1] and image.get_qform(coded=True)[1]


def test_an_array_is_placed_in_voxels_of_one_millimetre():
    np.testing.assert_array_equal(sent(view(VALUES).volumes[0]).affine, np.eye(4))


def test_of_a_series_only_the_volume_asked_for_is_sent():
    series = np.stack([VALUES, VALUES + 100, VALUES + 200], axis=-1)
    np.testing.assert_array_equal(sent(view(series).volumes[0]).get_fdata(), VALUES)
    np.testing.assert_array_equal(sent(view(series, volume=2).volumes[0]).get_fdata(), VALUES + 200)
    several = sent(view(series, volume=np.array([2, 0])).volumes[0]).get_fdata()
    np.testing.assert_array_equal(several, series[..., [2, 0]])


def test_a_volume_is_chosen_from_images_with_several_and_the_others_are_sent_as_they_are():
    viewer = view(VALUES, np.stack([VALUES, VALUES + 100], axis=-1), volume=1)
    assert sent(viewer.volumes[0]).get_fdata().max() == VALUES.max()
    assert sent(viewer.volumes[1]).get_fdata().max() == VALUES.max() + 100


@pytest.mark.parametrize(
    ("given", "sent_as"),
    [("bool", "uint8"), ("uint8", "uint8"), ("int16", "int16"), ("uint16", "uint16"), ("int64", "float32"),
     ("float64", "float32")],
)  # fmt: skip
def test_values_are_sent_as_a_type_that_a_texture_can_have(given, sent_as):
    image = sent(view((VALUES % 2).astype(given)).volumes[0])
    assert image.get_data_dtype() == sent_as
    np.testing.assert_array_equal(image.get_fdata(), VALUES % 2)


def test_what_is_no_number_is_sent_as_zero():
    values = VALUES.copy()
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    assert sent(view(values).volumes[0]).get_fdata()[0, 0, :3].tolist() == [0, 0, 0]


def test_an_overlay_is_invisible_below_a_fifth_of_its_brightest():
    overlay = np.zeros((10, 10, 10), np.float32)
    overlay[5:] = np.nan
    overlay[4] = np.inf
    overlay[0] = 0.8
    volume = view(overlay, overlay).volumes[1]
    assert (volume.cal_min, volume.cal_max) == pytest.approx((0.16, 0.8))
    assert volume.colormap_type is ColormapType.ZERO_TO_MAX_TRANSPARENT_BELOW_MIN


def test_of_labels_none_is_invisible():
    labels = np.arange(85, dtype=np.int32).reshape(5, 17, 1).repeat(2, axis=2)
    volume = view(labels, labels).volumes[1]
    assert 0 < volume.cal_min < 1 and volume.cal_max == 84


def test_an_overlay_with_nothing_above_zero_is_left_to_the_browser():
    volume = view(VALUES, -VALUES).volumes[1]
    assert volume.cal_min is None and volume.cal_max is None


def test_one_value_is_for_all_over_the_first_image_and_for_it_if_it_is_alone():
    viewer = view(VALUES, VALUES, VALUES, colourmap="hot", opacity=0.25)
    assert [volume.colormap for volume in viewer.volumes] == ["gray", "hot", "hot"]
    assert [volume.opacity for volume in viewer.volumes] == [1, 0.25, 0.25]
    alone = view(VALUES, colourmap="hot", opacity=0.25).volumes[0]
    assert (alone.colormap, alone.opacity) == ("hot", 0.25)


def test_a_sequence_of_values_has_one_for_each(tmp_path):
    tracks = tck(tmp_path / "a.tck")
    viewer = view(VALUES, tracks, VALUES, colourmap=["grey", "viridis"], opacity=[0.9, 0.8, 0.7])
    assert [volume.colormap for volume in viewer.volumes] == ["gray", "viridis"]
    assert [volume.opacity for volume in viewer.volumes] == [0.9, 0.7]
    assert viewer.meshes[0].opacity == 0.8


@pytest.mark.parametrize(
    ("layout", "kind"),
    [("all", SliceType.MULTIPLANAR), ("axial", SliceType.AXIAL), ("coronal", SliceType.CORONAL),
     ("sagittal", SliceType.SAGITTAL), ("3d", SliceType.RENDER)],
)  # fmt: skip
def test_each_layout_is_a_kind_of_niivues(layout, kind):
    viewer = view(VALUES, layout=layout, height=300)
    assert viewer.opts.slice_type is kind
    assert viewer.opts.multiplanar_show_render is ShowRender.ALWAYS
    assert viewer.height == 300


def test_slices_are_turned_as_peek_and_mrview_turn_them():
    options = view(VALUES).opts
    assert options.is_radiological_convention and options.sagittal_nose_left
    assert options.is_corner_orientation_text, "niivue 0.65 puts the letter at the left edge of one slice to its right"


# Tracks


def test_tracks_are_opaque_lines_coloured_by_direction_that_slices_show_near_them(tmp_path):
    viewer = view(nifti(tmp_path / "t1.nii.gz"), tck(tmp_path / "bundle.tck"))
    (mesh,) = viewer.meshes
    assert (mesh.name, mesh.opacity, mesh.fiber_color) == ("bundle.tck", 1, "Local")
    assert viewer.opts.mesh_thickness_on_2d == 4, "two voxels of 2 mm"
    assert viewer.opts.mesh_xray > 0, "the volume would hide them"


def test_tracks_alone_are_shown_in_three_dimensions(tmp_path):
    viewer = view(tck(tmp_path / "bundle.tck"))
    assert viewer.opts.slice_type is SliceType.RENDER
    assert viewer.volumes == []


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("Float32LE", "<f4"), ("Float32BE", ">f4"), ("Float64LE", "<f8"), ("Float64BE", ">f8")]
)
def test_tracks_of_every_type_reach_the_browser_as_the_one_it_reads(tmp_path, datatype, dtype):
    path = tck(tmp_path / "a.tck", datatype, dtype, comment="tckedit LEGEND.tck a.tck")
    received = tmp_path / "received.tck"
    received.write_bytes(view(path).meshes[0].data)
    header = received.read_bytes()[:64].decode()
    assert "datatype: Float32LE" in header and "LEGEND" not in header, "niivue ends at the first END it sees"
    tracks = list(nibabel.streamlines.load(received).streamlines)
    assert len(tracks) == len(TRACKS)
    for track, true in zip(tracks, TRACKS, strict=True):
        np.testing.assert_array_equal(track, true.astype(np.float32))


@pytest.mark.parametrize("name", ["a.trk", "a.trk.gz", "a.tt", "a.tt.gz", "a.trx"])
def test_tracks_of_other_programs_are_sent_as_they_are(tmp_path, name):
    content = streamlines(name)
    (tmp_path / name).write_bytes(content)
    (mesh,) = view(tmp_path / name).meshes
    assert (mesh.name, mesh.data) == (name, content)


# What is refused


def large() -> np.ndarray:
    """An array with many voxels that takes no memory."""
    return np.broadcast_to(np.float32(1), (512, 512, 512))


def many() -> np.ndarray:
    return np.broadcast_to(np.float32(1), (256, 256, 256, 193))


def cut(path):
    path.write_bytes(tck(path).read_bytes()[:-12])
    return path


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
        (lambda folder: [written(folder / "notes.txt")], {}, "unknown-format",
         ["notes.txt", ".nii, .nii.gz, .mif", ".tck, .trk"]),
        (lambda folder: [written(folder / "empty.trk", b"")], {}, "damaged", ["empty.trk"]),
        (lambda folder: [written(folder / "a.tck")], {}, "bad-tracks", ["a.tck"]),
        (lambda folder: [tck(folder / "a.tck", "Float16LE")], {}, "bad-tracks", ["a.tck"]),
        (lambda folder: [tck(folder / "a.tck", tracks=[])], {}, "nothing-to-show", ["a.tck"]),
        (lambda folder: [cut(folder / "a.tck")], {}, "damaged", ["a.tck"]),
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
        (lambda _: [SERIES[..., None]], {}, "wrong-image", ["3 x 4 x 5 x 6 x 1"]),
        (lambda _: [large()], {}, "too-large", ["image 1", "512 x 512 x 512", "536.9 MB", "128.0 MB"]),
        (lambda _: [many()], {"volume": range(2)}, "too-large", ["2", "256 x 256 x 256", "134.2 MB"]),
        (lambda _: [large()[0, 0].repeat(9).reshape(1, 1, -1)], {}, "too-large", ["2048"]),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused_with_one_sentence(tmp_path, make, options, code, values):
    with pytest.raises(OptionError) as error:
        view(*make(tmp_path), **options)
    assert error.value.code == code and "\n" not in str(error.value)
    assert [value for value in values if value not in str(error.value)] == []


def test_what_is_too_large_is_told_with_a_way_out(tmp_path, monkeypatch):
    with pytest.raises(OptionError) as error:
        view(large())
    assert "mrgrid" in error.value.hint and "provision.peek" in error.value.hint
    monkeypatch.setattr(webview, "LARGEST", 100)
    with pytest.raises(OptionError) as error:
        view(tck(tmp_path / "a.tck"))
    assert error.value.code == "too-large" and "100 B" in error.value.message
    assert "tckedit a.tck" in error.value.hint


def test_a_series_too_large_as_a_whole_is_shown_by_one_volume(monkeypatch):
    monkeypatch.setattr(webview, "LARGEST", 4 * VALUES.size)
    series = np.stack([VALUES, VALUES], axis=-1)
    assert view(series, volume=1).volumes
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
