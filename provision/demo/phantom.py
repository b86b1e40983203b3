r"""A digital phantom with known fibre directions.

A bar of straight fibres crosses a ring of circular ones, with fluid in the middle and grey matter around it::

         grey matter
        . - ~~~~~ - .
      /   . fluid .   \
    ==X=================X==   bar along the first axis; X marks the crossings
      \   . fluid .   /
        ` - ~~~~~ - '        ring

The volume's axes are the scanner's. Directions and b-vectors are in the scanner's (world) frame everywhere in
this module; only the files that `Phantom.write` writes follow FSL's convention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from provision.errors import OptionError

SHAPE = (32, 32, 12)
"""Voxels along each axis: ``dwi2response dhollander`` peels three off every side, and here still finds 8 or more voxels
for each response (3 at 28 x 28 x 10)."""

S0 = 1000.0
"""Signal without diffusion weighting, the same in every tissue, in arbitrary units."""

TRUTH = "truth.nii.gz"
"""The file that is written first: it tells a folder of the phantom from others."""

# Rounded from the human brain: Pierpaoli et al., Radiology 201:637-648 (1996); fluid is water at body temperature.
AXIAL, RADIAL, GREY, FLUID = 1.7e-3, 0.3e-3, 0.8e-3, 3.0e-3
"""Diffusivities in mm²/s: along a fibre, across it, in grey matter, in fluid."""

# Radii and half-widths as fractions of half the shorter in-plane side.
_BRAIN, _RING, _RING_HALF_WIDTH, _BAR_HALF_LENGTH, _BAR_HALF_WIDTH, _FLUID = 0.98, 0.62, 0.15, 0.90, 0.14, 0.36
# Half the height of ring, bar and fluid, as a fraction of half the depth: grey matter lies above and below.
_HALF_HEIGHT = 0.75
_SMALLEST = (8, 8, 4)
_VOXEL = 2.0  # its edge in mm


class Tissue(IntEnum):
    """The tissue of a voxel."""

    BACKGROUND = 0
    GREY = 1
    FLUID = 2
    SINGLE = 3
    CROSSING = 4


@dataclass(frozen=True, eq=False)
class Phantom:
    """Diffusion-weighted volumes, and the truth they were simulated from."""

    data: np.ndarray  # the signal, float32, shape (X, Y, Z, N)
    affine: np.ndarray  # voxel indices to scanner coordinates in mm, shape (4, 4)
    bvals: np.ndarray  # weightings in s/mm², shape (N,)
    bvecs: np.ndarray  # unit gradient directions, shape (N, 3); zero where b is 0
    directions: np.ndarray  # of the fibres, float32 unit vectors, shape (X, Y, Z, 2, 3); zero where there is none
    tissue: np.ndarray  # one Tissue per voxel, uint8, shape (X, Y, Z)

    @property
    def mask(self) -> np.ndarray:
        """Where there is tissue, bool, shape (X, Y, Z)."""
        return self.tissue != Tissue.BACKGROUND

    def write(self, folder: Path) -> None:
        """Write the phantom like the export of a scanner, with the truth beside it in the layout of sh2peaks."""
        folder.mkdir(parents=True, exist_ok=True)
        self.write_truth(folder / TRUTH)
        self.write_image(folder / "dwi.nii.gz")
        _save(self.mask.astype(np.uint8), self.affine, folder / "mask.nii.gz")
        _save(self.tissue, self.affine, folder / "tissue.nii.gz")
        self.write_gradients(folder / "bvecs", folder / "bvals")

    def write_image(self, path: Path) -> None:
        """Write the volumes only."""
        _save(self.data, self.affine, path)

    def write_truth(self, path: Path) -> None:
        """Write the directions of the fibres in the layout of sh2peaks."""
        _save(self.directions.reshape(*self.tissue.shape, 6), self.affine, path)

    def write_gradients(self, bvecs: Path, bvals: Path) -> None:
        """Write the gradient table in FSL's convention."""
        np.savetxt(bvals, self.bvals[np.newaxis], fmt="%g")
        # FSL's b-vectors are relative to the axes of the image, with the first one mirrored where the determinant of
        # the affine is positive, as it is here (FSL's FAQ on FDT, "What conventions do the bvecs use?").
        np.savetxt(bvecs, (self.bvecs * (-1, 1, 1)).T, fmt="%.8f")


