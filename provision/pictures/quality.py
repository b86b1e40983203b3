"""What is measured of a diffusion series: signal-to-noise ratio, shells and outliers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError, ProvisionError, no_such_file
from provision.paths import absolute
from provision.pictures import mrtrix3
from provision.pictures.reader import Reader
from provision.pictures.slices import ranges

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.reader import Image

BZERO = 10
"""The largest b-value in s/mm2 that counts as 0, as in MRtrix3."""
DEVIATIONS, SHARE = 5, 0.1
"""A slice is an outlier if it is darker than the median by so many robust standard deviations and by this share."""
FEWEST_REPEATS, FEWEST_VOLUMES, LEAST_AREA = 3, 6, 0.1
"""Volumes at b=0 for a signal-to-noise ratio; volumes of a shell, and share of the largest slice, to judge them."""

_ROBUST = 1.4826  # times the median absolute deviation: the standard deviation of a normal distribution
_ENDINGS = (".gz", ".nii", ".mif", ".mih", ".img", ".hdr", ".mgh", ".mgz")
_BESIDE = (("{}.bval", "{}.bvec"), ("{}.bvals", "{}.bvecs"), ("bvals", "bvecs"))
_MOST_NAMED = 5


@dataclass(frozen=True)
class Shell:
    """The volumes of one b-value.

    Attributes
    ----------
    bvalue : float
        Their mean b-value in s/mm2.
    volumes : tuple of int
        The volumes, counted from 0.
    mean : numpy.ndarray
        Their mean in the slice `Quality.slice`, shape (X, Y).
    """

    bvalue: float
    volumes: tuple[int, ...]
    mean: np.ndarray

    def __str__(self) -> str:
        return f"{_bvalue(self.bvalue)}, {_count(len(self.volumes), 'volume')}"


@dataclass(frozen=True)
class Quality:
    """What is measured of a diffusion series, shape (X, Y, Z, V); the axes are those nearest to right, front, up.

    Attributes
    ----------
    name : str
        The name of the image.
    shape, spacing : tuple
        The voxels along each axis, four numbers, and the edges of a voxel in mm, three numbers.
    table : numpy.ndarray
        The gradient directions in the scanner's frame and the b-values in s/mm2, as MRtrix3 reads them, shape (V, 4).
    shells : tuple of Shell
        The shells by rising b-value, b=0 among them.
    slice : int
        The axial slice of the pictures: the middle one of the mask.
    mask : numpy.ndarray
        The mask in this slice, bool, shape (X, Y).
    snr : float or None
        The signal-to-noise ratio at b=0; None if it cannot be measured.
    scores : numpy.ndarray
        How far each slice is from the median of its shell, in robust standard deviations, shape (V, Z); NaN where it is
        not judged.
    changes : numpy.ndarray
        The same as a share of the median: -0.5 is half as bright, shape (V, Z).
    outliers : dict of int to tuple of int
        The slices that are outliers, by volume, the volume with the darkest slice first.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    table: np.ndarray
    shells: tuple[Shell, ...]
    slice: int
    mask: np.ndarray
    snr: float | None
    scores: np.ndarray
    changes: np.ndarray
    outliers: dict[int, tuple[int, ...]]

    def lines(self) -> list[str]:
        """Return what the numbers say, as sentences."""
        repeats = sum(len(shell.volumes) for shell in self.shells if shell.bvalue <= BZERO)
        if self.snr is not None:
            snr = f"{self.snr:.1f} ({repeats} volumes)"
        elif repeats < FEWEST_REPEATS:
            snr = f"not measurable: {_count(repeats, 'volume')} at b=0"
        else:
            snr = f"not measurable: the {repeats} volumes at b=0 are equal"
        lines = [f"Signal-to-noise ratio at b=0: {snr}.", self._outliers()]
        if few := [str(shell) for shell in self.shells if len(shell.volumes) < FEWEST_VOLUMES]:
            lines.append(f"Not judged, with fewer than {FEWEST_VOLUMES} volumes: {'; '.join(few)}.")
        return lines

    def _outliers(self) -> str:
        import numpy as np

        if np.isnan(self.scores).all():
            return "Outliers: not judged."
        of = "their" if self.outliers else "its"
        rule = f"darker than the median of {of} shell by {DEVIATIONS} robust SD and {SHARE:.0%}"
        if not self.outliers:
            return f"Outliers: none; no slice is {rule}."
        found = sum(map(len, self.outliers.values()))
        named = [
            f"volume {volume}, slice{'s' * (len(slices) > 1)} {ranges(slices)} "
            f"({1 + min(self.changes[volume, list(slices)]):.0%} left)"
            for volume, slices in list(self.outliers.items())[:_MOST_NAMED]
        ]
        if more := len(self.outliers) - len(named):
            named.append(f"and {_count(more, 'more volume')}")
        what = f"{_count(found, 'slice')} of {_count(len(self.outliers), 'volume')}"
        return f"Outliers: {what} {'are' if found > 1 else 'is'} {rule}: {'; '.join(named)}."


