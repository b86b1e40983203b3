"""Line charts as SVG in a page: they follow its colours, dark or light, and need no program to be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360, 260
"""Of a chart, in the units of its coordinates: those of a phone's screen."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 40
_TICKS = 5


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its points as (x, y), and its look, a class of the page's style."""

    name: str
    points: Sequence[tuple[float, float]]
    look: str = "c0"


@dataclass(frozen=True)
class Chart:
    """A chart from (0, 0), which the template ``chart.html`` draws."""

    lines: Sequence[Line]
    across: str
    up: str
    name: str

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        """The place and the text of each tick across."""
        return [(self._x(value), f"{value:g}") for value in _ticks(self._end(0))]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        """The place and the text of each tick up."""
        return [(self._y(value), f"{value:g}") for value in _ticks(self._end(1))]

    def path(self, line: Line) -> str:
        """Return the points of a line as SVG has them."""
        return " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in line.points)

    def dots(self, line: Line) -> list[tuple[float, float]]:
        """Return where the points of a line are."""
        return [(round(self._x(x), 1), round(self._y(y), 1)) for x, y in line.points]

    def _end(self, axis: int) -> float:
        return 1.05 * max((point[axis] for line in self.lines for point in line.points), default=0) or 1

    def _x(self, value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / self._end(0)

    def _y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * max(value, 0) / self._end(1)


@dataclass(frozen=True)
class Polar:
    """Closed lines around a centre, all on one scale; points are to the right and up from it."""

    lines: Sequence[Line]
    name: str

    def path(self, line: Line) -> str:
        """Return the points of a line as SVG has them."""
        reach = max((math.hypot(*point) for one in self.lines for point in one.points), default=0) or 1
        scale = (HEIGHT / 2 - 12) / reach
        return " ".join(f"{WIDTH / 2 + scale * x:.1f},{HEIGHT / 2 - scale * y:.1f}" for x, y in line.points)


def _ticks(end: float) -> list[float]:
    """Return round numbers from 0 to the end."""
    rough = end / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [round(number * step, 10) for number in range(int(end / step) + 1)]