def make_phantom(shape: Sequence[int] = SHAPE, *, snr: float = 40.0, seed: int = 0) -> Phantom:
    """Simulate diffusion-weighted volumes of a ring of fibres crossed by a bar; the same seed gives the same bytes."""
    from dipy.data import get_3shell_gtab

    shape = _checked_shape(shape)
    if not snr > 0:
        raise OptionError(
            f"The signal-to-noise ratio must be greater than 0, not {snr:g}.", hint="Use 40, or inf.", code="bad-value"
        )
    table = get_3shell_gtab()  # 193 volumes, b = 0, 1000, 2000, 3500 s/mm²
    tissue, directions = _geometry(shape)
    signal = tensor_signal(table.bvals, table.bvecs, tissue, directions)
    data = signal if np.isinf(snr) else add_rician_noise(signal, S0 / snr, seed)
    affine = np.diag([_VOXEL, _VOXEL, _VOXEL, 1.0])
    affine[:3, 3] = -_VOXEL * (np.array(shape) - 1) / 2  # the middle of the volume is the scanner's origin
    return Phantom(data.astype(np.float32), affine, table.bvals, table.bvecs, directions.astype(np.float32), tissue)


def tensor_signal(bvals: np.ndarray, bvecs: np.ndarray, tissue: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the noise-free signal: the mean of one tensor per fibre, or isotropic decay where there is none."""
    signal = np.zeros((*tissue.shape, len(bvals)))
    signal[tissue == Tissue.GREY] = S0 * np.exp(-bvals * GREY)
    signal[tissue == Tissue.FLUID] = S0 * np.exp(-bvals * FLUID)
    for kind, fibres in ((Tissue.SINGLE, 1), (Tissue.CROSSING, 2)):
        cosines = directions[tissue == kind][:, :fibres] @ bvecs.T
        # Basser et al., Biophysical Journal 66:259-267 (1994), for a tensor with two equal eigenvalues.
        signal[tissue == kind] = S0 * np.exp(-bvals * (RADIAL + (AXIAL - RADIAL) * cosines**2)).mean(axis=1)
    return signal


def add_rician_noise(signal: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Return the magnitude of a signal with Gaussian noise of that deviation in the real and imaginary channels."""
    # What a magnitude image holds: Gudbjartsson and Patz, Magnetic Resonance in Medicine 34:910-914 (1995).
    noise = np.random.default_rng(seed).normal(scale=sigma, size=(2, *signal.shape))
    return np.hypot(signal + noise[0], noise[1])


def _geometry(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tissue (X, Y, Z) and the directions of the fibres (X, Y, Z, 2, 3)."""
    # In units of half the shorter in-plane side, and of half the depth, from the middle.
    unit = np.array([min(shape[:2]), min(shape[:2]), shape[2]]) / 2
    axes = [(np.arange(side) - (side - 1) / 2) / half for side, half in zip(shape, unit, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.hypot(x, y)
    core = np.abs(z) <= _HALF_HEIGHT
    ring = core & (np.abs(radius - _RING) <= _RING_HALF_WIDTH)
    bar = core & (np.abs(x) <= _BAR_HALF_LENGTH) & (np.abs(y) <= _BAR_HALF_WIDTH)

    tissue = np.full(shape, Tissue.BACKGROUND, dtype=np.uint8)
    tissue[radius <= _BRAIN] = Tissue.GREY
    tissue[core & (radius <= _FLUID)] = Tissue.FLUID
    tissue[ring | bar] = Tissue.SINGLE
    tissue[ring & bar] = Tissue.CROSSING

    directions = np.zeros((*shape, 2, 3))
    directions[bar, 0] = (1.0, 0.0, 0.0)
    tangent = np.stack([-y[ring], x[ring], np.zeros(ring.sum())], axis=-1) / radius[ring, np.newaxis]
    directions[ring, bar[ring].astype(int)] = tangent
    return tissue, directions


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return three whole numbers; refuse other sizes."""
    sides = tuple(int(side) for side in shape)
    if len(sides) != 3 or any(side < least for side, least in zip(sides, _SMALLEST, strict=True)):
        raise OptionError(
            f"The phantom's size must be three numbers of at least 8, 8 and 4, not {', '.join(map(str, sides))}.",
            hint=f"The default is {', '.join(map(str, SHAPE))}.",
            code="bad-value",
        )
    return sides


def _save(values: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write a NIfTI image with identical sform and qform."""
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    nibabel.save(image, path)
