"""What all pictures of slices share: panels with letters, a scale bar, a colour bar and a title."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision import extras
from provision.errors import OptionError, unknown
from provision.pictures.picture import Picture, is_number
from provision.words import shortened

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.text import Text

DPI = 100
"""Pixels per inch on a screen; `Picture.save` takes others for print."""

WIDTH, HEIGHT = 900, 640
"""Pixels of a notebook's cell, and the tallest that panels become."""

_BLACK, _WHITE, _DIM = "black", "white", "#b0b0b0"
_CROSS = "#40c040"
_TITLE, _FOOTER, _BAR, _GAP = 26, 24, 74, 6  # pixels
_LOWEST = 40  # pixels of all rows, so that there is room for a colour bar
_SMALL, _LETTER = 8, 10  # points
# Of what is brighter than a tenth of the 98th percentile: that leaves out the noise around a head.
_ROBUST, _BACKGROUND = (2, 98), 0.1
_SCALES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class Plane:
    """A plane of slices: the voxel axes across, up and through it, and the letters at its four sides.

    Slices are radiological, as in mrview: across runs to the patient's right or front, and to the left of the picture.
    """

    name: str
    across: int
    up: int
    through: int

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """The letters at the left, the right, the top and the bottom."""
        sides = ("RL", "AP", "SI")
        return (*sides[self.across], *sides[self.up])

    def slice(self, values: np.ndarray, index: int) -> np.ndarray:
        """Return a slice of a volume, shape (across, up, ...)."""
        return values.transpose(self.across, self.up, self.through, *range(3, values.ndim))[:, :, index]


PLANES = {
    "sagittal": Plane("sagittal", 1, 2, 0),
    "coronal": Plane("coronal", 0, 2, 1),
    "axial": Plane("axial", 0, 1, 2),
}
"""The planes, in the order in which they are drawn side by side."""


def plane_named(name: Any) -> Plane:
    """Return the plane of this name; refuse another."""
    if not isinstance(name, str) or name not in PLANES:
        raise unknown("plane", name, PLANES)
    return PLANES[name]


def robust_range(values: np.ndarray) -> tuple[float, float]:
    """Return the intensities of the darkest and brightest colour for a volume.

    They are the 2nd and 98th percentile of what is not background: not 0, and, where nothing is negative, brighter than
    a tenth of the 98th percentile.

    Parameters
    ----------
    values : numpy.ndarray
        The values, of any shape.

    Returns
    -------
    tuple of float
        The lower value is less than the higher one.

    Examples
    --------
    >>> import numpy as np
    >>> robust_range(np.array([0.0, 0.0, 5.0, 5.0]))
    (4.5, 5.5)
    """
    import numpy as np

    shown = values[np.isfinite(values) & (values != 0)].ravel()
    if not shown.size:
        return 0.0, 1.0
    if shown.min() > 0:
        shown = shown[shown > _BACKGROUND * np.percentile(shown, _ROBUST[1])]
    for low, high in (np.percentile(shown, _ROBUST), (shown.min(), shown.max())):
        if low < high:
            return float(low), float(high)
    return flat_range(float(low))


def flat_range(value: float) -> tuple[float, float]:
    """Return a range around the one value that an image has."""
    return value - 0.1 * (abs(value) or 10), value + 0.1 * (abs(value) or 10)


def require() -> None:
    """Refuse to draw where matplotlib is not installed."""
    extras.require("view", "Pictures of slices", "matplotlib")


