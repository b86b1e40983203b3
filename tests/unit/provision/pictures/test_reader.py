"""The one reader: what it asks of MRtrix3, and what it makes of the answers."""

import os
import shutil
from collections import namedtuple

import nibabel
import numpy as np
import pytest

from provision.errors import OptionError, ProvisionError
from provision.pictures import reader
from provision.pictures.reader import Reader

from .affines import scanner_affine

SHAPE = (7, 6, 5)
VALUES = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
SERIES = np.stack([VALUES, VALUES + 1000, VALUES + 2000], -1)
pytestmark = pytest.mark.usefixtures("mrtrix")


def written(path, values=VALUES, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def test_axes_point_to_right_front_and_up_whatever_their_order_in_the_file(tmp_path):
    turned = VALUES.transpose(2, 0, 1)[::-1]
    affine = np.array([[0, 2.0, 0, 0], [0, 0, 3.0, 0], [-4.0, 0, 0, 16], [0, 0, 0, 1]])
    with Reader(written(tmp_path / "a.nii", turned, affine)) as read:
        assert read.header.shape == SHAPE and read.header.spacing == (2.0, 3.0, 4.0)
        assert np.array_equal(read.read(), VALUES)
        assert np.allclose(read.header.affine, np.diag([2.0, 3, 4, 1]))


def test_only_the_volumes_asked_for_are_read(tmp_path, mrtrix):
    with Reader(written(tmp_path / "a.nii", SERIES)) as read:
        assert np.array_equal(read.read([2, 0]), SERIES[..., [2, 0]])
        assert mrtrix.calls[-1][3:6] == ["-coord", "3", "2,0"]
        assert read.read().shape == SERIES.shape


def test_of_further_axes_the_first_position_is_read():
    five = np.stack([SERIES, SERIES + 1], -1)
    with Reader(five) as read:
        assert np.array_equal(read.read([1]), SERIES[..., [1]]) and np.array_equal(read.read(), SERIES)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "g"])
def test_an_array_of_any_numbers_is_handed_over_as_a_file_with_voxels_of_one_millimetre(dtype):
    values = VALUES.astype(dtype)[::-1, :, ::2]
    with Reader(values) as read:
        assert np.array_equal(read.read(), values.astype("f4")) and np.array_equal(read.header.affine, np.eye(4))
        assert read.header.is_whole == (values.dtype.kind in "bui" and values.dtype.itemsize < 8)


def test_an_image_of_nibabel_keeps_its_forms_and_is_read_like_its_file(tmp_path):
    affine = scanner_affine(SHAPE, (2, 2.5, 3), rotation=(10, 20, 80))
    path = written(tmp_path / "a.nii", VALUES, affine)
    with Reader(path) as from_path, Reader(nibabel.load(path)) as from_image:
        assert np.array_equal(from_path.read(), from_image.read())
        assert np.allclose(from_path.header.affine, from_image.header.affine, atol=1e-4)
    with Reader(path) as from_path, Reader(changed := nibabel.load(path)) as untouched:
        assert untouched.path == from_path.path == path
        changed.set_sform(np.diag([5.0, 5, 5, 1]), 1)
    with Reader(changed) as read:
        assert read.path != path and read.header.spacing == (5.0, 5.0, 5.0)
    with Reader(nibabel.MGHImage(VALUES.astype("f4"), affine)) as other:
        assert np.allclose(other.header.affine, from_path.header.affine, atol=1e-3)


def test_scaled_values_of_an_image_are_not_rounded_again(tmp_path):
    image = nibabel.Nifti1Image(VALUES, np.eye(4))
    image.header.set_slope_inter(2.5, -10)
    nibabel.save(image, tmp_path / "a.nii")
    loaded = nibabel.load(tmp_path / "a.nii")
    loaded.get_fdata()
    loaded.header["descrip"] = b"changed"
    with Reader(loaded) as read:
        assert np.array_equal(read.read(), loaded.get_fdata())


def test_another_grid_is_read_on_ones_own(tmp_path):
    coarse = written(tmp_path / "coarse.nii", np.ones((3, 3, 2), "f4"), np.diag([2.0, 2, 2, 1]))
    with Reader(written(tmp_path / "fine.nii")) as fine, Reader(coarse) as other:
        values = other.read_like(fine, interpolation="linear")
        assert values.shape == SHAPE and values[:5, :5, :3].min() == 1 and values[6, 5, 4] == 0
        assert fine.read_like(fine, interpolation="linear").shape == SHAPE
        assert np.array_equal(other.volume(like=fine), values) and np.array_equal(fine.volume(like=fine), fine.read())


def test_a_volume_has_three_axes_whatever_the_image_has(tmp_path):
    for name, values in (("series.nii", SERIES), ("five.nii", SERIES[..., None]), ("one.nii", SERIES[..., 1:2])):
        with Reader(written(tmp_path / name, values)) as read:
            last = read.header.volumes - 1
            assert np.array_equal(read.volume(last), values.reshape(*SHAPE, -1)[..., last])


def test_a_compressed_image_is_decompressed_once_on_demand(tmp_path, mrtrix):
    with Reader(written(tmp_path / "a.nii.gz", SERIES)) as read:
        read.decompress()
        read.decompress()
        assert sum(call[0] == "mrconvert" for call in mrtrix.calls) == 1 and not read.is_compressed
        assert np.array_equal(read.read([1])[..., 0], SERIES[..., 1])


