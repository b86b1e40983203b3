"""The angles between peaks that were found and fibres that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LIMITS = {"single fibre": 3.0, "crossing": 10.0}
"""Largest median angles in degrees: MRtrix3 3.0.3 finds 0.4 and 1.4, or 37 and 15 if b-vectors are mirrored."""


@dataclass(frozen=True)
class Angles:
    """The angles between found peaks and true fibres in one kind of voxel.

    Attributes
    ----------
    voxels : int
        How many voxels were compared.
    median, p95 : float
        Median and 95th percentile of the angle in degrees; in a voxel with two fibres, the larger angle counts.
    limit : float
        The largest median that passes, in degrees.
    """

    voxels: int
    median: float
    p95: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the median is within the limit."""
        return self.median <= self.limit


def compare(peaks: np.ndarray, directions: np.ndarray) -> dict[str, Angles]:
    """Return the angles between peaks and true fibres, per kind of voxel that there is.

    Parameters
    ----------
    peaks : numpy.ndarray
        Peaks in the scanner's frame, the largest first, shape (X, Y, Z, P, 3) with two or more of them.
    directions : numpy.ndarray
        The true fibres, shape (X, Y, Z, 2, 3); zero where there is none.

    Returns
    -------
    dict of str to Angles
        For ``"single fibre"`` and ``"crossing"``. A fibre without a peak counts as 90 degrees.

    Examples
    --------
    >>> import numpy as np
    >>> fibre = np.zeros((1, 1, 1, 2, 3)) + [[1, 0, 0], [0, 0, 0]]
    >>> compare(fibre, fibre)["single fibre"]
    Angles(voxels=1, median=0.0, p95=0.0, limit=3.0)
    """
    import numpy as np

    fibres = directions.any(axis=-1).sum(axis=-1)
    found = {}
    for number, (kind, limit) in enumerate(LIMITS.items(), start=1):
        here = fibres == number
        if here.any():
            degrees = peak_angles(peaks[here], directions[here][:, :number])
            median, p95 = (round(float(value), 3) for value in np.percentile(degrees, (50, 95)))
            found[kind] = Angles(len(degrees), median, p95, limit)
    return found


def peak_angles(peaks: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the angles in degrees between peaks (V, P, 3) and true fibres (V, 1 or 2, 3): the worst of each voxel."""
    # They are paired so that the larger of the two angles is smallest: the order of the peaks does not count.
    import numpy as np

    fibres = directions.shape[1]
    peaks = peaks[:, :fibres]
    in_order = angle(peaks, directions).max(axis=1)
    swapped = angle(peaks[:, ::-1], directions).max(axis=1)
    return np.minimum(in_order, swapped)


def angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angles between axes in degrees, from 0 to 90; 90 where an axis is zero or not a number."""
    # The arc tangent keeps its digits near 0 degrees, where the arc cosine of a scalar product loses half of them.
    import numpy as np

    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    cosine = np.abs(np.sum(first * second, axis=-1))
    found = (sine > 0) | (cosine > 0)
    return np.where(found, np.degrees(np.arctan2(sine, cosine)), 90.0)
