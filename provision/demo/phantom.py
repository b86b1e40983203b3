r"""A digital phantom whose fibre directions are known, and how far found peaks lie from them.

A ring of circular fibres is crossed by a bar of straight ones; fluid lies in the ring's middle, grey matter around it::

         grey matter
        . - ~~~~~ - .
      /   . fluid .   \
    ==X=================X==   bar along the first axis; X marks the crossings
      \   . fluid .   /
        ` - ~~~~~ - '        ring

Directions, b-vectors and peaks are in the scanner's (world) frame everywhere in this module; only the files that
:meth:`Phantom.write` makes follow FSL's convention.
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

# Rounded from the human brain: Pierpaoli et al., Radiology 201:637-648 (1996); fluid is water at body temperature.
AXIAL, RADIAL, GREY, FLUID = 1.7e-3, 0.3e-3, 0.8e-3, 3.0e-3
"""Diffusivities in mm²/s: along a fibre, across it, in grey matter, in fluid."""

# Radii and half-widths as fractions of half the shorter in-plane side.
_BRAIN, _RING, _RING_HALF_WIDTH, _BAR_HALF_LENGTH, _BAR_HALF_WIDTH, _FLUID = 0.98, 0.62, 0.15, 0.90, 0.14, 0.36
# Half the height of ring, bar and fluid, as a fraction of half the depth: grey matter lies above and below.
_HALF_HEIGHT = 0.75
_SMALLEST = (8, 8, 4)


class Tissue(IntEnum):
    """What a voxel of the phantom holds."""

    BACKGROUND = 0
    GREY = 1
    FLUID = 2
    SINGLE = 3
    CROSSING = 4


@dataclass(frozen=True, eq=False)
class Phantom:
    """Diffusion-weighted volumes and the truth they were made from.

    Attributes
    ----------
    data : numpy.ndarray
        Signal, float32, shape (X, Y, Z, N).
    affine : numpy.ndarray
        Voxel indices to scanner coordinates in mm, shape (4, 4).
    bvals : numpy.ndarray
        Diffusion weightings in s/mm², shape (N,).
    bvecs : numpy.ndarray
        Unit gradient directions in the scanner's frame, shape (N, 3); zero where b is 0.
    directions : numpy.ndarray
        True fibre directions, float32 unit vectors in the scanner's frame, shape (X, Y, Z, 2, 3); zero where there is
        none.
    tissue : numpy.ndarray
        One :class:`Tissue` per voxel, uint8, shape (X, Y, Z).
    """

    data: np.ndarray
    affine: np.ndarray
    bvals: np.ndarray
    bvecs: np.ndarray
    directions: np.ndarray
    tissue: np.ndarray

    @property
    def fibres(self) -> np.ndarray:
        """Number of fibre populations per voxel (0, 1 or 2), uint8, shape (X, Y, Z)."""
        return np.any(self.directions != 0, axis=-1).sum(axis=-1).astype(np.uint8)

    @property
    def mask(self) -> np.ndarray:
        """Where there is tissue, bool, shape (X, Y, Z)."""
        return self.tissue != Tissue.BACKGROUND

    def write(self, folder: str | Path) -> Path:
        """Write the phantom as a scanner's export would look, with the truth beside it.

        Parameters
        ----------
        folder : str or pathlib.Path
            Where to write; it is made when missing. ``dwi.nii.gz``, ``bvals`` and ``bvecs`` follow FSL's convention,
            ``mask.nii.gz`` and ``tissue.nii.gz`` hold labels, and ``truth.nii.gz`` has the layout of ``sh2peaks``:
            x, y, z of the first fibre, then of the second, in the scanner's frame.

        Returns
        -------
        pathlib.Path
            The folder.

        Raises
        ------
        ModuleNotFoundError
            When nibabel is not installed.
        OSError
            When the folder cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _save(self.data, self.affine, folder / "dwi.nii.gz")
        _save(self.mask.astype(np.uint8), self.affine, folder / "mask.nii.gz")
        _save(self.tissue, self.affine, folder / "tissue.nii.gz")
        _save(self.directions.reshape(*self.tissue.shape, 6), self.affine, folder / "truth.nii.gz")
        np.savetxt(folder / "bvals", self.bvals[np.newaxis], fmt="%g")
        np.savetxt(folder / "bvecs", fsl_bvecs(self.bvecs, self.affine).T, fmt="%.8f")
        return folder


