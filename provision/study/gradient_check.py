"""Check that b-vectors fit their image: ``python -m provision.study.gradient_check DWI BVEC BVAL MASK [OUT]``.

Fibres go on from voxel to voxel, so streamlines are longest with the right b-vectors: the method of Jeurissen et al.,
Medical Image Analysis 18:953-962 (2014), as in MRtrix3's ``dwigradcheck``. Other axes of the b-vectors only turn the
tensors, which are fitted once, and streamlines follow them from voxel to voxel.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.study import checks

if TYPE_CHECKING:
    import numpy as np

# Ratio of mean lengths, best to given. Measured on phantoms with 5 seeds of noise each: right b-vectors give 1.00 to
# 1.03 from SNR 5 on and 1.10 at SNR 3; noise without fibres up to 1.10; two swapped axes 1.33 or more from SNR 8 on,
# and 2.5 to 5 at SNR 40.
MARGIN = 1.25
# In voxels. Without fibres it is 0.7 at most; with them 1.1 at SNR 3, 2.5 at SNR 5, 15 at SNR 40.
SHORTEST = 2.0
VOXELS = 500
"""The fewest voxels with directed diffusion that are judged: a small part of a brain shows too little."""

_FA, _ANGLE = 0.2, 30.0
_STEP, _SEEDS, _STEPS = 0.5, 2000, 400
_LARGEST_B = 1500.0  # s/mm²; beyond, a tensor describes the signal less well
_NEAR = 0.98


@dataclass(frozen=True)
class Orientation:
    """Axes of b-vectors as a rearrangement of those in the file: ``order`` of the axes, then the ``signs``."""

    order: tuple[int, ...]
    signs: tuple[int, ...]

    @property
    def changes(self) -> int:
        """How far it is from the file's own."""
        return sum(axis != place for place, axis in enumerate(self.order)) + self.signs.count(-1)

    def __str__(self) -> str:
        return ",".join(
            ("-" if sign < 0 else "") + "xyz"[axis] for axis, sign in zip(self.order, self.signs, strict=True)
        )

    @property
    def said(self) -> str:
        """What would have to be done to the b-vectors, as words in a sentence."""
        moved = [place for place, axis in enumerate(self.order) if axis != place]
        flipped = [place for place, sign in enumerate(self.signs) if sign < 0]
        if len(moved) == 3:
            return f"with their axes x, y, z replaced by {str(self).replace(',', ', ')}"
        names = [" and ".join("xyz"[place] for place in places) for places in (moved, flipped)]
        words = ("swapped", "flipped")
        said = [f"axes {name} {word}" if " " in name else f"axis {name} {word}"
                for name, word in zip(names, words, strict=True) if name]  # fmt: skip
        return "with " + " and ".join(said)


# A flip of all three axes changes nothing, so one axis at most is flipped: 6 orders by 4 signs.
ORIENTATIONS = [
    Orientation(order, signs)
    for order in itertools.permutations(range(3))
    for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))
]


@dataclass(frozen=True)
class Verdict:
    """The mean lengths of streamlines, in voxels, by orientation; empty where too few voxels have a direction."""

    lengths: dict[Orientation, float]
    voxels: int

    @property
    def best(self) -> Orientation:
        """The orientation with the longest streamlines; of those that are as good, the one nearest to the file's."""
        good = [one for one, length in self.lengths.items() if length >= _NEAR * max(self.lengths.values())]
        return min(good or ORIENTATIONS, key=lambda one: one.changes)

    @property
    def ratio(self) -> float:
        """How many times longer the best orientation's streamlines are than those of the file's."""
        return self.lengths[self.best] / max(self.lengths[ORIENTATIONS[0]], 1e-6) if self.lengths else 1.0

    @property
    def passed(self) -> bool:
        """Whether no other orientation is clearly better."""
        return not self.lengths or self.ratio < MARGIN or self.lengths[self.best] < SHORTEST

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "passed": self.passed,
            "best": str(self.best),
            "ratio": round(self.ratio, 3),
            "voxels": self.voxels,
            "scores": {str(one): round(length, 3) for one, length in self.lengths.items()},
        }


def check(dwi: Path, bvec: Path, bval: Path, mask: Path) -> Verdict:
    """Return how well the b-vectors of an image fit it.

    Parameters
    ----------
    dwi, mask : pathlib.Path
        NIfTI images with the same voxels.
    bvec, bval : pathlib.Path
        The gradient table in FSL's format.

    Returns
    -------
    Verdict
        The mean length of streamlines for each of 24 orientations of the b-vectors.

    Raises
    ------
    provision.study.checks.Problem
        If the files do not fit each other, or cannot be read.

    Examples
    --------
    >>> check(Path("dwi.nii.gz"), Path("dwi.bvec"), Path("dwi.bval"), Path("mask.nii.gz")).passed  # doctest: +SKIP
    True
    """
    import nibabel
    import numpy as np

    volumes = checks.count_volumes(dwi)
    checks.count_volumes(mask)
    table = checks.scaled(checks.read_gradients(bval, bvec))
    # Volumes are read one after the other, each once.
    image: Any = nibabel.load(dwi, keep_file_open=True)
    inside = np.squeeze(np.asanyarray(nibabel.load(mask).dataobj)) > 0  # type: ignore[attr-defined]
    if inside.shape != image.shape[:3] or len(table) != volumes:
        raise checks.Problem(f"{dwi.name}, {bval.name} and {mask.name} do not fit each other.")
    low = table[:, 3] <= max(_LARGEST_B, table[table[:, 3] > checks.BZERO, 3].min(initial=np.inf) + checks.EPSILON)
    signal = np.stack([np.asarray(image.dataobj[..., index], np.float32)[inside] for index in np.flatnonzero(low)], -1)
    anisotropy, directions = principal_directions(signal, table[low])
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    # In files, the first axis is mirrored where the determinant is positive (see demo/phantom.py).
    mirror = np.array([-1 if np.linalg.det(image.affine[:3, :3]) > 0 else 1, 1, 1])
    return judge(anisotropy, directions, inside, spacing / spacing.min(), mirror)


