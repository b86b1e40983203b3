"""The images of a BIDS folder, and which gradient table each inherits."""

from __future__ import annotations

import pytest

import provision
from provision.errors import OptionError


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


IMAGES = ("sub-01/dwi/sub-01_dwi.nii.gz", "sub-02/ses-1/dwi/sub-02_ses-1_acq-hi_dwi.nii")
TABLE = ("dwi.bval", "dwi.bvec")


def test_images_are_found_with_and_without_sessions_and_inherit_the_table_at_the_top(tmp_path):
    first, second = provision.scans(made(tmp_path, *IMAGES, *TABLE))
    assert (first.name, first.image) == ("sub-01", tmp_path / IMAGES[0])
    assert (second.name, second.image) == ("sub-02_ses-1_acq-hi", tmp_path / IMAGES[1])
    assert {(scan.bvals, scan.bvecs) for scan in (first, second)} == {(tmp_path / "dwi.bval", tmp_path / "dwi.bvec")}


@pytest.mark.parametrize(
    "closer",
    ["sub-02/ses-1/dwi/sub-02_ses-1_acq-hi_dwi.bval", "sub-02/ses-1/sub-02_ses-1_dwi.bval", "sub-02/sub-02_dwi.bval"],
)  # fmt: skip
def test_what_is_closer_to_an_image_serves_it_and_no_other(tmp_path, closer):
    first, second = provision.scans(made(tmp_path, *IMAGES, *TABLE, closer))
    assert (first.bvals, second.bvals) == (tmp_path / "dwi.bval", tmp_path / closer)
    assert first.bvecs == second.bvecs == tmp_path / "dwi.bvec"


@pytest.mark.parametrize(
    "other", ["acq-lo_dwi.bval", "sub-02/sub-03_dwi.bval", "sub-02/ses-1/dwi/sub-02_ses-1_sbref.bval"]
)
def test_a_table_of_other_images_is_passed_over(tmp_path, other):
    _, second = provision.scans(made(tmp_path, *IMAGES, *TABLE, other))
    assert second.bvals == tmp_path / "dwi.bval"


def test_what_was_derived_and_other_images_are_none(tmp_path):
    made(tmp_path, *IMAGES, *TABLE, "derivatives/x/sub-01/dwi/sub-01_dwi.nii.gz", "sub-01/dwi/sub-01_sbref.nii.gz")
    assert len(provision.scans(tmp_path)) == 2


def test_an_image_without_a_table_is_named_with_the_file_that_is_missing(tmp_path):
    with pytest.raises(OptionError) as raised:
        provision.scans(made(tmp_path / "study", *IMAGES, "dwi.bval", "../dwi.bvec"))
    assert raised.value.code == "no-file" and "sub-01_dwi.nii.gz" in raised.value.message
    assert "sub-01_dwi.bvec" in raised.value.hint and str(tmp_path / "study") in raised.value.hint


def test_an_image_to_which_several_tables_of_one_folder_apply_is_refused(tmp_path):
    with pytest.raises(OptionError) as raised:
        provision.scans(made(tmp_path, *IMAGES, *TABLE, "acq-hi_dwi.bval"))
    assert raised.value.code == "no-file" and "acq-hi_dwi.bval, dwi.bval" in raised.value.message


@pytest.mark.parametrize(("name", "code"), [("study", "no-folder"), ("empty", "no-file")])
def test_a_folder_that_does_not_exist_or_holds_no_images_is_refused(tmp_path, name, code):
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError) as raised:
        provision.scans(tmp_path / name)
    assert raised.value.code == code and f"{tmp_path}/{name}" in raised.value.message


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    made(tmp_path / "study", *IMAGES, *TABLE)
    assert [scan.name for scan in provision.scans("~/study")] == ["sub-01", "sub-02_ses-1_acq-hi"]
