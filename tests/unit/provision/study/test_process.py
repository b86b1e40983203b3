"""What a study is told is checked before anything is looked at, in a dry run as in a run."""

import numpy as np
import pytest

from provision.errors import OptionError
from provision.study import process as module


def test_a_dry_run_refuses_the_numbers_that_a_run_refuses(tmp_path):
    folder = tmp_path / "bids" / "sub-01" / "dwi"
    folder.mkdir(parents=True)
    for ending in ("nii.gz", "bval", "bvec"):
        (folder / f"sub-01_dwi.{ending}").write_text("0\n")
    for options in ({"jobs": 0}, {"jobs": "two"}, {"mem": -1}, {"mem": float("nan")}):
        with pytest.raises(OptionError) as refused:
            module.process(tmp_path / "bids", tmp_path / "out", dry_run=True, **options)
        assert refused.value.code == "bad-value" and next(iter(options)) in refused.value.message


@pytest.mark.parametrize("labels", [1, [1], [None], [b"01"]])
def test_a_subject_that_is_no_text_is_refused(tmp_path, labels):
    (tmp_path / "bids").mkdir()
    for kind in ("participant_label", "session_label"):
        with pytest.raises(OptionError) as refused:
            module.process(tmp_path / "bids", tmp_path / "out", dry_run=True, **{kind: labels})
        assert refused.value.code == "bad-value" and kind in refused.value.message


def test_numbers_of_numpys_are_numbers():
    assert type(module._number(np.int64(2), "jobs", whole=True)) is int
    assert module._number(np.float32(0.5), "mem") == 0.5
    with pytest.raises(OptionError):
        module._number(np.float32(2.5), "jobs", whole=True)


def test_no_label_is_every_one():
    assert module._labels(None, "participant") == module._labels((), "participant") == []
    assert module._labels("01", "participant") == ["01"]