def measure(
    dwi: Image,
    *,
    bvals: str | os.PathLike[str] | None = None,
    bvecs: str | os.PathLike[str] | None = None,
    mask: Image | None = None,
) -> Quality:
    """Return the numbers behind the picture of `provision.qc`, which has the same parameters and errors.

    Examples
    --------
    >>> measure("dwi.nii.gz").outliers  # doctest: +SKIP
    {17: (3, 4, 5)}
    """
    import numpy as np

    with Reader(dwi) as reader:
        header = reader.header
        if len(header.shape) != 4:
            size = " x ".join(map(str, header.shape))
            raise OptionError(f"{header.name} is not a series of volumes: its size is {size}.", code="wrong-image")
        table, groups = _gradients(reader, _given(bvals, bvecs) or _found(reader, dwi))
        values = reader.read()
        inside = _mask(reader, mask, values, table)
        places = np.flatnonzero(inside.any(axis=(0, 1)))
        level = int((places[0] + places[-1]) // 2)
        repeats = [volume for bvalue, volumes in groups if bvalue <= BZERO for volume in volumes]
        means, pictures, snr = _collected(values, inside, level, [volumes for _, volumes in groups], repeats)
    scores, changes = _judged(means, inside.sum(axis=(0, 1)), [volumes for _, volumes in groups])
    shells = tuple(Shell(*group, mean) for group, mean in zip(groups, pictures, strict=True))
    return Quality(
        header.name, header.shape, header.spacing, table, shells, level, inside[:, :, level], snr, scores, changes,
        _outliers(scores, changes),
    )  # fmt: skip


def _given(bvals: Any, bvecs: Any) -> tuple[Path, Path] | None:
    """Return the paths of the files of a gradient table that were given."""
    if bvals is None and bvecs is None:
        return None
    if bvals is None or bvecs is None:
        raise OptionError("A gradient table is bvals and bvecs; only one of them was given.", code="bad-value")
    for name, path in (("bvals", bvals), ("bvecs", bvecs)):
        if not isinstance(path, str | os.PathLike):
            raise OptionError(f"{name} must be the path of a file, not {type(path).__name__}.", code="bad-value")
        if not absolute(path).is_file():
            raise no_such_file(absolute(path), os.fspath(path))
    return absolute(bvals), absolute(bvecs)


def _found(reader: Reader, dwi: Any) -> tuple[Path, Path] | None:
    """Return the files of a gradient table next to the image; None if the header has one."""
    if reader.header.gradients is not None:
        return None
    if isinstance(dwi, str | os.PathLike):
        stem = reader.path.name
        while Path(stem).suffix.lower() in _ENDINGS:
            stem = Path(stem).stem
        for names in _BESIDE:
            bvals, bvecs = (reader.path.with_name(name.format(stem)) for name in names)
            if bvals.is_file() and bvecs.is_file():
                return bvals, bvecs
    hint = "Pass bvals= and bvecs=."
    raise OptionError(f"There is no gradient table for {reader.header.name}.", hint=hint, code="no-gradients")


def _gradients(reader: Reader, files: tuple[Path, Path] | None) -> tuple[np.ndarray, list[tuple[float, tuple]]]:
    """Return the gradient table as MRtrix3 understands it, and the b-value and the volumes of each shell."""
    import numpy as np

    where: list[str | Path] = ["-fslgrad", files[1], files[0]] if files else []
    said = _run(reader, "mrinfo", reader.path, *where, "-dwgrad", "-shell_bvalues", "-shell_indices")
    *rows, bvalues, volumes = [line.split() for line in said.splitlines() if line.strip()]
    groups = [tuple(int(one) for one in group.split(",")) for group in volumes]
    return np.array(rows, float), list(zip(map(float, bvalues), groups, strict=True))


def _mask(reader: Reader, mask: Any, values: Any, table: np.ndarray) -> np.ndarray:
    """Return the mask on the grid of the series, bool, shape (X, Y, Z)."""
    import numpy as np

    given = mask is not None
    with Reader(mask if given else _made_mask(reader, values, table)) as other:
        if other.header.volumes != 1:
            message = f"{other.header.name} has {other.header.volumes} volumes, but a mask has one."
            raise OptionError(message, code="wrong-image")
        inside = np.asarray(other.volume(like=reader, interpolation="nearest")) > 0.5
    if not inside.any():
        hint = "Check that it covers the same part of the scanner." if given else "Pass mask=."
        raise OptionError(f"The mask has no voxel of {reader.header.name}.", hint=hint, code="nothing-to-show")
    return inside


def _made_mask(reader: Reader, values: Any, table: np.ndarray) -> Path:
    """Return the file of a mask that MRtrix3 makes of the series, which was read into the reader's folder."""
    import numpy as np

    try:
        program = mrtrix3.command("dwi2mask")
    except ProvisionError as error:
        hint = f"Pass mask=. {error.hint}"
        raise ProvisionError("MRtrix3's dwi2mask is not installed.", hint=hint, code=error.code) from None
    gradients, mask = reader.folder / "gradients.b", reader.folder / "mask.mif"
    np.savetxt(gradients, table)
    words: list[str | Path] = [Path(values.filename).with_suffix(".mih"), mask, "-grad", gradients]
    if _is_script(program):  # MRtrix3 3.1
        words = ["legacy", *words, "-scratch", reader.folder]
    _run(reader, "dwi2mask", *words)
    return mask


def _is_script(program: Path) -> bool:
    with program.open("rb") as stream:
        return stream.read(2) == b"#!"


def _run(reader: Reader, name: str, *arguments: str | os.PathLike[str]) -> str:
    return mrtrix3.run(name, *arguments, of=reader.header.name, folder=reader.folder)


def _collected(
    values: Any, inside: np.ndarray, level: int, groups: Sequence[tuple[int, ...]], repeats: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray], float | None]:
    """Return the mean within the mask of each volume's slices, the mean slice of each group, and the ratio at b=0.

    Each volume is read once, and no more than one is in memory.
    """
    import numpy as np

    across, up, slices, count = values.shape
    area = across * up
    voxels = np.flatnonzero(inside.ravel(order="F"))
    planes = voxels // area
    means = np.empty((count, slices))
    sums = [np.zeros(area) for _ in groups]
    group_of = {volume: number for number, group in enumerate(groups) for volume in group}
    noise = _Noise()
    for at, volume in enumerate(_volumes(values)):
        part = volume[voxels]
        finite = np.isfinite(part)
        with np.errstate(invalid="ignore"):
            means[at] = np.bincount(planes, np.where(finite, part, 0), slices) / np.bincount(planes, finite, slices)
        if at in group_of:
            sums[group_of[at]] += volume[level * area : (level + 1) * area]
        if at in repeats:
            noise.add(np.where(finite, part, np.nan))
    mean = [(total / len(group)).reshape((across, up), order="F") for total, group in zip(sums, groups, strict=True)]
    return means, mean, noise.ratio


