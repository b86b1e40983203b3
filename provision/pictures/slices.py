"""Pictures of slices, as drawn by mrpeek, MRtrix3's terminal viewer."""

from __future__ import annotations

import math
import operator
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError, ProvisionError, unknown
from provision.machine import notes
from provision.pictures import sixel
from provision.pictures.picture import Picture

if TYPE_CHECKING:
    from provision.pictures.images import Header

PLANES = ("sagittal", "coronal", "axial")
"""The planes, each at the index of the axis perpendicular to it."""

COLOURMAPS = ("gray", "hot", "cool", "jet", "inferno", "viridis", "pet")
"""The names of mrpeek's colour maps."""

PLOTS = ("x", "y", "z", "volume")
"""The axes along which values can be plotted, each at its index."""

# Sixel colours are given in per cent, so more than 101 shades of grey, from 0 to this, could not be distinguished.
_LEVELS = 100
# Pixels: what fits into a notebook's cell, and what no picture may exceed.
_HEIGHT, _WIDTH, _LARGEST = 600, 1000, 12_000
_SECONDS = 120
_GOLDEN = (1 + math.sqrt(5)) / 2
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class View:
    """What to show of an image, already checked against it.

    Attributes
    ----------
    plane : str or None
        One of `PLANES`; None for all three.
    focus : tuple of int
        The voxel x, y, z that the slices pass through.
    volume : int or None
        The position along the fourth axis; None for a 3-D image.
    range : tuple of float or None
        The intensities of the darkest and brightest colour.
    percentiles : tuple of float or None
        The same, as percentiles of the slice.
    colourmap : str
        One of `COLOURMAPS`.
    zoom : float or None
        Pixels per shortest edge of a voxel; None for a size that fits a notebook.
    crosshair : bool
        Whether to mark the focus.
    plot : str or None
        One of `PLOTS`.
    """

    plane: str | None
    focus: tuple[int, ...]
    volume: int | None
    range: tuple[float, float] | None
    percentiles: tuple[float, float] | None
    colourmap: str
    zoom: float | None
    crosshair: bool
    plot: str | None


def drawn(path: Path, header: Header, view: View, name: str) -> Picture:
    """Draw a file with mrpeek.

    Parameters
    ----------
    path : pathlib.Path
        The result of `provision.pictures.images.on_disk`.
    header : provision.pictures.images.Header
        The header of the image.
    view : View
        What to show.
    name : str
        The name of the image in messages.

    Returns
    -------
    provision.pictures.picture.Picture

    Raises
    ------
    provision.errors.ProvisionError
        If mrpeek or libsixel is not installed, or mrpeek failed.
    """
    command, library = _commands()
    view = replace(view, zoom=view.zoom or default_zoom(header, view.plane, view.plot))
    done = _run(command, path, view, name)
    if view.range is None and _has_no_range(done):
        view = replace(view, range=flat_range(_value(done)))
        done = _run(command, path, view, name)
    if done.returncode != 0:
        raise ProvisionError(f"mrpeek could not show {name}: {_last_line(done)}.", code="mrpeek-failed")
    return Picture.of(sixel.decode(done.stdout, library), _words(view, done, name))


def default_zoom(header: Header, plane: str | None, plot: str | None = None) -> float:
    """Return the zoom with which a picture fits a notebook cell.

    Parameters
    ----------
    header : provision.pictures.images.Header
        The header of the image.
    plane : str or None
        One of `PLANES`, or None for all three.
    plot : str, optional
        One of `PLOTS`, if there is a plot below the slices.

    Returns
    -------
    float
        The largest whole number with which the picture is at most 600 pixels high and 1000 wide; 1 for images up to
        twice that size, and for larger ones the fraction that makes them fit.

    Examples
    --------
    >>> import numpy as np
    >>> from provision.pictures.images import Header
    >>> default_zoom(Header((48, 48, 20), (2.0, 2.0, 2.0), np.eye(4)), "axial")
    12
    """
    width, height = _size(header, plane, plot)
    best = min(_WIDTH / width, _HEIGHT / height)
    return math.floor(best) if best >= 1 else 1 if best >= 0.5 else max(best, _least_zoom(header, plane))


def check_installed() -> None:
    """Raise an error if mrpeek is not installed.

    Raises
    ------
    provision.errors.ProvisionError
        If it is not installed.
    """
    _commands()


def check_plane(plane: Any) -> None:
    """Raise an error if there is no such plane.

    Parameters
    ----------
    plane : object
        The value given.

    Raises
    ------
    provision.errors.OptionError
        If it is not one of `PLANES`.

    Examples
    --------
    >>> check_plane("axial")
    """
    _check_choice("plane", plane, PLANES)


def checked_range(range: Any) -> tuple[float, float]:
    """Return the intensities of the darkest and brightest colour; refuse anything else.

    Parameters
    ----------
    range : object
        The value given.

    Returns
    -------
    tuple of float
        The lower and the higher one.

    Raises
    ------
    provision.errors.OptionError
        If it is not two numbers, the lower one first.

    Examples
    --------
    >>> checked_range([0, 1000])
    (0.0, 1000.0)
    """
    return _checked_pair("range", range, -math.inf, math.inf)


