"""The phantom is what it says it is: signal, geometry and files, each against an independent reckoning."""

import subprocess
import sys

import nibabel
import numpy as np
import pytest

from provision.demo import phantom
from provision.demo.phantom import Tissue, make_phantom
from provision.errors import OptionError
from provision.pictures.angles import angle

SHAPE = (20, 16, 6)


def small(**options) -> phantom.Phantom:
    return make_phantom(SHAPE, **options)


def positions(affine: np.ndarray) -> np.ndarray:
    """Scanner coordinates of every voxel in mm, shape (X, Y, Z, 3)."""
    indices = np.moveaxis(np.indices(SHAPE), 0, -1)
    return indices @ affine[:3, :3].T + affine[:3, 3]


def tensor(direction: np.ndarray) -> np.ndarray:
    return 0.3e-3 * np.eye(3) + (1.7e-3 - 0.3e-3) * np.outer(direction, direction)


def test_importing_loads_numpy_and_no_other_package():
    code = "import sys, provision.demo.phantom; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "numpy" in loaded
    assert not loaded & {"scipy", "dipy", "nibabel", "matplotlib", "rich", "ansible", "ansible_runner"}


def test_same_seed_gives_same_bytes():
    assert small(seed=3).data.tobytes() == small(seed=3).data.tobytes()


def test_other_seed_gives_other_noise():
    assert not np.array_equal(small(seed=3).data, small(seed=4).data)


def test_data_are_float32_volumes_of_the_shape_asked_for():
    made = small()
    assert (made.data.dtype, made.data.shape) == (np.float32, (*SHAPE, 193))


def test_there_are_three_shells_and_193_volumes():
    made = small()
    assert made.bvecs.shape == (193, 3)
    assert set(np.round(made.bvals, -2)) == {0, 1000, 2000, 3500}


def test_signal_of_a_fibre_is_that_of_its_tensor():
    made = small(snr=np.inf)
    for voxel in np.argwhere(made.tissue == Tissue.SINGLE)[::7]:
        diffusion = tensor(made.directions[tuple(voxel)][0])
        expected = [1000 * np.exp(-b * g @ diffusion @ g) for b, g in zip(made.bvals, made.bvecs, strict=True)]
        np.testing.assert_allclose(made.data[tuple(voxel)], expected, rtol=1e-5)


def test_signal_of_a_crossing_is_the_mean_of_two_tensors():
    made = small(snr=np.inf)
    for voxel in np.argwhere(made.tissue == Tissue.CROSSING):
        pair = [tensor(direction) for direction in made.directions[tuple(voxel)]]
        table = zip(made.bvals, made.bvecs, strict=True)
        expected = [np.mean([1000 * np.exp(-b * g @ d @ g) for d in pair]) for b, g in table]
        np.testing.assert_allclose(made.data[tuple(voxel)], expected, rtol=1e-5)


@pytest.mark.parametrize(("tissue", "diffusivity"), [(Tissue.GREY, 0.8e-3), (Tissue.FLUID, 3.0e-3)])
def test_signal_without_fibres_is_the_same_in_all_directions(tissue, diffusivity):
    made = small(snr=np.inf)
    expected = 1000 * np.exp(-made.bvals * diffusivity)
    there = made.data[made.tissue == tissue]
    np.testing.assert_allclose(there, np.broadcast_to(expected, there.shape), rtol=1e-5)


def test_noise_is_rician():
    """Where there is no signal, the magnitude of the noise has the mean and spread of a Rayleigh distribution."""
    made = small(snr=40)
    background = made.data[made.tissue == Tissue.BACKGROUND]
    sigma = 1000 / 40
    assert background.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    assert background.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=0.03)


def test_every_tissue_is_there_with_its_number_of_fibres():
    made = small()
    expected = {Tissue.BACKGROUND: 0, Tissue.GREY: 0, Tissue.FLUID: 0, Tissue.SINGLE: 1, Tissue.CROSSING: 2}
    fibres = np.any(made.directions != 0, axis=-1).sum(axis=-1)
    found = {tissue: set(fibres[made.tissue == tissue].tolist()) for tissue in Tissue}
    assert found == {tissue: {fibres} for tissue, fibres in expected.items()}


