"""The part of a slice that is drawn: what a person wrote, or where the slice's strongest glyphs are."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.drawing import Plane
    from provision.pictures.reader import Header

_HINT = 'Use "30:38,40:48" (voxels across and up), "-20:20,-30:10mm" (scanner coordinates) or "all".'
_TEXT = re.compile(r"([^:,]*):([^:,]*),([^:,]*):([^:,]*?)(mm)?")
# The window for a large slice, with edges of voxels as the unit: at 960 pixels a glyph has 24.
_ACROSS, _UP = 32, 28
# Of all windows that have as much as this of the best one, the most central is taken.
_AS_GOOD = 0.9
_ROUNDING = 1e-4  # voxels


@dataclass(frozen=True)
class Region:
    """What a person wrote: the first and the last bound across and up, None where it was left out."""

    said: Any
    bounds: tuple[tuple[float | None, float | None], ...]
    is_mm: bool = False

    def voxels(self, plane: Plane, index: int, header: Header) -> tuple[slice, slice]:
        """Return the voxels across and up; refuse a region that the slice does not have."""
        counts = header.shape[plane.across], header.shape[plane.up]
        bounds = self._from_mm(plane, index, header) if self.is_mm else self.bounds
        across, up = (self._within(*pair, count) for pair, count in zip(bounds, counts, strict=True))
        if not (across and up):
            raise OptionError(
                f"The region {self.said!r} is outside the {plane.name} slices, which have {counts[0]} x {counts[1]} "
                "voxels.",
                hint=f"The largest region is {written((slice(counts[0]), slice(counts[1])))!r}.",
                code="bad-value",
            )
        return across, up

    def _within(self, first: float | None, last: float | None, count: int) -> slice | None:
        low, high = 0 if first is None else int(first), count if last is None else int(last)
        if self.is_mm:
            low, high = max(low, 0), min(high, count)
        else:
            low, high = (bound + count if bound < 0 else bound for bound in (low, high))
        return slice(low, high) if 0 <= low < high <= count else None

    def _from_mm(self, plane: Plane, index: int, header: Header) -> list[tuple[float | None, float | None]]:
        """Return the bounds as voxels: those whose centres are within.

        In an oblique slice the middle of the region is where it says, and the sides are parallel to the voxel axes.
        """
        import numpy as np

        rows, limits = (
            [plane.across, plane.up],
            np.array([[math.nan if b is None else b for b in p] for p in self.bounds]),
        )
        matrix = header.affine[np.ix_(rows, rows)]
        origin = header.affine[rows, 3] + header.affine[rows, plane.through] * index
        counts = np.array([header.shape[row] for row in rows])
        # What is left out reaches to the edge; the middle of the slice stands in for it in finding the other axis.
        middle = matrix @ ((counts - 1) / 2) + origin
        centre = np.where(np.isnan(limits).any(axis=1), middle, limits.mean(axis=1))
        at = np.linalg.solve(matrix, centre - origin)
        reach = (limits - centre[:, np.newaxis]) / np.array([header.spacing[row] for row in rows])[:, np.newaxis]
        return [
            (
                None if math.isnan(low) else math.ceil(place + low - _ROUNDING),
                None if math.isnan(high) else math.floor(place + high + _ROUNDING) + 1,
            )
            for place, (low, high) in zip(at, reach, strict=True)
        ]


def parsed(region: Any) -> Region | None:
    """Return a region as it was written in Python or a shell; None for ``"all"``.

    Parameters
    ----------
    region : str or pair of pairs of int
        ``"30:38,40:48"`` or ``((30, 38), (40, 48))``: voxels across and up, as slices in Python. Of ``"30:,:-10"``,
        bounds that are left out are the edges, and negative ones count from the end. ``"-20:20,-30:10mm"``: scanner
        coordinates along the axes nearest to those of the slice.

    Returns
    -------
    Region or None
        The bounds.

    Raises
    ------
    provision.errors.OptionError
        If it is written in any other way.

    Examples
    --------
    >>> parsed("30:38,40:48").bounds
    ((30, 38), (40, 48))
    """
    try:
        if not isinstance(region, str):
            (x0, x1), (y0, y1) = ((operator.index(bound) for bound in pair) for pair in region)
            return Region(region, ((x0, x1), (y0, y1)))
        text = "".join(region.split())
        if text == "all":
            return None
        *numbers, unit = _TEXT.fullmatch(text).groups()  # type: ignore[union-attr]
        x0, x1, y0, y1 = (_number(number, float if unit else int) for number in numbers)
        return Region(region, ((x0, x1), (y0, y1)), bool(unit))
    except (AttributeError, TypeError, ValueError) as error:
        raise OptionError(f"{region!r} is not a region.", hint=_HINT, code="bad-value") from error


def _number(text: str, kind: type) -> Any:
    number = kind(text) if text else None
    if number is not None and not math.isfinite(number):
        raise ValueError(text)
    return number


def strongest(peaks: np.ndarray, spacing: Sequence[float]) -> tuple[slice, slice]:
    """Return the window around a slice's strongest glyphs in which each is large enough to be seen.

    Parameters
    ----------
    peaks : numpy.ndarray
        The largest radius of each glyph, 0 where there is none, shape (across, up).
    spacing : sequence of float
        The edges of a voxel across and up.
    """
    import numpy as np

    edge = min(spacing)
    wanted = (max(round(_ACROSS * edge / spacing[0]), 1), max(round(_UP * edge / spacing[1]), 1))
    window = tuple(min(most, count) for most, count in zip(wanted, peaks.shape, strict=True))
    strong = np.where(peaks > np.percentile(peaks[peaks > 0], 99) / 2, 1.0, 0.0)
    sums = np.pad(strong, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    a, b = window
    inside = sums[a:, b:] - sums[:-a, b:] - sums[a:, :-b] + sums[:-a, :-b]
    places = np.argwhere(inside >= _AS_GOOD * inside.max())
    centre = np.argwhere(strong).mean(axis=0) - np.subtract(window, 1) / 2
    first = places[np.linalg.norm(places - centre, axis=1).argmin()]
    return slice(int(first[0]), int(first[0]) + a), slice(int(first[1]), int(first[1]) + b)


def written(region: Sequence[slice]) -> str:
    """Return a region of voxels as one would write it."""
    return ",".join(f"{part.start or 0}:{part.stop}" for part in region)
