"""An image is read as it lies in the scanner, or refused with one sentence that says why."""

import errno
import gzip
import os
import sys
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from nibabel.spatialimages import SpatialImage

from provision.errors import OptionError, ProvisionError
from provision.machine import system
from provision.pictures import images
from provision.words import format_bytes

from .affines import scanner_affine

SHAPE = (7, 6, 5)
OBLIQUE = scanner_affine(SHAPE, (2.0, 1.5, 3.0), rotation=(20, -15, 30))
AFFINES = {
    "straight": scanner_affine(SHAPE),
    "negative": scanner_affine(SHAPE, (2.0, 1.5, 3.0), negative=True),
    "oblique": OBLIQUE,
    "permuted": scanner_affine(SHAPE, (2.0, 1.5, 3.0), rotation=(90, 0, 80), negative=True),
}
DATATYPES = {"Float32LE": "<f4", "Int16BE": ">i2", "UInt8": "u1", "Int64LE": "<i8", "CFloat64BE": ">c16"}
each_affine = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())


def values(*shape, dtype=np.float32):
    return np.random.default_rng(0).integers(0, 100, shape or SHAPE).astype(dtype)


def nifti(path, array=None, affine=None, **header):
    image = nibabel.Nifti1Image(values() if array is None else array, OBLIQUE if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def mif(path, array, layout="+0,+1,+2", datatype="Float32LE", affine=None, **fields):
    """Write an image of MRtrix3 by the description of the format, its axes stored in the order of the layout."""
    affine = OBLIQUE if affine is None else affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    ranks = [abs(int(word)) for word in layout.split(",")]
    backwards = [axis for axis, word in enumerate(layout.split(",")) if word.startswith("-")]
    stored = np.flip(array, backwards).transpose(np.argsort(ranks)).ravel(order="F")
    if datatype == "Bit":
        data = np.packbits(stored.astype(np.uint8)).tobytes()
    else:
        data = stored.astype(DATATYPES[datatype]).tobytes()
    lines = [
        "mrtrix image",
        "dim: " + ",".join(map(str, array.shape)),
        "vox: " + ",".join([*map(str, spacing), *["1"] * (array.ndim - 3)]),
        f"layout: {layout}",
        f"datatype: {datatype}",
        *("transform: " + ",".join(map(str, row)) for row in affine[:3] / [*spacing, 1]),
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    if path.suffix == ".mih":
        path.with_suffix(".dat").write_bytes(data)
        path.write_text("\n".join([*lines, f"file: {path.stem}.dat 0"]) + "\n")
        return path
    head = "\n".join([*lines, "file: . 1024", "END", ""]).encode()
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as stream:
        stream.write(head.ljust(1024, b"\0") + data)
    return path


def canonical(array, affine):
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
    return image.get_fdata(), image.affine


def assert_read(path, array, affine=OBLIQUE):
    """The file holds this array with this affine, both as they are told by nibabel's own realignment."""
    read, placed = images.loaded(path)
    expected, at = canonical(array, affine)
    np.testing.assert_allclose(read, expected, rtol=1e-6)
    np.testing.assert_allclose(placed, at, atol=1e-4)
    header = images.header(path)
    assert header.shape == expected.shape
    np.testing.assert_allclose(header.affine, at, atol=1e-4)
    np.testing.assert_allclose(header.spacing, np.linalg.norm(at[:3, :3], axis=0), rtol=1e-6)


# --- what is read ---------------------------------------------------------------------------------------------------


@each_affine
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz", "a.mgh", "a.img"])
def test_files_that_nibabel_reads_are_turned_to_right_anterior_superior(tmp_path, affine, name):
    kind = nibabel.MGHImage if ".mg" in name else nibabel.Nifti1Pair if name == "a.img" else nibabel.Nifti1Image
    nibabel.save(kind(values(*SHAPE, 4), affine), tmp_path / name)
    assert_read(tmp_path / name, values(*SHAPE, 4), affine)


@each_affine
@pytest.mark.parametrize("layout", ["+0,+1,+2", "-0,-1,+2", "+2,-0,+1", "-1,+2,-0"])
def test_files_of_mrtrix3_are_read_whatever_their_layout(tmp_path, affine, layout):
    assert_read(mif(tmp_path / "a.mif", values(), layout, affine=affine), values(), affine)


@pytest.mark.parametrize("name", ["a.mif", "a.mif.gz", "a.mih"])
@pytest.mark.parametrize("datatype", ["Float32LE", "Int16BE", "UInt8", "Int64LE", "Bit"])
def test_files_of_mrtrix3_are_read_whatever_their_numbers(tmp_path, name, datatype):
    array = values(*SHAPE, 3) % (2 if datatype == "Bit" else 100)
    assert_read(mif(tmp_path / name, array, "-0,+2,+3,+1", datatype), array)


def test_numbers_of_mrtrix3_are_scaled(tmp_path):
    path = mif(tmp_path / "a.mif", values(), datatype="UInt8", scaling="5,0.25")
    assert_read(path, values() * 0.25 + 5)


def test_numbers_of_nifti_are_scaled(tmp_path):
    image = nibabel.Nifti1Image(values(dtype=np.int16), OBLIQUE)
    image.header.set_slope_inter(0.5, 3)
    # nibabel would turn the numbers back when it writes them.
    image.to_filename(tmp_path / "a.nii")
    read, _ = images.loaded(tmp_path / "a.nii")
    np.testing.assert_allclose(read, canonical(nibabel.load(tmp_path / "a.nii").get_fdata(), OBLIQUE)[0], rtol=1e-6)
    assert read.dtype == np.float32


def test_labels_stay_whole_numbers(tmp_path):
    assert images.loaded(nifti(tmp_path / "a.nii.gz", values(dtype=np.uint8)))[0].dtype == np.uint8


def test_a_file_that_is_deleted_after_reading_is_still_in_memory(tmp_path):
    array, _ = images.loaded(nifti(tmp_path / "a.nii"))
    (tmp_path / "a.nii").write_bytes(b"")
    np.testing.assert_array_equal(array, canonical(values(), OBLIQUE)[0])


def test_an_array_is_taken_as_it_is_with_voxels_of_one_millimetre():
    array, affine = images.loaded(values())
    np.testing.assert_array_equal(array, values())
    np.testing.assert_array_equal(affine, np.eye(4))


@each_affine
def test_an_image_of_nibabel_is_turned_like_its_file(affine):
    assert_read(nibabel.Nifti1Image(values(), affine), values(), affine)


def test_values_are_sampled_from_the_first_volume_to_the_last(tmp_path):
    array = np.broadcast_to(np.arange(50, dtype=np.float32), (4, 4, 4, 50))
    sampled = images.sample(nifti(tmp_path / "a.nii", np.array(array)))
    assert (sampled.min(), sampled.max()) == (0, 49)
    assert len(np.unique(sampled)) == 16


# --- what MRtrix3 is given ------------------------------------------------------------------------------------------


def test_a_plain_file_is_given_as_it_is(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert images.on_disk(nifti(tmp_path / "a.nii"), folder) == tmp_path / "a.nii"
    assert os.listdir(folder) == []


def test_the_path_given_is_absolute(tmp_path, monkeypatch):
    nifti(tmp_path / "-a.nii")
    monkeypatch.chdir(tmp_path)
    assert images.on_disk("-a.nii", tmp_path) == tmp_path / "-a.nii"


@pytest.mark.parametrize("name", ["a[1].nii.gz", "a.mif.gz", "a.mgz"])
def test_a_compressed_file_is_decompressed(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    if "mif" in name:
        mif(tmp_path / name, values())
    else:
        nibabel.save((nibabel.MGHImage if "mgz" in name else nibabel.Nifti1Image)(values(), OBLIQUE), tmp_path / name)
    path = images.on_disk(tmp_path / name, folder)
    assert path.parent == folder
    assert path.name == {"a[1].nii.gz": "image.nii", "a.mif.gz": "image.mif", "a.mgz": "image.mgh"}[name]
    assert path.read_bytes() == gzip.decompress((tmp_path / name).read_bytes())
    assert_read(path, values())


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (bool, "u1"),
        (np.int16, "i2"),
        (np.int64, "i4"),
        (np.uint64, "i4"),
        (np.float16, "f4"),
        (">f4", "f4"),
        (float, "f8"),
    ],
    ids=str,
)
def test_an_array_is_written_as_a_type_that_nifti_has(tmp_path, given, stored):
    array = values(dtype=given)
    written = nibabel.load(images.on_disk(array, tmp_path))
    assert written.get_data_dtype() == np.dtype(stored)
    np.testing.assert_array_equal(written.get_fdata(), array.astype(float))
    np.testing.assert_array_equal(written.affine, np.eye(4))


def test_whole_numbers_too_large_for_32_bits_keep_their_size(tmp_path):
    array = values(dtype=np.int64) * 2**32
    np.testing.assert_array_equal(nibabel.load(images.on_disk(array, tmp_path)).get_fdata(), array)


def test_an_image_of_nibabel_is_written_where_it_lies(tmp_path):
    written = nibabel.load(images.on_disk(nibabel.MGHImage(values(), OBLIQUE), tmp_path))
    np.testing.assert_array_equal(written.get_fdata(), values())
    np.testing.assert_allclose(written.affine, OBLIQUE, atol=1e-5)


def test_a_plain_file_is_read_no_farther_than_to_its_first_number(tmp_path, monkeypatch):
    path = nifti(tmp_path / "a.nii", np.ones((128, 128, 128), np.float32))
    parts = []
    numbers = images._numbers
    monkeypatch.setattr(images, "_numbers", lambda *given: (parts.append(part) or part for part in numbers(*given)))
    images.on_disk(path, tmp_path)
    assert sum(part.nbytes for part in parts) < 1.1e6


# --- what is refused ------------------------------------------------------------------------------------------------


def refused(image, folder):
    """The code and the one sentence with which both ways refuse an image."""
    told = []
    for refuse in (images.loaded, lambda given: images.on_disk(given, folder)):
        with pytest.raises(OptionError) as caught:
            refuse(image)
        told.append((caught.value.code, str(caught.value)))
    assert told[0] == told[1]
    assert "\n" not in told[0][1]
    return told[0]


def test_a_file_that_is_not_there_is_named_with_the_nearest(tmp_path):
    nifti(tmp_path / "dwi.nii.gz")
    code, told = refused(tmp_path / "dwi.nii", tmp_path)
    assert code == "no-file" and f"{tmp_path}/dwi.nii" in told and "'dwi.nii.gz'" in told


def test_a_folder_that_is_not_there_is_named(tmp_path):
    code, told = refused(tmp_path / "data" / "dwi.nii", tmp_path)
    assert code == "no-folder" and f"{tmp_path}/data" in told and "dwi.nii" not in told


def test_a_folder_is_refused_with_what_to_do_with_dicom(tmp_path):
    code, told = refused(tmp_path, tmp_path)
    assert code == "not-a-file" and f"mrconvert {tmp_path} image.mif" in told


def test_another_extension_is_refused_with_those_that_are_allowed(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    code, told = refused(tmp_path / "a.txt", tmp_path)
    assert code == "unknown-format" and ".nii, .nii.gz, .mif" in told


@pytest.mark.parametrize("name", ["a.nii", "a.mif", "a.mgh", "a.mih"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 100], ids=["empty", "html"])
def test_a_file_that_holds_something_else_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name, tmp_path)[0] == "bad-image"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mif.gz", "a.mgz"])
def test_a_file_that_is_not_compressed_though_its_name_says_so_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"<html>not found</html>" * 100)
    assert refused(tmp_path / name, tmp_path)[0] in ("damaged", "bad-image")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mif.gz"])
@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_compressed_file_that_is_damaged_is_refused(tmp_path, name, harm):
    array = np.random.default_rng(0).normal(size=(30, 30, 30)).astype(np.float32)
    path = mif(tmp_path / name, array) if "mif" in name else nifti(tmp_path / name, array)
    data = bytearray(path.read_bytes())
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        data[-6] ^= 1  # in the checksum: the numbers themselves can still be read
    path.write_bytes(data)
    code, told = refused(path, tmp_path)
    assert code == "damaged" and str(path) in told


@pytest.mark.parametrize("name", ["a.nii", "a.mif", "a.mgh"])
def test_a_plain_file_that_is_cut_off_is_refused(tmp_path, name):
    if name == "a.mif":
        mif(tmp_path / name, values())
    else:
        nibabel.save((nibabel.MGHImage if "mgh" in name else nibabel.Nifti1Image)(values(), OBLIQUE), tmp_path / name)
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 400)
    size = (tmp_path / name).stat().st_size
    code, told = refused(tmp_path / name, tmp_path)
    assert code == "damaged" and name in told
    assert format_bytes(size) in told and format_bytes(size + 400) in told


