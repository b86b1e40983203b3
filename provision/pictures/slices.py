"""Slices of an image, with what lies over it, as a figure whose place, volume and range can be moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError, unknown
from provision.pictures import drawing
from provision.pictures.drawing import PLANES, Plane, Sheet
from provision.pictures.reader import Reader

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.picture import Picture
    from provision.pictures.reader import Header, Image

_OUTLINE = ("#ffcc00", "#00c8ff", "#ff60c0", "#80ff40")
_MOST_SLICES = 100
_EMPTY = "There is nothing to show in {}: it contains no finite value."


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


@dataclass(frozen=True)
class Overlay:
    """An image to draw over another, on the grid of that.

    Attributes
    ----------
    name : str
        Its name, for the colour bar.
    kind : {"outline", "map", "directions"}
        Whether it is a mask, values with colours, or three volumes whose magnitudes are red, green and blue.
    values : numpy.ndarray
        Shape (X, Y, Z), or (X, Y, Z, 3) for directions.
    threshold : float
        Of values, those of a lesser magnitude are not drawn.
    colourmap : str
        A name of matplotlib's.
    range : tuple of float
        The values of the first and last colour.
    opacity : float
        From 0 to 1.
    """

    name: str
    kind: str
    values: np.ndarray
    threshold: float = 0.0
    colourmap: str = "hot"
    range: tuple[float, float] = (0.0, 1.0)
    opacity: float = 0.8

    def layer(self, values: np.ndarray) -> np.ndarray:
        """Return a slice of the values as they are drawn: masked, or with colours."""
        import numpy as np

        if self.kind == "map":
            return np.ma.masked_where(~(np.abs(values) >= self.threshold) | (values == 0), values)
        strength = np.nan_to_num(np.abs(values)) / self.range[1]
        top = strength.max(axis=-1, keepdims=True)
        return np.concatenate([strength / np.maximum(top, 1e-9), np.clip(top, 0, 1) * self.opacity], -1)


@dataclass
class Slices:
    """A drawing of slices.

    Parameters
    ----------
    reader : Reader
        The image.
    view : View
        What to show of it.
    overlays : sequence of Overlay
        What to draw over it.
    figure : matplotlib figure, optional
        What to draw in.
    """

    reader: Reader
    view: View
    overlays: Sequence[Overlay] = ()
    figure: Any = None
    _images: list[Any] = field(default_factory=list)
    _layers: list[tuple[int, Overlay, Any]] = field(default_factory=list)

    def __post_init__(self):
        header = self.reader.header
        panels = [
            (
                plane,
                (header.shape[plane.across], header.shape[plane.up]),
                (header.spacing[plane.across], header.spacing[plane.up]),
            )
            for plane, _ in self.view.panels
        ]
        columns = None if self.view.slices else len(panels)
        self.sheet = Sheet(panels, size=self.view.size, figure=self.figure, columns=columns)
        self._read: dict[int, np.ndarray] = {}
        self._draw()

    @property
    def picture(self) -> Picture:
        """The picture as it is now."""
        return self.sheet.picture(self._alt())

    @property
    def range(self) -> tuple[float, float]:
        """The intensities of the darkest and brightest colour."""
        return self._range

    def values(self) -> np.ndarray:
        """Return the volume that is shown."""
        volume = self.view.volume
        if volume not in self._read:
            values = self.reader.read([volume]).reshape(self.reader.header.shape[:3], order="F")
            self._read = {volume: values}
        return self._read[volume]

    def move(self, view: View) -> None:
        """Show other slices, another volume or range; the planes stay."""
        moved, self.view = view.volume != self.view.volume or view.range != self.view.range, view
        values = self.values()
        if moved:
            self._range = view.range or self._window(values)
        for (plane, index), image in zip(view.panels, self._images, strict=True):
            image.set_data(plane.slice(values, index).swapaxes(0, 1))
            image.set_clim(*self._range)
        self._draw_over(values)

    def _window(self, values: np.ndarray) -> tuple[float, float]:
        import numpy as np

        if self.view.percentiles is None:
            return drawing.robust_range(values)
        low, high = np.nanpercentile(values, self.view.percentiles)
        return (float(low), float(high)) if low < high else drawing.flat_range(float(low))

    def _draw(self) -> None:
        import numpy as np

        view, values = self.view, self.values()
        if not np.isfinite(values).any():
            raise OptionError(_EMPTY.format(self.reader.name), code="nothing-to-show")
        self._range = view.range or self._window(values)
        look = {"cmap": view.colourmap, "interpolation": "bilinear" if view.smooth else "nearest"}
        for number, (plane, index) in enumerate(view.panels):
            low, high = self._range
            self._images.append(self.sheet.show(number, plane.slice(values, index), vmin=low, vmax=high, **look))
            self.sheet.letters(number)
        self.sheet.ruler(len(view.panels) - 1)
        shown = next((one for one in self.overlays if one.kind == "map"), None)
        self._draw_over(values)
        if shown:
            layer = next(layer for _, overlay, layer in self._layers if overlay is shown)
            self.sheet.colour_bar(layer, shown.name)
        else:
            self.sheet.colour_bar(self._images[0])

    def _draw_over(self, values: np.ndarray) -> None:
        """Draw what lies over the slices, and what is said of them."""
        view = self.view
        for *_, layer in self._layers:
            layer.remove()
        self._layers = [
            (number, overlay, layer)
            for number, (plane, index) in enumerate(view.panels)
            for at, overlay in enumerate(self.overlays)
            for layer in self._over(number, plane.slice(overlay.values, index), overlay, _OUTLINE[at % len(_OUTLINE)])
        ]
        if view.crosshair and view.slices is None:
            for number, plane in enumerate(view.planes):
                self.sheet.crosshair(number, (view.focus[plane.across], view.focus[plane.up]))
        self.sheet.title(self._words())
        self.sheet.footer(self._place(values))

    def _over(self, panel: int, values: np.ndarray, overlay: Overlay, colour: str) -> list[Any]:
        import numpy as np

        if overlay.kind == "outline":
            if values.max() <= 0.5:
                return []
            _plane, count, edge = self.sheet.panels[panel]
            padded = np.pad(values, 1)  # so that the outline is closed at the edge of the image
            xs, ys = ([at * edge[axis] for at in range(-1, count[axis] + 1)] for axis in (0, 1))
            axes = self.sheet.axes[panel]
            return [axes.contour(xs, ys, padded.T, levels=[0.5], colors=colour, linewidths=1.2, alpha=overlay.opacity)]
        options: dict[str, Any] = {"interpolation": "nearest"}
        if overlay.kind == "map":
            low, high = overlay.range
            options |= {"cmap": overlay.colourmap, "vmin": low, "vmax": high, "alpha": overlay.opacity}
        return [self.sheet.show(panel, overlay.layer(values), **options)]

    def _words(self) -> str:
        """Return the title."""
        header, view = self.reader.header, self.view
        words = [header.name]
        if len(header.shape) > 3:
            bvalue = header.bvalue(view.volume)
            words.append(
                f"volume {view.volume} of {header.volumes}" + (f", b = {bvalue:.0f}" if bvalue is not None else "")
            )
        if view.slices is not None:
            words.append(f"{view.planes[0].name} slices {ranges(view.slices)}")
        words += [f"+ {overlay.name}" for overlay in self.overlays]
        return "   ".join(words)

    def _place(self, values: np.ndarray) -> str:
        """Return where the focus is, and what value is there."""
        if self.view.slices is not None:
            return f"voxels of {' x '.join(f'{edge:.3g}' for edge in self.reader.header.spacing)} mm"
        voxel = self.view.focus
        x, y, z = (self.reader.header.affine @ [*voxel, 1])[:3]
        value = format_value(values[voxel])
        return f"voxel {', '.join(map(str, voxel))}   at {x:.1f}, {y:.1f}, {z:.1f} mm   value {value}"

    def _alt(self) -> str:
        low, high = self._range
        view, name = self.view, self.reader.header.name
        if view.slices is not None:
            what = f"{view.planes[0].name} slices {ranges(view.slices)} of {name}"
        elif len(view.planes) == 1:
            what = f"{view.planes[0].name} slice of {name} at voxel {view.focus}"
        else:
            what = f"slices of {name} at voxel {view.focus}"
        if len(self.reader.header.shape) > 3:
            what += f", volume {view.volume}"
        what += f", intensities from {low:.4g} to {high:.4g}"
        return what + "".join(f", with {overlay.name}" for overlay in self.overlays)


def ranges(numbers: Sequence[int]) -> str:
    """Return whole numbers as ranges: 2 to 5, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def format_value(value: float) -> str:
    """Return a value with four digits."""
    return f"{value:.0f}" if math.isfinite(value) and value == int(value) and abs(value) < 1e6 else f"{value:.4g}"


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
        planes, _focus(focus, header.shape), None if slices is None else _slices(slices, planes[0], header),
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
        low, high = (float(part) for part in given)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise OptionError(f"The {name} must be two numbers with {what}, not {given!r}.", code="bad-value")
    return low, high


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


