"""The small BIDS folder: scans that differ in their noise alone, and a table that is theirs."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from provision.demo import bids
from provision.demo.phantom import make_phantom


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "bids"
    bids.write(folder)
    return folder


def test_subjects_and_sessions_are_where_bids_has_them_and_the_table_and_the_truth_are_at_the_top(folder):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        ".bidsignore", "dataset_description.json", "dwi.bval", "dwi.bvec", "truth.nii.gz",
        "sub-01/dwi/sub-01_dwi.nii.gz", "sub-02/ses-1/dwi/sub-02_ses-1_dwi.nii.gz",
        "sub-02/ses-2/dwi/sub-02_ses-2_dwi.nii.gz",
    }  # fmt: skip


def test_the_truth_is_that_of_every_scan(folder):
    truth = nibabel.load(folder / "truth.nii.gz").get_fdata().reshape(*bids.SHAPE, 2, 3)
    for seed in range(len(bids.SCANS)):
        np.testing.assert_allclose(truth, bids.make_scan(seed).directions, atol=1e-6)


def test_the_table_has_two_shells_and_a_column_for_each_volume(folder):
    bvals, bvecs = np.loadtxt(folder / "dwi.bval"), np.loadtxt(folder / "dwi.bvec")
    shells, sizes = np.unique(np.round(bvals, -2), return_counts=True)
    assert (shells.tolist(), sizes.tolist()) == ([0, 1000, 2000], [1, 16, 64])
    assert bvecs.shape == (3, 81) and nibabel.load(folder / bids.image_of("sub-01")).shape == (*bids.SHAPE, 81)


def test_each_volume_is_that_of_its_gradient():
    scan = bids.make_scan(0)
    whole = make_phantom(bids.SHAPE, seed=0)
    for volume in (0, 40, 80):
        (at,) = np.flatnonzero((whole.bvecs == scan.bvecs[volume]).all(axis=1) & (whole.bvals == scan.bvals[volume]))
        assert np.array_equal(scan.data[..., volume], whole.data[..., at])


def test_the_scans_differ_in_their_noise_alone(folder):
    first, second = (nibabel.load(folder / bids.image_of(name)).get_fdata() for name in bids.SCANS[:2])
    assert not np.array_equal(first, second)
    assert abs(first - second).mean() < 50 < first.max()