def principal_directions(signal: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fractional anisotropy (V,) and main axes of diffusion (V, 3) of signals (V, N) with a table (N, 4)."""
    import numpy as np

    # Linear least squares: Basser et al., Journal of Magnetic Resonance B 103:247-254 (1994).
    x, y, z, b = table.T
    design = np.stack([np.ones_like(b), -b * x * x, -b * y * y, -b * z * z,
                       -2 * b * x * y, -2 * b * x * z, -2 * b * y * z], -1)  # fmt: skip
    smallest = max(float(np.nan_to_num(signal).max(initial=0)) * 1e-6, 1e-30)
    fitted = np.log(np.clip(np.nan_to_num(signal), smallest, None)) @ np.linalg.pinv(design).T
    tensors = fitted[:, [1, 4, 5, 4, 2, 6, 5, 6, 3]].reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(tensors)
    values = values.clip(0)
    spread = ((values - values.mean(1, keepdims=True)) ** 2).sum(1)
    return np.sqrt(1.5 * spread / np.maximum((values**2).sum(1), 1e-30)), vectors[:, :, 2]


def judge(
    anisotropy: np.ndarray, directions: np.ndarray, inside: np.ndarray, spacing: np.ndarray, mirror: np.ndarray
) -> Verdict:
    """Return the mean lengths of streamlines along the directions (V, 3) of the voxels of a mask (X, Y, Z).

    Directions are those of the file; `mirror` turns them into those of the image, whose voxels have sides of `spacing`,
    the smallest of them 1.
    """
    import numpy as np

    # One empty voxel on each side spares the question whether a streamline has left the image.
    directed = np.zeros(inside.shape, bool)
    directed[inside] = anisotropy > _FA
    directed = np.pad(directed, 1)
    voxels = np.argwhere(directed)
    if len(voxels) < VOXELS:
        return Verdict({}, len(voxels))
    # The seeds are the same for all orientations, and in every run.
    random = np.random.default_rng(0)
    seeds = voxels[random.choice(len(voxels), _SEEDS)] + random.uniform(-0.5, 0.5, (_SEEDS, 3))
    field = np.zeros((*directed.shape, 3))
    lengths = {}
    for one in ORIENTATIONS:
        field[1:-1, 1:-1, 1:-1][inside] = directions[:, list(one.order)] * one.signs * mirror
        lengths[one] = _mean_length(field, directed, seeds, _STEP / spacing)
    return Verdict(lengths, len(voxels))


def _mean_length(field: np.ndarray, directed: np.ndarray, seeds: np.ndarray, step: np.ndarray) -> float:
    """Return the mean length of streamlines from seeds, both ways, in voxels."""
    import numpy as np

    total, straight = 0, np.cos(np.radians(_ANGLE))
    for way in (1, -1):
        points = seeds
        heading = way * field[tuple(np.rint(points).astype(int).T)]
        for _ in range(_STEPS):
            points = points + heading * step
            here = tuple(np.rint(points).astype(int).T)
            cosine = (field[here] * heading).sum(1)
            ahead = directed[here] & (np.abs(cosine) > straight)
            if not ahead.any():
                break
            points = points[ahead]
            heading = (field[here] * np.sign(cosine)[:, np.newaxis])[ahead]
            total += len(points)
    return _STEP * total / len(seeds)


def main(arguments: Sequence[str]) -> int:
    """Print the scores as a line of JSON; return 1, with a sentence, where other b-vectors are clearly better.

    The line goes into the file OUT as well, if there is one.
    """
    if len(arguments) not in (4, 5):
        return _fail("Usage: python -m provision.study.gradient_check DWI BVEC BVAL MASK [OUT]")
    try:
        verdict = check(*map(Path, arguments[:4]))
    except checks.Problem as problem:
        return _fail(str(problem))
    line = json.dumps(verdict.to_dict())
    print(line, flush=True)
    for path in arguments[4:]:
        Path(path).write_text(line + "\n", encoding="utf-8")
    if verdict.passed:
        return 0
    return _fail(
        f"The b-vectors do not fit the image: streamlines are {verdict.ratio:.1f} times as long {verdict.best.said}."
    )


def _fail(sentence: str) -> int:
    print(f"gradient_check: [ERROR] {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