def test_a_header_whose_voxels_are_gone_is_refused(tmp_path):
    mif(tmp_path / "a.mih", values())
    (tmp_path / "a.dat").unlink()
    code, told = refused(tmp_path / "a.mih", tmp_path)
    assert code == "no-file" and "a.mih" in told and f"{tmp_path}/a.dat" in told


@pytest.mark.parametrize(("field", "value"), [("layout", "+0,+0,+2"), ("datatype", "Float23"), ("vox", "one")])
def test_a_header_of_mrtrix3_that_says_nonsense_is_refused(tmp_path, field, value):
    text = mif(tmp_path / "a.mif", values()).read_bytes().split(b"\n")
    text = [f"{field}: {value}".encode() if line.startswith(field.encode()) else line for line in text]
    (tmp_path / "a.mif").write_bytes(b"\n".join(text))
    code, told = refused(tmp_path / "a.mif", tmp_path)
    assert code == "bad-image" and value in told


@pytest.mark.parametrize(
    ("array", "code", "value"),
    [
        (np.ones((5, 6)), "wrong-image", "5 x 6"),
        (np.ones((5, 0, 6)), "bad-image", "5 x 0 x 6"),
        (np.ones(SHAPE, complex), "wrong-image", "complex"),
        (np.full(SHAPE, np.nan), "nothing-to-show", "array"),
        (np.full(SHAPE, "x"), "wrong-image", "str32"),
    ],
    ids=["flat", "empty", "complex", "nan", "text"],
)
def test_an_array_without_a_picture_is_refused(tmp_path, array, code, value):
    found, told = refused(array, tmp_path)
    assert found == code and value in told


