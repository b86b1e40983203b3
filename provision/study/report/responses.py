"""Response functions: what MRtrix3's files say, their charts, and which of them differ from the others."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.study.report.chart import Chart, Line, Polar
from provision.study.report.gathered import Series, Study

TISSUES = {"wm": "white matter", "gm": "grey matter", "csf": "CSF"}

FEWEST, DEVIATIONS, SHARE = 5, 5, 0.1
"""How many series it takes to judge one, and by how many robust standard deviations and which share it differs."""

_SHELLS = re.compile(r"^#\s*Shells:(.*)$", re.M)
_NEAR = 50  # s/mm2: b-values of one shell in several series
_ACROSS, _UP = "b-value (s/mm²)", "mean signal"
_DEGREES = range(0, 361, 3)
_ROBUST = 1.4826


@dataclass(frozen=True)
class Response:
    """A response function: per b-value in s/mm² the coefficients of the zonal harmonics of degrees 0, 2, 4, ..."""

    bvalues: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...]

    @property
    def means(self) -> list[tuple[float, float]]:
        """Each b-value and the mean of the signal over all directions."""
        # The harmonic of degree 0 is 1/sqrt(4 pi) everywhere, and all others have a mean of 0.
        return [(b, row[0] / math.sqrt(4 * math.pi)) for b, row in zip(self.bvalues, self.coefficients, strict=True)]

    def shape(self, shell: int) -> list[tuple[float, float]]:
        """Return the signal of a shell around the fibre, which points up, as points in a plane through it."""
        points = []
        for degree in _DEGREES:
            angle = math.radians(degree)
            radius = max(zonal(self.coefficients[shell], math.cos(angle)), 0)
            points.append((radius * math.sin(angle), radius * math.cos(angle)))
        return points


def zonal(coefficients: Sequence[float], cosine: float) -> float:
    """Return the amplitude at an angle from the axis, for the coefficients of degrees 0, 2, 4, ...

    The harmonic of degree l and order 0 is sqrt((2 l + 1) / 4 pi) P_l(cosine), as in MRtrix3.

    Examples
    --------
    >>> round(zonal([math.sqrt(4 * math.pi), 0], 0.3), 6)
    1.0
    """
    before, legendre, total = 0.0, 1.0, 0.0
    for degree in range(2 * len(coefficients)):
        if degree % 2 == 0:
            total += coefficients[degree // 2] * math.sqrt((2 * degree + 1) / (4 * math.pi)) * legendre
        # Bonnet's recursion
        before, legendre = legendre, ((2 * degree + 1) * cosine * legendre - degree * before) / (degree + 1)
    return total


def read(path: Path | None) -> Response | None:
    """Return the response function in a file; None if there is none, or it is damaged."""
    with suppress(OSError, ValueError):
        text = path.read_text(encoding="utf-8", errors="replace") if path else ""
        lines = (line.split("#")[0].replace(",", " ").split() for line in text.splitlines())
        rows = tuple(tuple(map(float, words)) for words in lines if words)
        found = _SHELLS.search(text)
        bvalues = tuple(float(word) for word in found[1].replace(",", " ").split()) if found else ()
        if rows and len(bvalues) == len(rows) and all(map(math.isfinite, (*bvalues, *sum(rows, ())))):
            return Response(bvalues, rows)
    return None


def of_series(series: Series) -> dict[str, Response]:
    """Return the response functions of a series by tissue."""
    found = {tissue: read(series.output(f"response_{tissue}")) for tissue in TISSUES}
    return {tissue: response for tissue, response in found.items() if response}


def series_charts(series: Series) -> list[Chart | Polar]:
    """Return the charts of one series: the signal of each tissue, the group's dashed, and the shape in white matter."""
    found, lines = of_series(series), []
    for at, tissue in enumerate(found):
        lines.append(Line(TISSUES[tissue], found[tissue].means, f"c{at}"))
        if group := group_response(series.input(f"group_response_{tissue}"), found[tissue]):
            lines.append(Line(f"{TISSUES[tissue]}, group", group.means, f"c{at} group"))
    charts: list[Chart | Polar] = [Chart(lines, _ACROSS, _UP, "Mean signal of each tissue")] if lines else []
    if white := found.get("wm"):
        shapes = [Line(f"b={_rounded(b)}", white.shape(at), f"c{at % 6}") for at, b in enumerate(white.bvalues)]
        charts.append(Polar(shapes, "Signal around a fibre"))
    return charts


def group_charts(found: Mapping[str, Mapping[str, Response]], study: Study) -> list[Chart]:
    """Return for each tissue a chart of all series over each other, in which those that differ are marked."""
    charts = []
    for tissue, title in TISSUES.items():
        means = {name: of[tissue].means for name, of in found.items() if tissue in of}
        apart = differing(means)
        lines = [Line(name, points, "apart" if name in apart else "many") for name, points in means.items()]
        lines.sort(key=lambda line: line.look == "apart")
        for record in study.group:
            like = next(
                (found[name][tissue] for name in study.contributors(record) if tissue in found.get(name, ())), None
            )
            path = next(iter(record.outputs.get(f"group_response_{tissue}", ())), None)
            if group := group_response(path, like):
                lines.append(Line(record.series.replace("_", " "), group.means, "group"))
        if lines:
            charts.append(Chart(lines, _ACROSS, _UP, title[0].upper() + title[1:]))
    return charts


def group_response(path: Path | None, like: Response | None) -> Response | None:
    """Return a group's response function, whose file has no b-values in some versions of MRtrix3."""
    if found := read(path):
        return found
    with suppress(OSError, ValueError):
        lines = path.read_text(encoding="utf-8").splitlines() if path and like else []
        coefficients = tuple(tuple(map(float, line.split())) for line in lines if line and line[0] != "#")
        if like and len(coefficients) == len(like.bvalues):
            return Response(like.bvalues, coefficients)
    return None


def differing(means: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    """Return the names of those whose signal is far from the median of all with the same shells, at any b-value."""
    shells: dict[tuple[int, ...], list[str]] = {}
    for name, points in means.items():
        shells.setdefault(tuple(_rounded(b) for b, _ in points), []).append(name)
    found = set()
    for names in shells.values():
        for values in zip(*([signal for _, signal in means[name]] for name in names), strict=True):
            found |= {names[at] for at in _far(values)}
    return sorted(found)


def _far(values: Sequence[float]) -> Iterable[int]:
    """Return the places of the values that are far from the median."""
    if len(values) < FEWEST:
        return []
    middle = statistics.median(values)
    deviation = _ROBUST * statistics.median(abs(value - middle) for value in values)
    limit = max(DEVIATIONS * deviation, SHARE * abs(middle))
    return [at for at, value in enumerate(values) if abs(value - middle) > limit]


def _rounded(bvalue: float) -> int:
    return round(bvalue / _NEAR) * _NEAR
