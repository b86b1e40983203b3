"""Fibre orientation distributions that are known."""

import numpy as np

X, Y, Z = np.eye(3)


def fibre(direction, sharp: float = 30.0) -> np.ndarray:
    """Coefficients up to degree 4 of a fibre along a direction, by MRtrix3's formulas in x, y and z."""
    x, y, z = np.divide(direction, np.linalg.norm(direction))
    two = np.sqrt(15 / (4 * np.pi)) * np.array([x * y, -y * z, (3 * z**2 - 1) / 12**0.5, -x * z, (x**2 - y**2) / 2])
    p, q = x**2 - y**2, 2 * x * y
    four = [
        3 / 8 * np.sqrt(35 / np.pi) * p * q,
        -3 / 4 * np.sqrt(35 / (2 * np.pi)) * (3 * x**2 * y - y**3) * z,
        3 / 8 * np.sqrt(5 / np.pi) * q * (7 * z**2 - 1),
        -3 / 4 * np.sqrt(5 / (2 * np.pi)) * y * z * (7 * z**2 - 3),
        3 / 16 / np.sqrt(np.pi) * (35 * z**4 - 30 * z**2 + 3),
        -3 / 4 * np.sqrt(5 / (2 * np.pi)) * x * z * (7 * z**2 - 3),
        3 / 8 * np.sqrt(5 / np.pi) * p * (7 * z**2 - 1),
        -3 / 4 * np.sqrt(35 / (2 * np.pi)) * (x**3 - 3 * x * y**2) * z,
        3 / 16 * np.sqrt(35 / np.pi) * (p**2 - q**2),
    ]
    smooth = np.exp(-np.repeat([0, 6, 20], [1, 5, 9]) / sharp)
    return smooth * np.array([0.5 / np.sqrt(np.pi), *two, *four])


def volume(fibres: dict, shape=(3, 3, 3)) -> np.ndarray:
    """An image of some fibres, each at its voxel."""
    result = np.zeros((*shape, 15))
    for voxel, direction in fibres.items():
        result[voxel] = fibre(direction)
    return result