def _focus(given: Any, shape: Sequence[int]) -> tuple[int, int, int]:
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


def overlay_of(image: Image, under: Reader, *, threshold: Any, colourmap: Any, range: Any, opacity: Any) -> Overlay:
    """Return an image as an overlay of another: what it is, its values say."""
    import numpy as np

    with Reader(image) as reader:
        header = reader.header
        if header.volumes not in (1, 3):
            message = f"{header.name} has {header.volumes} volumes, but an overlay has 1, or 3 for directions."
            raise OptionError(message, hint="Use one: mrconvert INPUT one.mif -coord 3 0.", code="wrong-image")
        if header.volumes == 3:
            values = np.array(reader.read_like(under, interpolation="linear"))
            top = np.nanpercentile(np.abs(values).max(axis=-1), 98) or 1.0
            return Overlay(header.name, "directions", values, range=(0.0, float(top)), opacity=opacity)
        whole = reader.read()
        inside = whole[whole != 0]
        is_mask = 0 < inside.size < whole.size and inside.min() == inside.max()
        values = np.array(reader.read_like(under, interpolation="linear")).reshape(under.header.shape[:3])
        if is_mask:
            return Overlay(header.name, "outline", values / inside[0], opacity=1.0)
        return _map(header.name, values, threshold, colourmap, range, opacity)


def _map(name: str, values: np.ndarray, threshold: Any, colourmap: Any, range: Any, opacity: float) -> Overlay:
    """Return values with colours, from the threshold on; of both signs, with colours for each."""
    import numpy as np

    least = 0.0 if threshold is None else threshold
    shown = values[np.isfinite(values) & (np.abs(values) >= least) & (values != 0)]
    if not shown.size:
        message = f"There is nothing to show of {name}: no value reaches {least:g}."
        raise OptionError(message, hint="Use a lower threshold.", code="nothing-to-show")
    signed = shown.min() < 0
    top = float(np.percentile(np.abs(shown), 98)) or 1.0
    limits = range or ((-top, top) if signed else (min(least, top * 0.999), top))
    return Overlay(name, "map", values, least, colourmap or ("coolwarm" if signed else "hot"), limits, opacity)