def test_mask_is_all_but_the_background():
    made = small()
    np.testing.assert_array_equal(made.mask, made.tissue != 0)


def test_a_single_fibre_stands_first():
    made = small()
    single = made.directions[made.tissue == Tissue.SINGLE]
    np.testing.assert_allclose(np.linalg.norm(single, axis=-1), np.broadcast_to([1, 0], (len(single), 2)), atol=1e-6)


def test_bar_runs_from_voxel_to_neighbouring_voxel_along_the_first_axis():
    made = small()
    place = positions(made.affine)
    step = place[1, 0, 0] - place[0, 0, 0]
    middle = made.directions[SHAPE[0] // 2, SHAPE[1] // 2, SHAPE[2] // 2, 0]
    assert angle(middle, step) < 1e-4


def test_ring_is_square_to_its_radius_and_to_its_axis():
    made, axis = small(), np.array([0, 0, 1])
    place = positions(made.affine)
    ring = made.directions[..., 1, :][made.tissue == Tissue.CROSSING]
    at = place[made.tissue == Tissue.CROSSING]
    radius = at - np.outer(at @ axis, axis)
    np.testing.assert_allclose(angle(ring, radius), 90, atol=1e-3)
    np.testing.assert_allclose(ring @ axis, 0, atol=1e-6)


def test_written_bvecs_read_by_fsls_rule_are_the_true_gradient_directions(tmp_path):
    """FSL: along the image's axes, with the first mirrored when the affine's determinant is positive."""
    made = small()
    made.write(tmp_path)
    image = nibabel.load(tmp_path / "dwi.nii.gz")
    matrix = image.affine[:3, :3]
    components = np.loadtxt(tmp_path / "bvecs")
    if np.linalg.det(matrix) > 0:
        components[0] = -components[0]
    scanner = (matrix / image.header.get_zooms()[:3]) @ components
    np.testing.assert_allclose(scanner.T, made.bvecs, atol=1e-6)


def test_both_ways_of_saying_where_the_image_lies_agree(tmp_path):
    made = small()
    made.write(tmp_path)
    header = nibabel.load(tmp_path / "dwi.nii.gz").header
    assert (header["sform_code"], header["qform_code"]) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), made.affine, atol=1e-4)
    np.testing.assert_allclose(header.get_sform(), made.affine, atol=1e-4)


def test_written_files_hold_the_phantom(tmp_path):
    made = small()
    made.write(tmp_path / "new" / "folder")
    read = {path.name: path for path in (tmp_path / "new" / "folder").iterdir()}
    assert sorted(read) == ["bvals", "bvecs", "dwi.nii.gz", "mask.nii.gz", "tissue.nii.gz", "truth.nii.gz"]
    np.testing.assert_array_equal(nibabel.load(read["dwi.nii.gz"]).get_fdata(dtype=np.float32), made.data)
    np.testing.assert_array_equal(nibabel.load(read["mask.nii.gz"]).get_fdata(), made.mask)
    np.testing.assert_array_equal(nibabel.load(read["tissue.nii.gz"]).get_fdata(), made.tissue)
    truth = nibabel.load(read["truth.nii.gz"]).get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(truth[..., 3:], made.directions[..., 1, :])
    np.testing.assert_allclose(np.loadtxt(read["bvals"]), made.bvals, rtol=1e-5)


def test_the_middle_is_at_the_origin_and_voxels_have_2_mm():
    affine = small().affine
    np.testing.assert_allclose(positions(affine).reshape(-1, 3).mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(affine[:3, :3], 2 * np.eye(3))


@pytest.mark.parametrize(
    ("options", "value"),
    [({"shape": (7, 8, 4)}, "7, 8, 4."), ({"shape": (20, 20)}, "20, 20."), ({"snr": 0}, "not 0.")],
    ids=["small", "flat", "snr"],
)
def test_value_that_is_not_allowed_is_an_option_error(options, value):
    with pytest.raises(OptionError) as refused:
        make_phantom(**{"shape": SHAPE, **options})
    assert refused.value.code == "bad-value" and value in refused.value.message
