"""Affines as scanners have them: straight, mirrored and oblique."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def scanner_affine(
    shape: Sequence[int],
    voxel_size: float | Sequence[float] = 2.0,
    *,
    rotation: Sequence[float] = (0.0, 0.0, 0.0),
    negative: bool = False,
) -> np.ndarray:
    """An affine that puts the middle of a volume at the scanner's origin.

    The rotation is in degrees about x, then y, then z; a negative one has its first axis run to the left.
    """
    axes = _rotation(rotation) * np.broadcast_to(voxel_size, 3)
    if negative:
        axes[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((np.asarray(shape) - 1) / 2)
    return affine


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
