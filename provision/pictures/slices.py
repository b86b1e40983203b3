"""Slices of an image, with what lies over it, as a figure whose place, volume and range can be moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError
from provision.pictures import drawing
from provision.pictures.checks import View
from provision.pictures.drawing import Sheet
from provision.pictures.overlays import Overlay
from provision.pictures.reader import Reader

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.picture import Picture

_OUTLINE = ("#ffcc00", "#00c8ff", "#ff60c0", "#80ff40")
_EMPTY = "There is nothing to show in {}: it contains no finite value."


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
            self._read = {volume: self.reader.volume(volume)}
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
            if view.slices is not None:
                self.sheet.label(number, str(index))
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
