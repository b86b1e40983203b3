"""The numbers of a diffusion series: whose gradients, which shells, how much noise, which slices are too dark."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from provision.errors import OptionError, ProvisionError
from provision.pictures import mrtrix3
from provision.pictures.quality import measure

SHAPE = (6, 5, 4)
INSIDE = np.zeros(SHAPE, np.uint8)
INSIDE[1:5, 1:4, 1:4] = 1


def series(*shells, seed=0):
    """Return a series of (b-value, number of volumes) with a few percent of noise, and its table, shape (V, 4)."""
    random = np.random.default_rng(seed)
    bvalues = np.concatenate([[bvalue] * count for bvalue, count in shells])
    directions = random.normal(size=(len(bvalues), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[bvalues == 0] = 0
    values = (1000 * np.exp(-bvalues / 1500)) * random.normal(1, 0.02, (*SHAPE, len(bvalues)))
    values[INSIDE == 0] *= 0.01
    return values, np.column_stack([directions, bvalues])


def saved(folder, values, table=None, name="dwi.nii", beside=("dwi.bval", "dwi.bvec")):
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2, 2, 2, 1.0])), folder / name)
    if table is not None:
        np.savetxt(folder / beside[0], table[:, 3][None])
        np.savetxt(folder / beside[1], table[:, :3].T)
    return folder / name


@pytest.fixture
def mask(tmp_path, mrtrix):
    return saved(tmp_path, INSIDE, name="mask.nii")


def test_shells_have_their_volumes_and_their_mean(tmp_path, mask):
    values, table = series((0, 1), (1000, 7), (3000, 8))
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert [(shell.bvalue, shell.volumes) for shell in quality.shells] == [
        (0, (0,)), (1000, tuple(range(1, 8))), (3000, tuple(range(8, 16)))
    ]  # fmt: skip
    assert quality.slice == 2 and np.array_equal(quality.mask, INSIDE[:, :, 2] > 0)
    for shell in quality.shells:
        assert np.allclose(shell.mean, values[:, :, 2][..., list(shell.volumes)].mean(axis=-1))
    assert np.allclose(quality.table, table)


def test_volumes_of_a_shell_need_not_be_neighbours(tmp_path, mask):
    values, table = series((0, 3), (1000, 9))
    order = np.random.default_rng(1).permutation(12)
    quality = measure(saved(tmp_path, values[..., order], table[order]), mask=mask)
    assert quality.shells[0].volumes == tuple(np.flatnonzero(order < 3))
    assert np.allclose(quality.shells[0].mean, values[:, :, 2, :3].mean(axis=-1))


def test_the_signal_to_noise_ratio_is_the_median_of_mean_over_deviation(tmp_path, mask):
    values, table = series((0, 5), (1000, 7))
    quality = measure(saved(tmp_path, values, table), mask=mask)
    repeats = values[INSIDE > 0][:, :5].astype(np.float32)
    assert quality.snr == pytest.approx(np.median(repeats.mean(axis=1) / repeats.std(axis=1, ddof=1)), rel=1e-5)
    assert f"{quality.snr:.1f}" in quality.lines()[0]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_without_three_volumes_at_b0_there_is_no_ratio(tmp_path, mask, count):
    values, table = series((0, count), (1000, 7))
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert quality.snr is None and f"not measurable: {count} volume" in quality.lines()[0]


def test_equal_volumes_have_no_ratio(tmp_path, mask):
    values, table = series((0, 4), (1000, 7))
    values[..., :4] = values[..., :1]
    assert measure(saved(tmp_path, values, table), mask=mask).snr is None


def test_slices_that_lost_signal_are_outliers_and_the_darkest_is_first(tmp_path, mask):
    values, table = series((0, 6), (1000, 12), (3000, 12))
    assert measure(saved(tmp_path, values, table), mask=mask).outliers == {}
    values[:, :, 2, 8] *= 0.5
    values[:, :, 1:3, 20] *= 0.3
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert list(quality.outliers.items()) == [(20, (1, 2)), (8, (2,))]
    assert quality.changes[20, 1] == pytest.approx(-0.7, abs=0.05) and quality.scores[20, 1] < -5
    assert "3 slices of 2 volumes" in quality.lines()[1]


def test_what_is_brighter_or_only_a_little_darker_is_no_outlier(tmp_path, mask):
    values, table = series((0, 1), (1000, 12))
    values[..., 1:] = values[..., 1:2] * np.linspace(0.999, 1.001, 12)
    values[:, :, 2, 5] *= 0.93
    values[:, :, 2, 6] *= 3
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert quality.scores[5, 2] < -5 and quality.scores[6, 2] > 5 and quality.outliers == {}


def test_one_dark_volume_of_equal_ones_is_an_outlier(tmp_path, mask):
    values, table = series((0, 1), (1000, 8))
    values[..., 1:] = values[..., 1:2]
    values[..., 4] *= 0.5
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert quality.outliers == {4: (1, 2, 3)} and quality.scores[5, 2] == 0


def test_what_varies_as_much_as_the_shell_does_is_no_outlier(tmp_path, mask):
    values, table = series((0, 1), (1000, 12))
    values[..., 1:] *= np.linspace(0.5, 1.5, 12)
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert quality.changes.T[2, 1] < -0.3 and quality.outliers == {}


def test_a_slice_with_little_of_the_mask_is_not_judged(tmp_path, mrtrix):
    values, table = series((0, 1), (1000, 8))
    mask = INSIDE.copy()
    mask[:, :, 0], mask[2, 2, 0] = 0, 1
    values[:, :, 0, 3] *= 0.1
    quality = measure(saved(tmp_path, values, table), mask=saved(tmp_path, mask, name="mask.nii"))
    assert np.isnan(quality.scores[:, 0]).all() and quality.outliers == {}


def test_a_shell_of_few_volumes_and_slices_outside_of_the_mask_are_not_judged(tmp_path, mask):
    values, table = series((0, 1), (1000, 5), (3000, 6))
    values[:, :, 2, 3] *= 0.1
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert np.isnan(quality.scores[:6]).all() and np.isnan(quality.scores[:, 0]).all()
    assert np.isfinite(quality.scores[6:, 1:]).all() and quality.outliers == {}
    assert "b=1000, 5 volumes" in quality.lines()[2]


def test_where_nothing_is_judged_it_does_not_say_none(tmp_path, mask):
    values, table = series((0, 1), (1000, 5))
    assert measure(saved(tmp_path, values, table), mask=mask).lines()[1] == "Outliers: not judged."


def test_values_that_are_not_finite_are_left_out(tmp_path, mask):
    values, table = series((0, 1), (1000, 8))
    values[2, 2, 2, 3] = np.nan
    values[:, :, 1, 4] = np.nan
    values[:, :, 1, 6] *= 0.3
    quality = measure(saved(tmp_path, values, table), mask=mask)
    assert np.isnan(quality.scores[4, 1]) and np.isfinite(quality.scores[3, 2]) and quality.outliers == {6: (1,)}


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("dwi.nii.gz", ("dwi.bval", "dwi.bvec")),
        ("sub-1.run.nii", ("sub-1.run.bvals", "sub-1.run.bvecs")),
        ("x.nii", ("bvals", "bvecs")),
    ],
)
def test_gradients_are_found_next_to_the_image(tmp_path, mask, name, beside):
    values, table = series((0, 1), (1000, 7))
    assert np.allclose(measure(saved(tmp_path, values, table, name, beside), mask=mask).table, table)


def test_given_gradients_count_before_those_of_the_header_and_these_before_files(tmp_path, mask, mrtrix):
    values, table = series((0, 1), (1000, 7))
    others = table * [1, 1, 1, 2]
    path = saved(tmp_path, values, table)
    mrtrix.tables["dwi.nii"] = {"dw_scheme": others.tolist()}
    assert np.allclose(measure(path, mask=mask).table, others)
    given = measure(path, mask=mask, bvals=tmp_path / "dwi.bval", bvecs=tmp_path / "dwi.bvec")
    assert np.allclose(given.table, table)


def test_without_gradients_it_is_refused(tmp_path, mask):
    values, _ = series((0, 1), (1000, 7))
    for image in (saved(tmp_path, values), values):
        with pytest.raises(OptionError) as caught:
            measure(image, mask=mask)
        assert caught.value.code == "no-gradients" and "bvals=" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "code"),
    [({"bvals": "dwi.bval"}, "bad-value"), ({"bvals": "dwi.bval", "bvecs": "gone"}, "no-file"),
     ({"bvals": 3, "bvecs": "dwi.bvec"}, "bad-value")],
)  # fmt: skip
def test_half_a_table_or_none_is_refused(tmp_path, mask, given, code, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError) as caught:
        measure(saved(tmp_path, *series((0, 1), (1000, 7))), mask=mask, **given)
    assert caught.value.code == code


def test_a_mask_is_made_by_dwi2mask_with_the_gradients_and_nothing_is_left(tmp_path, mrtrix, monkeypatch):
    monkeypatch.setattr("provision.pictures.quality._is_script", lambda program: False)
    quality = measure(saved(tmp_path, *series((0, 1), (1000, 7))))
    assert np.array_equal(quality.mask, INSIDE[:, :, 2] > 0)
    (call,) = [call for call in mrtrix.calls if call[0] == "dwi2mask"]
    folder = call[call.index("-grad") + 1].rsplit("/", 1)[0]
    assert "legacy" not in call and folder.startswith("/") and not Path(folder).exists()


def test_the_dwi2mask_that_is_a_script_is_asked_for_the_same_algorithm(tmp_path, mrtrix, monkeypatch):
    monkeypatch.setattr("provision.pictures.quality._is_script", lambda program: True)
    measure(saved(tmp_path, *series((0, 1), (1000, 7))))
    (call,) = [call for call in mrtrix.calls if call[0] == "dwi2mask"]
    assert call[1] == "legacy" and "-scratch" in call


def test_without_dwi2mask_a_mask_is_asked_for(tmp_path, mrtrix, monkeypatch):
    def command(name):
        if name == "dwi2mask":
            raise ProvisionError("no", hint="Install it.", code="not-installed")
        return mrtrix.command(name)

    monkeypatch.setattr(mrtrix3, "command", command)
    with pytest.raises(ProvisionError) as caught:
        measure(saved(tmp_path, *series((0, 1), (1000, 7))))
    assert caught.value.code == "not-installed" and "mask=" in caught.value.hint


@pytest.mark.parametrize(
    ("values", "code"),
    [(np.zeros(SHAPE, np.uint8), "nothing-to-show"), (np.ones((*SHAPE, 2), np.uint8), "wrong-image")],
)
def test_a_mask_that_is_empty_or_a_series_is_refused(tmp_path, mrtrix, values, code):
    with pytest.raises(OptionError) as caught:
        measure(saved(tmp_path, *series((0, 1), (1000, 7))), mask=values)
    assert caught.value.code == code


def test_one_volume_is_no_series(tmp_path, mask):
    with pytest.raises(OptionError) as caught:
        measure(saved(tmp_path, INSIDE), mask=mask)
    assert caught.value.code == "wrong-image"
