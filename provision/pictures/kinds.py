"""What the volumes of an image are: coefficients of FODs, or the elements of a diffusion tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError, unknown

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.reader import Header

KINDS = {"fod": "FODs", "tensor": "tensors"}
COUNTS = tuple((lmax + 1) * (lmax + 2) // 2 for lmax in range(0, 21, 2))
"""The numbers of coefficients for an lmax of 0, 2, 4, ..., 20."""

# Commands of MRtrix3 and MRtrix3Tissue, and what they write; the last of an image's history counts.
_MAKERS = {
    "dwi2tensor": "tensor",
    **dict.fromkeys(("dwi2fod", "ss3t_csd_beta1", "amp2sh", "fixel2sh", "shconv", "mtnormalise"), "fod"),
    **dict.fromkeys(("sh2amp", "sh2peaks", "tensor2metric"), "other"),
}
_TRIED = 20_000  # voxels
# Shares of the image, by magnitude, so that what is around a head weighs little.
_NEARLY_ALL, _MOST, _HALF = 0.95, 0.75, 0.5
# Of the mean: how negative the second moment of an FOD may be, which is cut off at a degree and noisy. The six elements
# of an isotropic tensor miss by 0.08.
_STRICT, _LOOSE = 0.05, 0.1


def checked(kind: Any, header: Header, values: np.ndarray) -> str:
    """Return what an image contains, ``"fod"`` or ``"tensor"``; refuse anything else.

    Parameters
    ----------
    kind : {"fod", "tensor"} or None
        What a person says it is; None takes the last command in the image's history that says, else its values.
    header : provision.pictures.reader.Header
        The header of the image.
    values : numpy.ndarray
        Shape (X, Y, Z, N).
    """
    if kind is not None and (not isinstance(kind, str) or kind not in KINDS):
        raise unknown("kind", kind, KINDS)
    _check_shape(header.shape)
    voxels, weights = _sampled(values)
    found = kind or _made(header) or (_seen(voxels, weights, header) if weights.any() else "fod")
    if found == "tensor":
        _check_tensors(voxels, weights, header)
    return found


def matrices(tensors: np.ndarray) -> np.ndarray:
    """Return tensors as matrices, shape (..., 3, 3), from the order of MRtrix3: xx, yy, zz, xy, xz, yz."""
    return tensors[..., [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]


def _check_shape(shape: Sequence[int]) -> None:
    if len(shape) != 4:
        size = " x ".join(map(str, shape))
        message = f"FODs and tensors are 4-D images; this one has {len(shape)} dimensions: {size}."
        raise OptionError(message, code="not-fods")
    if shape[3] not in COUNTS:
        raise OptionError(
            f"The image has {shape[3]} volumes, so it contains neither FODs nor tensors.",
            hint=f"FODs have {', '.join(map(str, COUNTS[:7]))}, ... volumes, for an lmax of 0, 2, 4, ...; tensors 6.",
            code="not-fods",
        )


def _sampled(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return some of the voxels that are not empty, shape (V, N), and their weights."""
    import numpy as np

    flat = values.reshape(-1, values.shape[3], order="F")
    filled = np.flatnonzero(np.isfinite(flat[:, 0]) & (flat[:, 0] != 0))
    voxels = flat[filled[:: len(filled) // _TRIED + 1]].astype(float)
    voxels = voxels[np.isfinite(voxels).all(axis=1)]
    return voxels, np.square(voxels[:, :6]).sum(axis=1)


def _made(header: Header) -> str | None:
    """Return what the command that made the image writes."""
    commands = [line.split()[0] for entry in header.history for line in entry.splitlines() if line.split()]
    maker = next((name for name in (Path(one).name for one in reversed(commands)) if name in _MAKERS), None)
    if maker and _MAKERS[maker] == "other":
        raise OptionError(f"{header.name} was made by {maker}, so it does not contain FODs.", code="not-fods")
    return _MAKERS[maker] if maker else None


def _seen(voxels: np.ndarray, weights: np.ndarray, header: Header) -> str:
    """Return what the values can be, if they can be one thing only."""
    import numpy as np

    count = header.volumes
    if count < 6:
        return "fod"
    if header.is_whole or np.average((voxels > 0).all(axis=1), weights=weights) > _NEARLY_ALL:
        raise OptionError(
            f"{header.name} contains {count} volumes of intensities, not FODs.",
            hint='Compute FODs first: dwi2fod. If it contains FODs, say so: kind="fod".', code="not-fods",
        )  # fmt: skip
    if count > 6:
        if np.average(_are_moments(voxels, _LOOSE), weights=weights) > _MOST:
            return "fod"
        hint = 'If it does, say so: kind="fod".'
        raise OptionError(f"{header.name} does not seem to contain FODs.", hint=hint, code="not-fods")
    fods = np.average(_are_moments(voxels, _STRICT), weights=weights) > _NEARLY_ALL
    tensors = np.average(_are_positive(voxels), weights=weights)
    if fods and tensors < _HALF:
        return "fod"
    if tensors > _NEARLY_ALL and not fods:
        return "tensor"
    raise OptionError(
        f"{header.name} has six volumes, which could be tensors or FODs.",
        hint='Say which: kind="tensor" (xx, yy, zz, xy, xz, yz, as dwi2tensor writes them) or kind="fod".',
        code="unknown-kind",
    )


def _check_tensors(voxels: np.ndarray, weights: np.ndarray, header: Header) -> None:
    """Refuse tensors of another order than MRtrix3's, which would have other shapes and directions."""
    import numpy as np

    if header.volumes != 6:
        raise OptionError(f"Tensors have 6 volumes; {header.name} has {header.volumes}.", code="not-tensors")
    if weights.any() and np.average(_are_positive(voxels), weights=weights) < _HALF:
        raise OptionError(
            f"{header.name} does not contain diffusion tensors in MRtrix3's order: most have negative eigenvalues.",
            hint="Fit them with dwi2tensor, which writes xx, yy, zz, xy, xz, yz in the scanner's frame.",
            code="not-tensors",
        )


def _are_positive(voxels: np.ndarray) -> np.ndarray:
    """Return for each voxel whether it can be a tensor: no eigenvalue is negative."""
    import numpy as np

    return np.linalg.eigvalsh(matrices(voxels))[:, 0] > 0


def _are_moments(voxels: np.ndarray, rounding: float) -> np.ndarray:
    """Return for each voxel whether a non-negative function can have these first six coefficients.

    Its second moments, xx, yy, zz, xy, xz, yz, then form a matrix without negative eigenvalues.
    """
    import numpy as np

    whole = voxels[:, 0] * math.sqrt(4 * math.pi)
    factors = np.array([1, -1, math.sqrt(12), -1, 1]) * math.sqrt(4 * math.pi / 15)
    xy, yz, zz, xz, difference = (voxels[:, 1:6] * factors).T
    zz = (whole + zz) / 3
    half = (whole - zz) / 2
    moments = matrices(np.stack([half + difference, half - difference, zz, xy, xz, yz], axis=1))
    return np.linalg.eigvalsh(moments)[:, 0] > -rounding * np.abs(whole)