def _volumes(values: Any) -> Iterator[np.ndarray]:
    """Yield volume after volume as it lies in the file, without mapping the file into memory."""
    import numpy as np

    size = math.prod(values.shape[:3])
    for number in range(values.shape[3]):
        yield np.fromfile(values.filename, values.dtype, size, offset=number * size * values.itemsize)


class _Noise:
    """Mean and standard deviation of voxels across volumes that come one after the other."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, values: np.ndarray) -> None:
        import numpy as np

        if not self._count:
            self._first = values.astype(float)
            self._sum, self._squares = np.zeros(len(values)), np.zeros(len(values))
        change = values - self._first  # small numbers, so that no digits are lost
        self._sum += change
        self._squares += change**2
        self._count += 1

    @property
    def ratio(self) -> float | None:
        """The median of mean over standard deviation; None for too few volumes, or equal ones."""
        import numpy as np

        if self._count < FEWEST_REPEATS:
            return None
        mean = self._first + self._sum / self._count
        variance = np.maximum(self._squares - self._sum**2 / self._count, 0) / (self._count - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = mean / np.sqrt(variance)
        ratios = ratios[~np.isnan(ratios)]
        median = float(np.median(ratios)) if ratios.size else math.inf
        return median if math.isfinite(median) else None


def _judged(means: np.ndarray, areas: np.ndarray, groups: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Return how far slices are from the median of their group: in robust standard deviations, and as a share."""
    import numpy as np

    scores, changes = np.full(means.shape, np.nan), np.full(means.shape, np.nan)
    is_large = areas >= LEAST_AREA * areas.max()
    for group in groups:
        if len(group) < FEWEST_VOLUMES:
            continue
        at = np.ix_(np.array(group), np.flatnonzero(is_large & np.isfinite(means[list(group)]).any(axis=0)))
        median = np.nanmedian(means[at], axis=0)
        apart = means[at] - median
        deviation = _ROBUST * np.nanmedian(np.abs(apart), axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            changes[at] = np.where(median > 0, apart / median, np.nan)
            scores[at] = np.where(apart == 0, 0, apart / deviation)
    scores[np.isnan(changes)] = np.nan
    return scores, changes


def _outliers(scores: np.ndarray, changes: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Return the slices that are too dark, by volume."""
    import numpy as np

    dark = (scores < -DEVIATIONS) & (changes < -SHARE)
    volumes = sorted(np.flatnonzero(dark.any(axis=1)), key=lambda volume: changes[volume][dark[volume]].min())
    return {int(volume): tuple(map(int, np.flatnonzero(dark[volume]))) for volume in volumes}


def _bvalue(value: float) -> str:
    return "b=0" if value <= BZERO else f"b={value:.0f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
