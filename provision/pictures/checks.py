"""What a picture of slices is to show, checked against its image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError, unknown
from provision.pictures import drawing
from provision.pictures.drawing import PLANES, Plane

if TYPE_CHECKING:
    from provision.pictures.reader import Header

_MOST_SLICES = 100


@dataclass(frozen=True)
class View:
    """What to show of an image, already checked against it.

    Attributes
    ----------
    planes : tuple of Plane
        The plane of each panel.
    focus : tuple of int
        The voxel x, y, z that the slices pass through.
    slices : tuple of int or None
        The slices of a mosaic of the one plane.
    volume : int
        The position along the fourth axis.
    range, percentiles : tuple of float or None
        The intensities of the darkest and brightest colour, or the percentiles at which they are.
    colourmap : str
        A name of matplotlib's.
    smooth : bool
        Whether to interpolate between voxels.
    crosshair : bool
        Whether to mark the focus.
    size : int
        The width in pixels.
    """

    planes: tuple[Plane, ...]
    focus: tuple[int, int, int]
    slices: tuple[int, ...] | None = None
    volume: int = 0
    range: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None
    colourmap: str = "gray"
    smooth: bool = True
    crosshair: bool = True
    size: int = drawing.WIDTH

    @property
    def panels(self) -> list[tuple[Plane, int]]:
        """The plane and the slice of each panel."""
        if self.slices is not None:
            return [(self.planes[0], index) for index in self.slices]
        return [(plane, self.focus[plane.through]) for plane in self.planes]


def checked_view(
    header: Header, plane: Any, focus: Any, volume: Any, slices: Any, range: Any, percentiles: Any, colourmap: Any,
    smooth: Any, crosshair: Any, size: Any,
) -> View:  # fmt: skip
    """Return what to show of an image; refuse what it does not have."""
    if slices is not None and plane is None:
        plane = "axial"
    planes = tuple(PLANES.values()) if plane is None else (drawing.plane_named(plane),)
    limits = None if range is None else checked_range(range)
    for name, value in (("smooth", smooth), ("crosshair", crosshair)):
        if not isinstance(value, bool):
            raise OptionError(f"{name} must be True or False, not {value!r}.", code="bad-value")
    return View(
        planes, checked_focus(focus, header.shape), None if slices is None else _slices(slices, planes[0], header),
        checked_number("volume", 0 if volume is None else volume, header.volumes), limits,
        None if percentiles is None or limits else _percentiles(percentiles), checked_colourmap(colourmap),
        smooth, crosshair, drawing.check_size(size),
    )  # fmt: skip


def checked_range(range: Any) -> tuple[float, float]:
    """Return the intensities of the darkest and brightest colour; refuse anything else."""
    return _pair("range", range, "low < high, such as (0, 1000)")


def _percentiles(given: Any) -> tuple[float, float]:
    low, high = _pair("percentiles", given, "0 <= low < high <= 100, such as (2, 98)")
    if low < 0 or high > 100:
        raise OptionError(f"The percentiles must be from 0 to 100, not {given!r}.", code="bad-value")
    return low, high


def _pair(name: str, given: Any, what: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in (() if isinstance(given, str) else given))
    except (TypeError, ValueError, OverflowError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise OptionError(f"The {name} must be two numbers with {what}, not {given!r}.", code="bad-value")
    return low, high


def check_figure(figure: Any) -> None:
    """Refuse to draw in anything but a figure of matplotlib's, or a part of one."""
    if figure is not None and not hasattr(figure, "add_axes"):
        hint = "Make one with matplotlib.pyplot.figure()."
        raise OptionError(f"The figure must be matplotlib's, not {type(figure).__name__}.", hint=hint, code="bad-value")


def checked_colourmap(name: Any) -> str:
    """Return the name of a colour map of matplotlib's; refuse another."""
    import matplotlib

    name = "gray" if name == "grey" else name
    if not isinstance(name, str) or name not in matplotlib.colormaps:
        raise unknown("colour map", name, [one for one in matplotlib.colormaps if not one.endswith("_r")])
    return name


def checked_number(what: str, number: Any, count: int) -> int:
    """Return a whole number from 0 to less than a count; refuse anything else."""
    whole = _whole(number)
    if whole is None or not 0 <= whole < count:
        message = f"The {what} must be a whole number from 0 to {count - 1}, not {number!r}."
        raise OptionError(message, code="bad-value")
    return whole


def _whole(number: Any) -> int | None:
    """Return a number as an int if it is whole."""
    if isinstance(number, bool | str):
        return None
    try:
        return int(number) if float(number) == int(number) else None
    except (TypeError, ValueError, OverflowError):
        return None


def checked_focus(given: Any, shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the voxel that slices pass through; None, of one axis or of all, is the middle."""
    middle = [count // 2 for count in shape[:3]]
    if given is None:
        return tuple(middle)  # type: ignore[return-value]
    try:
        x, y, z = given
    except (TypeError, ValueError):
        message = f"The focus must be three voxel numbers, not {given!r}."
        raise OptionError(message, hint="Use (x, y, z); None means the middle.", code="bad-value") from None
    chosen = [middle[axis] if one is None else _whole(one) for axis, one in enumerate((x, y, z))]
    if not all(one is not None and 0 <= one < count for one, count in zip(chosen, shape, strict=False)):
        size = " x ".join(map(str, shape[:3]))
        message = f"The focus {given!r} is not a voxel of the image, which has {size}, counted from 0."
        raise OptionError(message, code="bad-value")
    return tuple(chosen)  # type: ignore[return-value]


def _slices(given: Any, plane: Plane, header: Header) -> tuple[int, ...]:
    """Return the slices of a mosaic: those given, or so many at equal distances."""
    count = header.shape[plane.through]
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        number = _whole(given)
        if number is None or not 1 <= number <= min(count, _MOST_SLICES):
            message = (
                f"slices must be a number from 1 to {min(count, _MOST_SLICES)}, or a list of slices, not {given!r}."
            )
            raise OptionError(message, code="bad-value")
        return tuple(int((at + 0.5) * count / number) for at in range(number))
    chosen = tuple(checked_number("slice", one, count) for one in given)
    if not 0 < len(chosen) <= _MOST_SLICES:
        raise OptionError(f"slices must be from 1 to {_MOST_SLICES} slices, not {len(chosen)}.", code="bad-value")
    return chosen