def make_phantom(
    shape: Sequence[int] = SHAPE,
    *,
    voxel_size: float = 2.0,
    snr: float = 40.0,
    seed: int = 0,
    gradients: tuple[np.ndarray, np.ndarray] | None = None,
    affine: np.ndarray | None = None,
) -> Phantom:
    """Make diffusion-weighted volumes of a ring of fibres that a bar crosses.

    Parameters
    ----------
    shape : sequence of int, optional
        Voxels along each axis, at least 8 x 8 x 4; fewer than the default leave ``dwi2response`` little to choose from.
    voxel_size : float, optional
        Edge of a voxel in mm; not used when `affine` is given.
    snr : float, optional
        `S0` over the standard deviation of the noise in each receiver channel; ``inf`` makes no noise.
    seed : int, optional
        Seed of the noise. With one version of numpy, the same seed gives the same bytes.
    gradients : (bvals, bvecs), optional
        Weightings in s/mm², shape (N,), and unit directions in the scanner's frame, shape (N, 3). The table of
        dipy's three-shell data set (b = 0, 1000, 2000, 3500; 193 volumes) when None.
    affine : numpy.ndarray, optional
        Voxel indices to scanner coordinates in mm, shape (4, 4), without shear; :func:`scanner_affine` makes one.

    Returns
    -------
    Phantom
        The volumes and the truth.

    Raises
    ------
    provision.errors.OptionError
        When a value is not allowed.
    ModuleNotFoundError
        When `gradients` is None and dipy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> bvals, bvecs = np.array([0.0, 1000.0]), np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> phantom = make_phantom((16, 16, 4), gradients=(bvals, bvecs))
    >>> phantom.data.shape
    (16, 16, 4, 2)
    """
    shape = _checked_shape(shape)
    if not snr > 0:
        raise OptionError(f"The signal-to-noise ratio is {snr:g}; it must be more than 0.", hint="Take 40, or inf.")
    affine = scanner_affine(shape, voxel_size) if affine is None else _checked_affine(affine)
    bvals, bvecs = _checked_gradients(*(three_shells() if gradients is None else gradients))
    tissue, along_axes = _geometry(shape, np.linalg.norm(affine[:3, :3], axis=0))
    directions = along_axes @ _unit_axes(affine).T
    clean = tensor_signal(bvals, bvecs, tissue, directions)
    data = clean if np.isinf(snr) else add_rician_noise(clean, S0 / snr, seed)
    return Phantom(data.astype(np.float32), affine, bvals, bvecs, directions.astype(np.float32), tissue)


def three_shells() -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient table of dipy's ``sherbrooke_3shell``: 193 volumes, b = 0, 1000, 2000, 3500 s/mm².

    Returns
    -------
    bvals : numpy.ndarray
        Weightings in s/mm², shape (193,).
    bvecs : numpy.ndarray
        Unit directions, shape (193, 3); zero where b is 0.

    Raises
    ------
    ModuleNotFoundError
        When dipy is not installed.
    """
    from dipy.data import get_3shell_gtab

    table = get_3shell_gtab()
    return table.bvals, table.bvecs


def scanner_affine(
    shape: Sequence[int],
    voxel_size: float | Sequence[float] = 2.0,
    *,
    rotation: Sequence[float] = (0.0, 0.0, 0.0),
    negative: bool = False,
) -> np.ndarray:
    """Return an affine that puts the middle of the volume at the scanner's origin.

    Parameters
    ----------
    shape : sequence of int
        Voxels along each axis.
    voxel_size : float or sequence of three floats, optional
        Edges of a voxel in mm.
    rotation : sequence of three floats, optional
        Degrees about the scanner's x, then y, then z axis; any value but 0 makes the volume oblique.
    negative : bool, optional
        Whether the first axis runs to the left, which makes the determinant negative.

    Returns
    -------
    numpy.ndarray
        Voxel indices to scanner coordinates in mm, shape (4, 4).

    Examples
    --------
    >>> scanner_affine((3, 3, 3), 2.0)
    array([[ 2.,  0.,  0., -2.],
           [ 0.,  2.,  0., -2.],
           [ 0.,  0.,  2., -2.],
           [ 0.,  0.,  0.,  1.]])
    """
    axes = _rotation(rotation) * np.broadcast_to(voxel_size, 3)
    if negative:
        axes[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((np.asarray(shape) - 1) / 2)
    return affine


def fsl_bvecs(bvecs: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn gradient directions of the scanner's frame into FSL's.

    FSL's are relative to the axes of the image, with the first one flipped when the determinant of the affine is
    positive (FSL's FAQ on FDT, "What conventions do the bvecs use?").

    Parameters
    ----------
    bvecs : numpy.ndarray
        Unit directions in the scanner's frame, shape (N, 3).
    affine : numpy.ndarray
        Voxel indices to scanner coordinates, shape (4, 4), without shear.

    Returns
    -------
    numpy.ndarray
        Unit directions by FSL's convention, shape (N, 3).

    Examples
    --------
    >>> import numpy as np
    >>> fsl_bvecs(np.array([[1.0, 0.0, 0.0]]), np.eye(4))
    array([[-1.,  0.,  0.]])
    """
    along_axes = bvecs @ _unit_axes(affine)
    if np.linalg.det(affine[:3, :3]) > 0:
        along_axes[:, 0] *= -1
    return along_axes


