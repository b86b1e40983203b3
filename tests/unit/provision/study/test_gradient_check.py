"""B-vectors that do not fit their image are found, and data that cannot show it are let through."""

import json

import nibabel
import numpy as np
import pytest

from provision.study import gradient_check
from provision.study.gradient_check import ORIENTATIONS

SHAPE = (24, 24, 14)


@pytest.fixture(scope="module")
def directions():
    """Unit vectors on half a sphere, spread along a spiral."""
    height = (np.arange(30) + 0.5) / 30
    turn = np.pi * (1 + 5**0.5) * np.arange(30)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], -1)


@pytest.fixture(scope="module")
def tangents():
    """Directions of helices that fill a tube; zero elsewhere. Turned the other way round, along z, they fit as well."""
    x, y, _ = np.meshgrid(*(np.arange(side) - (side - 1) / 2 for side in SHAPE), indexing="ij")
    radius = np.hypot(x, y)
    tube = (radius > 6) & (radius < 11)
    along = np.stack([-y / radius, x / radius, np.full(SHAPE, 0.5)], -1)
    return np.where(tube[..., np.newaxis], along / np.linalg.norm(along, axis=-1, keepdims=True), 0)


def files(folder, tangents, directions, *, noise=0.02, flipped=False):
    """Write an image, its b-vectors, b-values and mask, and return their paths."""
    g, b = np.vstack([[0, 0, 0], directions]), np.array([0, *[1000] * 30])
    fibre = tangents.any(-1, keepdims=True)
    cosines = tangents @ g.T
    signal = np.exp(-b * np.where(fibre, 0.3e-3 + 1.4e-3 * cosines**2, 0.8e-3))
    signal = 1000 * np.abs(signal + np.random.default_rng(0).normal(scale=noise, size=signal.shape))
    affine = np.diag([-2.0 if flipped else 2.0, 2, 2, 1])
    # The tangents are along the voxels' axes, and so are b-vectors in files, but for the mirrored first axis.
    bvecs = g if flipped else g * (-1, 1, 1)
    paths = [folder / name for name in ("dwi.nii.gz", "bvec", "bval", "mask.nii.gz")]
    nibabel.save(nibabel.Nifti1Image(signal.astype(np.float32), affine), paths[0])
    nibabel.save(nibabel.Nifti1Image(np.ones(SHAPE, np.uint8), affine), paths[3])
    np.savetxt(paths[1], bvecs.T)
    np.savetxt(paths[2], b[np.newaxis])
    return paths


def rearranged(path, order, signs):
    np.savetxt(path, np.loadtxt(path)[list(order)] * np.array(signs)[:, np.newaxis])


@pytest.mark.parametrize("flipped", [False, True])
def test_right_b_vectors_pass(tmp_path, tangents, directions, flipped):
    verdict = gradient_check.check(*files(tmp_path, tangents, directions, flipped=flipped))
    assert verdict.passed and str(verdict.best) == "x,y,z" and verdict.ratio == 1


@pytest.mark.parametrize(("order", "signs", "needed"), [
    ((1, 0, 2), (1, 1, 1), "y,x,z"), ((0, 2, 1), (1, 1, 1), "x,z,y"), ((2, 1, 0), (1, 1, 1), "z,y,x"),
    ((0, 1, 2), (-1, 1, 1), "-x,y,z"), ((1, 2, 0), (1, 1, 1), "z,x,y"),
])  # fmt: skip
def test_wrong_b_vectors_are_found_with_what_they_need(tmp_path, tangents, directions, order, signs, needed):
    paths = files(tmp_path, tangents, directions)
    rearranged(paths[1], order, signs)
    verdict = gradient_check.check(*paths)
    assert not verdict.passed and str(verdict.best) == needed


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.3])
def test_data_without_fibres_pass(tmp_path, tangents, directions, noise):
    assert gradient_check.check(*files(tmp_path, np.zeros_like(tangents), directions, noise=noise)).passed


def test_the_program_prints_the_scores_and_names_the_axes(tmp_path, tangents, directions, capsys):
    paths = files(tmp_path, tangents, directions)
    out = tmp_path / "out.json"
    assert gradient_check.main(list(map(str, [*paths, out]))) == 0
    printed = capsys.readouterr().out
    assert out.read_text() == printed
    assert len(json.loads(printed)["scores"]) == len(ORIENTATIONS) == 24
    rearranged(paths[1], (1, 0, 2), (1, 1, 1))
    assert gradient_check.main(list(map(str, paths))) == 1
    said = capsys.readouterr()
    assert not json.loads(said.out)["passed"]
    assert said.err.startswith("gradient_check: [ERROR] ") and said.err.count("\n") == 1
    assert "x and y swapped" in said.err


def test_files_that_do_not_fit_each_other_are_one_sentence(tmp_path, tangents, directions, capsys):
    paths = files(tmp_path, tangents, directions)
    paths[2].write_text("0 1000")
    assert gradient_check.main(list(map(str, paths))) == 1
    assert capsys.readouterr().err.startswith("gradient_check: [ERROR] ")
    assert gradient_check.main([]) == 1