@dataclass
class Sheet:
    """A figure with panels in a row or a grid, all of one scale.

    Parameters
    ----------
    panels : sequence of (Plane, tuple, tuple)
        For each panel its plane, and the number and the spacing of voxels across and up.
    bar : bool
        Whether to leave room for a colour bar on the right.
    size : int
        The width in pixels.
    figure : matplotlib figure, optional
        What to draw in; a new figure of the right height by default.
    columns : int, optional
        The number of panels in a row; by default as many as give the largest panels.
    height : int
        The pixels that all rows take at most, in a sheet of the default width.
    """

    panels: Sequence[tuple[Plane, tuple[int, int], tuple[float, float]]]
    bar: bool = True
    size: int = WIDTH
    figure: Any = None
    columns: int | None = None
    height: int = HEIGHT

    def __post_init__(self):
        require()
        self._lines: dict[int, list[Any]] = {}
        self._said: dict[str, Any] = {}
        extents = [(count[0] * edge[0], count[1] * edge[1]) for _, count, edge in self.panels]
        ratio = self.size / WIDTH
        side = (_BAR if self.bar else 0) * ratio
        choices = [self.columns] if self.columns else range(1, len(self.panels) + 1)
        fits = [self._fit(extents, columns, self.size - side, self.height * ratio) for columns in choices]
        self.scale, rows, width, height = max(fits, key=lambda fit: fit[0])
        self.pixels = (self.size, math.ceil(max(height, _LOWEST * ratio) + (_TITLE + _FOOTER) * ratio))
        self._make(rows, (self.size - side - width) / 2, ratio)

    @staticmethod
    def _fit(extents: list, columns: int, width: float, height: float) -> tuple[float, list, float, float]:
        """Return pixels per mm, the rows of extents, and the size of all panels, for so many in a row."""
        rows = [extents[at : at + columns] for at in range(0, len(extents), columns)]
        across = max(sum(one[0] for one in row) for row in rows)
        up = sum(max(one[1] for one in row) for row in rows)
        scale = min((width - _GAP * (columns - 1)) / across, (height - _GAP * (len(rows) - 1)) / up)
        return scale, rows, across * scale + _GAP * (columns - 1), up * scale + _GAP * (len(rows) - 1)

    def _make(self, rows: list, left: float, ratio: float) -> None:
        """Make the figure and its axes."""
        from matplotlib.figure import Figure

        width, height = self.pixels
        if self.figure is None:
            self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=_BLACK)
        self.axes: list[Axes] = []
        top = height - _TITLE * ratio
        for row in rows:
            x, tallest = left, max(one[1] for one in row) * self.scale
            for across, up in row:
                w, h = across * self.scale, up * self.scale
                box = (x / width, (top - (tallest + h) / 2) / height, w / width, h / height)
                self.axes.append(self.figure.add_axes(box, facecolor=_BLACK, xticks=[], yticks=[]))
                x += w + _GAP
            top -= tallest + _GAP
        for axes, (plane, count, edge) in zip(self.axes, self.panels, strict=True):
            axes.set(
                xlim=((count[0] - 0.5) * edge[0], -0.5 * edge[0]), ylim=(-0.5 * edge[1], (count[1] - 0.5) * edge[1])
            )
            axes.set_label(plane.name)
            for spine in axes.spines.values():
                spine.set_visible(False)

    def show(self, panel: int, values: np.ndarray, **options: Any) -> Any:
        """Draw a slice, shape (across, up) or with colours (across, up, 3 or 4), and return matplotlib's image."""
        _plane, count, edge = self.panels[panel]
        extent = (-0.5 * edge[0], (count[0] - 0.5) * edge[0], -0.5 * edge[1], (count[1] - 0.5) * edge[1])
        axes = self.axes[panel]
        limits = axes.get_xlim(), axes.get_ylim()
        shown = axes.imshow(values.swapaxes(0, 1), origin="lower", extent=extent, aspect="auto", **options)
        axes.set(xlim=limits[0], ylim=limits[1])
        return shown

    def letters(self, panel: int) -> None:
        """Draw the letters of orientation."""
        left, right, top, bottom = self.panels[panel][0].letters
        for text, x, y in ((left, 0.02, 0.5), (right, 0.98, 0.5), (top, 0.5, 0.98), (bottom, 0.5, 0.02)):
            across = {0.02: "left", 0.98: "right"}.get(x, "center")
            up = {0.02: "bottom", 0.98: "top"}.get(y, "center")
            self._text(self.axes[panel], x, y, text, ha=across, va=up, fontsize=_LETTER * self._ratio, weight="bold")

    def label(self, panel: int, text: str) -> None:
        """Write something into the upper left corner."""
        self._text(self.axes[panel], 0.02, 0.98, text, ha="left", va="top", fontsize=_SMALL * self._ratio)

    def ruler(self, panel: int) -> None:
        """Draw a scale bar of a round number of millimetres, at most a third as long as the panel is wide."""
        _plane, count, edge = self.panels[panel]
        width = count[0] * edge[0]
        length = max((scale for scale in _SCALES if scale <= width / 3), default=None)
        if length is None:
            return
        axes = self.axes[panel]
        end, share = 0.97, length / width
        axes.plot(
            [end - share, end], [0.035, 0.035], color=_WHITE, lw=2, transform=axes.transAxes, solid_capstyle="butt"
        )
        self._text(axes, end - share / 2, 0.05, f"{length} mm", ha="center", va="bottom", fontsize=_SMALL * self._ratio)

    def crosshair(self, panel: int, at: tuple[int, int]) -> None:
        """Mark a voxel with four thin lines that leave it free; the lines of a former call are moved."""
        _plane, count, edge = self.panels[panel]
        if panel not in self._lines:
            style: dict[str, Any] = {"color": _CROSS, "lw": 0.8, "alpha": 0.8, "scalex": False, "scaley": False}
            self._lines[panel] = [self.axes[panel].plot([], [], **style)[0] for _ in range(4)]
        lines = iter(self._lines[panel])
        for axis in (0, 1):
            place, end = at[axis] * edge[axis], (count[axis] - 0.5) * edge[axis]
            gap = max(1.5 * edge[axis], 8 / self.scale)
            still = [at[1 - axis] * edge[1 - axis]] * 2
            for run in ([-0.5 * edge[axis], place - gap], [place + gap, end]):
                run = run if run[0] < run[1] else [math.nan] * 2
                next(lines).set_data(*((run, still) if axis == 0 else (still, run)))

    def colour_bar(self, image: Any, label: str = "") -> Any:
        """Draw the colours of an image on the right, with the intensities that they mean."""
        width, height = self.pixels
        ratio = self._ratio
        bottom, tall = _FOOTER * ratio, min(height - (_TITLE + _FOOTER) * ratio, 320 * ratio)
        middle = bottom + (height - (_TITLE + _FOOTER) * ratio - tall) / 2
        box = ((width - (_BAR - 12) * ratio) / width, middle / height + 0.02, 12 * ratio / width, tall / height - 0.04)
        axes = self.figure.add_axes(box, label="colour bar")
        bar = self.figure.colorbar(image, cax=axes)
        bar.set_label(label, parse_math=False)
        bar.ax.tick_params(colors=_WHITE, labelsize=_SMALL * ratio, length=2, pad=2)
        bar.ax.yaxis.label.set(color=_WHITE, fontsize=_SMALL * ratio)
        fit(bar.ax.yaxis.label, axes.bbox.height)
        bar.outline.set_edgecolor(_DIM)
        bar.ax.yaxis.get_major_formatter().set_powerlimits((-3, 4))
        bar.ax.yaxis.get_offset_text().set(color=_WHITE, fontsize=_SMALL * ratio)
        return bar

    def title(self, text: str) -> None:
        """Write a line above the panels, in place of that of a former call."""
        self._line(text, 1 - 4 * self._ratio / self.pixels[1], "top", _WHITE, 9.5)

    def footer(self, text: str) -> None:
        """Write a line below the panels, in place of that of a former call."""
        self._line(text, 5 * self._ratio / self.pixels[1], "bottom", _DIM, _SMALL)

    def picture(self, alt: str) -> Picture:
        """Return the picture that a cell shows."""
        return pictured(self.figure, alt)

    @property
    def _ratio(self) -> float:
        return self.size / WIDTH

    def _line(self, text: str, y: float, up: str, colour: str, points: float) -> None:
        if up in self._said:
            self._said[up].set_text(text)
        else:
            look: dict[str, Any] = {"ha": "left", "va": up, "color": colour, "fontsize": points * self._ratio}
            # A name may have $ or _, which are no formulas.
            self._said[up] = self.figure.text(0.01, y, text, parse_math=False, **look)
        fit(self._said[up], 0.98 * self.figure.bbox.width)

    def _text(self, axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
        from matplotlib.patheffects import withStroke

        outline = [withStroke(linewidth=2, foreground=_BLACK)]
        axes.text(x, y, text, color=_WHITE, transform=axes.transAxes, path_effects=outline, **options)


def fit(line: Text, pixels: float) -> None:
    """Shorten the names in a line, across or upright, until it is no longer than so many pixels."""
    text = shorter = line.get_text()
    while (long := max(line.get_window_extent().size)) > pixels:
        most = min(len(shorter) - 1, int(len(shorter) * pixels / long))
        if len(shorter := shortened(text, most)) > most:
            break
        line.set_text(shorter)


def pictured(figure: Figure | SubFigure, alt: str) -> Picture:
    """Return a figure as a picture, which keeps the figure for `Picture.save`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    whole = figure.get_figure(root=True)
    stream = io.BytesIO()
    canvas = FigureCanvasAgg(whole)
    canvas.print_png(stream, metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    width, height = canvas.get_width_height()
    return Picture(stream.getvalue(), width, height, alt, figure)


def check_size(size: Any) -> int:
    """Return the width of a picture in pixels; refuse what is no such number."""
    if not is_number(size) or not 200 <= size <= 8192 or size % 1:
        message = f"The size must be a whole number of pixels from 200 to 8192, not {size!r}."
        raise OptionError(message, code="bad-value")
    return int(size)