def test_files_without_a_picture_are_refused(tmp_path):
    for array, code, value in (
        (values(5, 6), "wrong-image", "5 x 6"),
        (values().astype(np.complex64), "wrong-image", "complex"),
        (np.full(SHAPE, np.nan, np.float32), "nothing-to-show", ""),
        (np.full(SHAPE, np.inf, np.float32), "nothing-to-show", ""),
    ):
        found, told = refused(nifti(tmp_path / "a.nii", array), tmp_path)
        assert found == code and "a.nii" in told and value in told


def test_complex_numbers_of_mrtrix3_are_refused(tmp_path):
    path = mif(tmp_path / "a.mif", values(), datatype="CFloat64BE")
    code, told = refused(path, tmp_path)
    assert code == "wrong-image" and str(path) in told and "complex" in told


def test_something_else_is_refused_with_what_is_allowed(tmp_path):
    code, told = refused([1, 2], tmp_path)
    assert code == "bad-value" and "list" in told and "nibabel" in told and "numpy" in told


@pytest.mark.parametrize("broken", [np.diag([1.0, 0, 1, 1]), np.diag([1, np.nan, 1, 1])], ids=["flat", "nan"])
def test_an_affine_without_volume_is_refused(tmp_path, broken):
    code, told = refused(SpatialImage(values(), broken), tmp_path)
    assert code == "bad-image" and str(broken[:3].tolist()) in told


