"""Which gradient table and sidecar of a BIDS folder an image inherits."""

import pytest

from provision import bids

IMAGE, NAME = "sub-01/ses-1/dwi/sub-01_ses-1_acq-hi_dwi.nii.gz", "sub-01_ses-1_acq-hi"


@pytest.fixture
def found(tmp_path):
    """Return a function that makes files and returns the one that the image inherits, relative to the folder."""

    def finds(*names, suffix=".bval"):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        path = bids.inherited(tmp_path / "top" / IMAGE, NAME, suffix, tmp_path / "top", {})
        return path and str(path.relative_to(tmp_path / "top"))

    return finds


@pytest.mark.parametrize(
    "closer", ["sub-01/ses-1/dwi/sub-01_ses-1_acq-hi_dwi.bval", "sub-01/ses-1/sub-01_ses-1_dwi.bval", "sub-01/dwi.bval"]
)
def test_the_nearest_file_applies(found, closer):
    assert found("top/dwi.bval", f"top/{closer}") == closer


@pytest.mark.parametrize("other", ["sub-01/ses-1/dwi/acq-lo_dwi.bval", "sub-01/._dwi.bval", "sub-01/sbref.bval"])
def test_hidden_files_and_those_of_other_images_are_passed_over(found, other):
    assert found("top/dwi.bval", f"top/{other}") == "dwi.bval"


def test_nothing_above_the_dataset_and_of_another_kind_applies(found):
    assert found("dwi.bval", "top/dwi.bvec", f"top/{IMAGE}") is None


def test_of_several_in_one_folder_only_one_that_has_all_entities_applies(found):
    with pytest.raises(bids.Ambiguous, match=r"acq-hi_dwi\.bval, dwi\.bval"):
        found("top/dwi.bval", "top/acq-hi_dwi.bval")
    assert found(f"top/{NAME}_dwi.bval") == f"{NAME}_dwi.bval"