def _edges(header: Header) -> list[float]:
    """Return the extent of the image along each axis, in units of the shortest edge of a voxel."""
    shortest = min(header.spacing)
    return [size * edge / shortest for size, edge in zip(header.shape[:3], header.spacing, strict=True)]


def _size(header: Header, plane: str | None, plot: str | None) -> tuple[float, float]:
    """Return the width and height of a picture at a zoom of 1."""
    x, y, z = _edges(header)
    width, height = {"sagittal": (y, z), "coronal": (x, z), "axial": (x, y), None: (y + x + x, max(y, z))}[plane]
    if plot is None:
        return width, height
    # mrpeek makes a plot twice as wide as the image's longest side, with the golden ratio.
    wide = 2 * max(x, y, z)
    return max(width, wide), height + wide / _GOLDEN


def _least_zoom(header: Header, plane: str | None) -> float:
    """Return the smallest zoom at which no side of a slice is shorter than a pixel."""
    edges = _edges(header)
    shown = [edge for axis, edge in enumerate(edges) if plane is None or axis != PLANES.index(plane)]
    return 1 / min(shown)


def checked(header, plane, focus, volume, range, percentiles, colourmap, zoom, crosshair, plot) -> View:
    """Return what to show; refuse values that are not allowed."""
    if plane is not None:
        check_plane(plane)
    _check_choice("colour map", colourmap, COLOURMAPS)
    if plot is not None:
        _check_plot(header, plot)
    if range is not None and percentiles is not None:
        message = "Both a range and percentiles were given."
        raise OptionError(message, hint="Use only one of them.", code="given-twice")
    return View(
        plane=plane,
        focus=_checked_focus(header, focus),
        volume=_checked_volume(header, volume),
        range=None if range is None else checked_range(range),
        percentiles=None if percentiles is None else _checked_pair("percentiles", percentiles, 0, 100),
        colourmap=colourmap,
        zoom=_checked_zoom(header, plane, plot, zoom),
        crosshair=bool(crosshair),
        plot=plot,
    )


def _check_choice(kind: str, value: Any, choices: Sequence[str], kinds: str = "") -> None:
    if not (isinstance(value, str) and value in choices):
        raise unknown(kind, value, choices, kinds=kinds)


def _check_plot(header: Header, plot: Any) -> None:
    _check_choice("plot axis", plot, PLOTS, kinds="plot axes")
    axis = PLOTS.index(plot)
    size = header.shape[axis] if axis < len(header.shape) else 1
    if size < 2:
        message = f"Nothing can be plotted along {plot}: the image is {_sized(header)}."
        raise OptionError(message, code="bad-value")


def _sized(header: Header) -> str:
    return " x ".join(map(str, header.shape))