def test_voxels_that_exceed_the_memory_are_refused_by_their_header(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "memory_available", lambda: 500)
    with pytest.raises(OptionError) as caught:
        images.loaded(nifti(tmp_path / "a.nii.gz"))
    assert caught.value.code == "out-of-memory"
    assert all(value in caught.value.message for value in ("a.nii.gz", "840 B", "500 B"))


def test_voxels_are_refused_where_no_memory_is_left_and_not_where_that_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "memory_available", lambda: 0)
    with pytest.raises(OptionError) as caught:
        images.loaded(nifti(tmp_path / "a.nii.gz"))
    assert caught.value.code == "out-of-memory" and " 0 B" in caught.value.message
    monkeypatch.setattr(system, "memory_available", lambda: None)
    images.loaded(nifti(tmp_path / "a.nii.gz"))


def test_scaled_voxels_need_memory_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "memory_available", lambda: 1000)
    images.loaded(mif(tmp_path / "a.mif", values(), datatype="UInt8"))
    with pytest.raises(OptionError) as caught:
        images.loaded(mif(tmp_path / "a.mif", values(), datatype="UInt8", scaling="0,2"))
    assert caught.value.code == "out-of-memory"
    assert "1.1 kB" in caught.value.message and "1.0 kB" in caught.value.message


def test_a_compressed_file_that_exceeds_the_disk_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr(images.shutil, "disk_usage", lambda _: SimpleNamespace(free=9))
    with pytest.raises(OptionError) as caught:
        images.on_disk(nifti(tmp_path / "a.nii.gz"), tmp_path)
    assert caught.value.code == "disk-full" and " 9 B" in caught.value.message


def test_a_bracket_in_a_name_is_refused_because_mrtrix3_reads_it_otherwise(tmp_path):
    with pytest.raises(OptionError) as caught:
        images.on_disk(nifti(tmp_path / "a[1].nii"), tmp_path)
    assert caught.value.code == "bad-value" and " [ " in caught.value.message


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    with pytest.raises(ProvisionError) as caught:
        images.on_disk(values(), tmp_path / "gone")
    assert caught.value.code == "system-error"
    assert f"{tmp_path}/gone" in caught.value.message and os.strerror(errno.ENOENT) in caught.value.message


def test_without_nibabel_the_command_that_installs_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    for use in (images.loaded, images.header, lambda image: images.on_disk(image, tmp_path)):
        with pytest.raises(ProvisionError) as caught:
            use(values())
        assert caught.value.code == "missing-packages" and "nibabel" in caught.value.message
        assert 'pip install "mrtrix-provision[view]"' in caught.value.hint