def test_the_header_has_the_gradients_and_the_commands_that_made_it(tmp_path, mrtrix):
    mrtrix.tables["a.nii"] = {"dw_scheme": [[0, 0, 1, 0], [1, 0, 0, 1000], [0, 1, 0, 3000]], "command_history": "dwi2x"}
    with Reader(written(tmp_path / "a.nii", SERIES)) as read:
        assert read.header.bvalue(1) == 1000 and read.header.history == ("dwi2x",)
    with Reader(written(tmp_path / "b.nii", SERIES)) as read:
        assert read.header.bvalue(1) is None and read.header.history == ()


@pytest.mark.parametrize("table", [["0,0,1,0", "1,0,0"], ["a,b,c,d"] * 3, ["0 0 1 0"], [0, 0, 1], [[0, 0, 1]] * 3])
def test_a_gradient_table_that_is_none_does_not_keep_an_image_from_being_read(tmp_path, mrtrix, table):
    mrtrix.tables["a.nii"] = {"dw_scheme": table}
    with Reader(written(tmp_path / "a.nii", SERIES)) as read:
        assert read.header.gradients is None and read.header.bvalue(1) is None


def test_a_gradient_table_of_one_volume_has_its_b_value(tmp_path, mrtrix):
    mrtrix.tables["a.nii"] = {"dw_scheme": [0, 0, 1, 1000]}
    with Reader(written(tmp_path / "a.nii", SERIES[..., :1])) as read:
        assert read.header.bvalue(0) == 1000


@pytest.mark.parametrize("end", ["with", "close", "forgotten"])
def test_nothing_is_left_in_the_temporary_folder(temporary, end):
    if end == "with":
        with Reader(VALUES) as read:
            read.read()
    else:
        read = Reader(VALUES)
        assert os.listdir(temporary)
        read.close() if end == "close" else None
        del read
    assert not os.listdir(temporary)


def test_what_cannot_be_read_leaves_nothing_either(temporary, tmp_path):
    (tmp_path / "a.nii").write_bytes(b"<html>" * 100)
    with pytest.raises(OptionError) as caught:
        Reader(tmp_path / "a.nii")
    assert caught.value.code == "unknown-format" and not os.listdir(temporary)


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros(SHAPE, complex), "wrong-image"),
        (np.zeros(5), "wrong-image"),
        (np.zeros((2, 0, 3)), "wrong-image"),
        (np.full(SHAPE, "x"), "wrong-image"),
        ([[1, 2], [3, 4]], "bad-value"),
        (None, "bad-value"),
    ],
)
def test_what_has_no_slice_is_refused(array, code):
    with pytest.raises(OptionError) as caught:
        Reader(array)
    assert caught.value.code == code


def test_a_file_of_complex_numbers_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(OptionError) as caught:
        Reader(written(tmp_path / "a.nii", VALUES.astype("c8")))
    assert caught.value.code == "wrong-image" and "-abs" in caught.value.hint


def test_a_picture_of_two_dimensions_is_one_slice(tmp_path):
    with Reader(VALUES[..., 0]) as read:
        assert read.header.shape == (7, 6, 1) and np.array_equal(read.read()[..., 0], VALUES[..., 0])


def test_a_missing_file_is_named_with_the_nearest(tmp_path):
    written(tmp_path / "dwi.nii")
    with pytest.raises(OptionError) as caught:
        Reader(tmp_path / "dwo.nii")
    assert caught.value.code == "no-file" and "dwi.nii" in caught.value.hint
    with pytest.raises(OptionError) as caught:
        Reader(tmp_path / "gone" / "dwi.nii")
    assert caught.value.code == "no-folder"


def test_a_pipe_is_not_waited_for_and_a_bracket_is_no_series(tmp_path):
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(OptionError) as caught:
        Reader(tmp_path / "a.nii")
    assert caught.value.code == "not-a-file"
    with pytest.raises(OptionError) as caught:
        Reader(written(tmp_path / "a[1].nii"))
    assert caught.value.code == "bad-value"


def test_a_pair_is_read_by_its_header_too(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(VALUES, np.eye(4)), tmp_path / "a.hdr")
    with Reader(tmp_path / "a.hdr") as read:
        assert read.path.name == "a.img" and np.array_equal(read.read(), VALUES)


def test_what_the_disk_cannot_hold_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    read = Reader(written(tmp_path / "a.nii"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(100))
    with pytest.raises(OptionError) as caught:
        read.read()
    assert caught.value.code == "disk-full"


def test_a_second_nifti_in_memory_is_written_as_what_it_is():
    with Reader(nibabel.Nifti2Image(VALUES, np.eye(4))) as reader:
        assert isinstance(nibabel.load(reader.path), nibabel.Nifti2Image)
        assert np.array_equal(reader.read(), VALUES)


def test_without_nibabel_an_array_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("provision.extras.find_spec", lambda name: None)
    with pytest.raises(ProvisionError) as caught:
        Reader(VALUES)
    assert caught.value.code == "missing-packages"


def test_a_short_name_fits_into_a_sentence():
    assert [reader.short_name(one) for one in ("~/x/dwi.mif", VALUES)] == ["dwi.mif", "an array"]