def _checked_focus(header: Header, focus: Any) -> tuple[int, ...]:
    middle = tuple(size // 2 for size in header.shape[:3])
    if focus is None:
        return middle
    limits = [size - 1 for size in header.shape[:3]]
    try:
        given = [at if voxel is None else round(float(voxel)) for voxel, at in zip(focus, middle, strict=True)]
        allowed = all(0 <= voxel <= limit for voxel, limit in zip(given, limits, strict=True))
    except (TypeError, ValueError, OverflowError):
        allowed = False
    if not allowed:
        raise OptionError(
            f"The focus must be three voxel indices from (0, 0, 0) to ({', '.join(map(str, limits))}), not {focus!r}: "
            f"the image is {_sized(header)}.",
            code="bad-value",
        )
    return tuple(given)


def _checked_volume(header: Header, volume: Any) -> int | None:
    if volume is None:
        return 0 if len(header.shape) > 3 else None
    number = whole(volume)
    if number is None or not 0 <= number < header.volumes:
        raise OptionError(
            f"The volume must be a whole number from 0 to {header.volumes - 1}, not {volume!r}: the image is "
            f"{_sized(header)}.",
            code="bad-value",
        )
    return number if len(header.shape) > 3 else None


def flat_range(value: float) -> tuple[float, float]:
    """Return the range of intensities for an image with a single value.

    Parameters
    ----------
    value : float
        The value; one that is not finite counts as 0.

    Returns
    -------
    tuple of float
        0 and the value, the lower one first; 0 and 1 for a value of 0.

    Examples
    --------
    >>> flat_range(-7.0), flat_range(0.0)
    ((-7.0, 0.0), (0.0, 1.0))
    """
    if not math.isfinite(value) or value == 0:
        return 0.0, 1.0
    return min(0.0, value), max(0.0, value)


def whole(value: Any) -> int | None:
    """Return a whole number as an int.

    Parameters
    ----------
    value : object
        The value given, such as an int or a numpy integer.

    Returns
    -------
    int or None
        None if it is not a whole number.

    Examples
    --------
    >>> whole(3), whole(3.5)
    (3, None)
    """
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _checked_pair(what: str, pair: Any, least: float, most: float) -> tuple[float, float]:
    try:
        low, high = map(float, pair)
        allowed = least <= low < high <= most and math.isfinite(high - low)
    except (TypeError, ValueError):
        allowed = False
    if not allowed:
        limits = f" from {least:g} to {most:g}" if math.isfinite(most) else ""
        raise OptionError(
            f"The {what} must be two numbers{limits}, the lower one first, not {pair!r}.", code="bad-value"
        )
    return low, high


def _checked_zoom(header: Header, plane: str | None, plot: str | None, zoom: Any) -> float | None:
    if zoom is None:
        return None
    least, most = _least_zoom(header, plane), _LARGEST / max(_size(header, plane, plot))
    try:
        allowed = not isinstance(zoom, bool) and least <= float(zoom) <= most
    except (TypeError, ValueError):
        allowed = False
    if not allowed:
        raise OptionError(
            f"The zoom must be a number from {least:.2g} to {most:.0f}, not {zoom!r}: the image is {_sized(header)}.",
            code="bad-value",
        )
    return float(zoom)


def _commands() -> tuple[Path, str | None]:
    """Return mrpeek, and the libsixel that was installed with it if there is one."""
    report = notes.read_state("mrpeek").get("report", {})
    installed = Path(report.get("bin") or os.devnull) / "mrpeek"
    if installed.is_file():
        return installed, report.get("decoder")
    if found := shutil.which("mrpeek"):
        return Path(found), None
    raise ProvisionError("mrpeek is not installed.", hint='Install it: provision.run("mrpeek").', code="not-installed")


def _run(command: Path, path: Path, view: View, name: str) -> subprocess.CompletedProcess:
    """Run mrpeek, and return its exit code and output."""
    with tempfile.TemporaryDirectory(prefix="provision-peek-") as folder:
        environment = {**os.environ, "MRTRIX_QUIET": "1", "MRTRIX_TMPFILE_DIR": folder}
        try:
            return subprocess.run(
                [command, *_options(view), path],
                stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            message = f"mrpeek was stopped after {_SECONDS} s without finishing {name}."
            raise ProvisionError(message, code="mrpeek-failed") from error
        except OSError as error:
            raise ProvisionError(
                f"{command} cannot be started: {error.strerror}.",
                hint='Reinstall it: provision.run("mrpeek").',
                code="does-not-run",
            ) from error


def _options(view: View) -> list[str]:
    """Return the options of mrpeek for a view."""
    position = view.focus if view.volume is None else (*view.focus, view.volume)
    options = ["-batch", "-levels", str(_LEVELS), "-zoom", f"{view.zoom:.9g}", "-colourmap", view.colourmap]
    options += ["-focus", ",".join(map(str, position))]
    options += [f"-{view.plane}"] if view.plane else []
    options += [] if view.crosshair else ["-nocrosshairs"]
    options += ["-intensity_range", *map(repr, view.range)] if view.range else []
    options += ["-percentile_range", *map(repr, view.percentiles)] if view.percentiles else []
    return [*options, "-plot", str(PLOTS.index(view.plot))] if view.plot else options


def _last_line(done: subprocess.CompletedProcess) -> str:
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return f"it ended with exit code {done.returncode}"
    return lines[-1].removeprefix("mrpeek: ").removeprefix("[ERROR] ").rstrip(".")


def _text(done: subprocess.CompletedProcess) -> list[str]:
    """Return the lines that mrpeek prints around its pictures.

    They are the highest and lowest intensity, above and below the slices, the focus with its value, and for a plot the
    highest and lowest value, above and below it.
    """
    text = sixel.without_pictures(done.stdout).decode(errors="replace")
    return [line.strip() for line in re.split(r"[\r\n]+", _ESCAPES.sub("", text)) if line.strip()]


def _has_no_range(done: subprocess.CompletedProcess) -> bool:
    """Return whether mrpeek found no range of intensities.

    If the percentiles of a slice are equal, it prints nan or inf and draws only black; if a slice has no finite value,
    it crashes.
    """
    if done.returncode != 0:
        return b"FATAL" in done.stderr or done.returncode < 0
    return any("nan" in line or "inf" in line for line in _text(done)[:2])


def _value(done: subprocess.CompletedProcess) -> float:
    """Return the value at the focus; 0 if mrpeek did not print it."""
    return float(_text(done)[2].rpartition(" ")[2]) if done.returncode == 0 else 0.0


def _words(view: View, done: subprocess.CompletedProcess, name: str) -> str:
    """Return the description of a picture."""
    high, low, _, *plotted = _text(done)
    if view.range:
        low, high = (f"{limit:g}" for limit in view.range)
    slices = f"{view.plane} slice" if view.plane else "sagittal, coronal and axial slice"
    parts = [f"{slices} of {name} at voxel ({', '.join(map(str, view.focus))})"]
    parts += [] if view.volume is None else [f"volume {view.volume}"]
    parts += [f"intensities from {low} to {high}"]
    parts += [f"below them along {view.plot} from {plotted[1]} to {plotted[0]}"] if view.plot else []
    return ", ".join(parts)