def tensor_signal(bvals: np.ndarray, bvecs: np.ndarray, tissue: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the signal without noise: the mean of one tensor per fibre, or isotropic decay where there is no fibre.

    A tensor with axis `d` gives ``S0 exp(-b (radial + (axial - radial) (g.d)²))``: Basser et al., Biophysical Journal
    66:259-267 (1994), for a tensor with two equal eigenvalues.

    Parameters
    ----------
    bvals : numpy.ndarray
        Weightings in s/mm², shape (N,).
    bvecs : numpy.ndarray
        Unit gradient directions in the scanner's frame, shape (N, 3).
    tissue : numpy.ndarray
        One :class:`Tissue` per voxel, shape (X, Y, Z).
    directions : numpy.ndarray
        Unit fibre directions in the scanner's frame, shape (X, Y, Z, 2, 3).

    Returns
    -------
    numpy.ndarray
        Signal in units of `S0`, shape (X, Y, Z, N); zero in the background.
    """
    signal = np.zeros((*tissue.shape, len(bvals)))
    signal[tissue == Tissue.GREY] = S0 * np.exp(-bvals * GREY)
    signal[tissue == Tissue.FLUID] = S0 * np.exp(-bvals * FLUID)
    for kind, fibres in ((Tissue.SINGLE, 1), (Tissue.CROSSING, 2)):
        cosines = directions[tissue == kind][:, :fibres] @ bvecs.T
        signal[tissue == kind] = S0 * np.exp(-bvals * (RADIAL + (AXIAL - RADIAL) * cosines**2)).mean(axis=1)
    return signal


def add_rician_noise(signal: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Return the magnitude of a signal with Gaussian noise in its real and imaginary channel.

    Parameters
    ----------
    signal : numpy.ndarray
        Signal without noise, any shape.
    sigma : float
        Standard deviation of the noise in each channel, in the signal's units.
    seed : int
        Seed of the noise.

    Returns
    -------
    numpy.ndarray
        What a scanner's magnitude image holds (Gudbjartsson and Patz, Magnetic Resonance in Medicine 34:910-914,
        1995), same shape.
    """
    noise = np.random.default_rng(seed).normal(scale=sigma, size=(2, *signal.shape))
    return np.hypot(signal + noise[0], noise[1])


def angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angle between two axes: a fibre has no front end, so the sign of a direction does not count.

    Parameters
    ----------
    first, second : numpy.ndarray
        Vectors of any length, shape (..., 3); they are broadcast.

    Returns
    -------
    numpy.ndarray
        Degrees from 0 to 90, shape (...); 90 where a vector is zero or not a number, which is no peak at all.

    Examples
    --------
    >>> import numpy as np
    >>> float(angle(np.array([1.0, 0.0, 0.0]), np.array([-2.0, 0.0, 0.0])))
    0.0
    """
    # The arc tangent keeps its digits near 0 degrees, where the arc cosine of a scalar product loses half of them.
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    cosine = np.abs(np.sum(first * second, axis=-1))
    found = (sine > 0) | (cosine > 0)
    return np.where(found, np.degrees(np.arctan2(sine, cosine)), 90.0)


def peak_angles(peaks: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return how far found peaks lie from the true fibres, by the worst fibre of each voxel.

    Peaks and fibres are paired in the way that makes the larger of the two angles smallest, so that the order of the
    peaks does not count.

    Parameters
    ----------
    peaks : numpy.ndarray
        Peaks in the scanner's frame, largest first, shape (V, P, 3) with P no less than the number of fibres.
    directions : numpy.ndarray
        True fibre directions in the scanner's frame, shape (V, F, 3) with F of 1 or 2.

    Returns
    -------
    numpy.ndarray
        Degrees from 0 to 90, shape (V,).

    Examples
    --------
    >>> import numpy as np
    >>> x, y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    >>> peak_angles(np.array([[y, x]]), np.array([[x, y]])).tolist()
    [0.0]
    """
    fibres = directions.shape[1]
    peaks = peaks[:, :fibres]
    in_order = angle(peaks, directions).max(axis=1)
    swapped = angle(peaks[:, ::-1], directions).max(axis=1)
    return np.minimum(in_order, swapped)


def _geometry(shape: tuple[int, int, int], voxel_size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tissue (X, Y, Z) and the fibre directions along the image's axes (X, Y, Z, 2, 3)."""
    x, y, z = _coordinates(shape, voxel_size)
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


def _coordinates(shape: tuple[int, int, int], voxel_size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y in units of half the shorter in-plane side, and z in units of half the depth, from the middle."""
    extent = np.array(shape) * voxel_size
    unit = np.array([min(extent[:2]), min(extent[:2]), extent[2]]) / 2
    axes = [(np.arange(n) - (n - 1) / 2) * edge / half for n, edge, half in zip(shape, voxel_size, unit, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x, y, z


def _unit_axes(affine: np.ndarray) -> np.ndarray:
    """Return the image's axes as unit columns in the scanner's frame, shape (3, 3)."""
    return affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)


def _rotation(degrees: Sequence[float]) -> np.ndarray:
    """Return the rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, radians in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        second, third = (axis + 1) % 3, (axis + 2) % 3
        turn[second, second] = turn[third, third] = np.cos(radians)
        turn[third, second] = np.sin(radians)
        turn[second, third] = -np.sin(radians)
        matrix = turn @ matrix
    return matrix


def _checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return three whole numbers, or say which are allowed."""
    sides = tuple(int(side) for side in shape)
    if len(sides) != 3 or any(side < least for side, least in zip(sides, _SMALLEST, strict=True)):
        raise OptionError(
            f"The phantom's size is {'x'.join(map(str, sides))}; three numbers of at least 8, 8 and 4 are needed.",
            hint=f"The default is {'x'.join(map(str, SHAPE))}.",
        )
    return sides


def _checked_affine(affine: np.ndarray) -> np.ndarray:
    """Return the affine as floats, or say why directions cannot be turned by it."""
    affine = np.asarray(affine, dtype=float)
    if affine.shape != (4, 4):
        raise OptionError(f"An affine has the shape (4, 4), not {affine.shape}.")
    axes = _unit_axes(affine)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-6):
        raise OptionError("The axes of the affine are not at right angles.", hint="scanner_affine() makes one.")
    return affine


def _checked_gradients(bvals: np.ndarray, bvecs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the table as arrays of floats, or say what does not fit."""
    bvals, bvecs = np.asarray(bvals, dtype=float), np.asarray(bvecs, dtype=float)
    if bvals.ndim != 1 or bvecs.shape != (len(bvals), 3):
        raise OptionError(f"A gradient table needs shapes (N,) and (N, 3), not {bvals.shape} and {bvecs.shape}.")
    if not np.allclose(np.linalg.norm(bvecs[bvals > 0], axis=1), 1, atol=1e-2):
        raise OptionError("A gradient direction with b above 0 is not a unit vector.")
    return bvals, bvecs


def _save(values: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write a NIfTI image whose sform and qform agree."""
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    nibabel.save(image, path)
