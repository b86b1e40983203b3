"""One picture that shows whether a diffusion series can be used."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.pictures import drawing
from provision.pictures.drawing import DPI, PLANES, Sheet, pictured
from provision.pictures.quality import BZERO, DEVIATIONS, Quality, measure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from provision.pictures.picture import Picture
    from provision.pictures.reader import Image

_WHITE, _DIM, _UNJUDGED, _RED = "white", "#b0b0b0", "#484848", "#ff3b30"
_OUTLINE = "#ffcc00"
_SHELLS = ("#56b4e9", "#e69f00", "#2fc48d", "#e57fbb", "#f0e442", "#a78bfa")  # told apart by the colour-blind, too
_MAP = ("#4f8cff", "#0c0c0c", "#ffe08a")  # darker than the median, equal, brighter
_TITLE, _PANELS, _LOWER, _LINE = 30, 300, 300, 17  # pixels of a picture 900 wide
_LETTERS = 150  # that fit a line


def qc(
    dwi: Image,
    *,
    bvals: str | os.PathLike[str] | None = None,
    bvecs: str | os.PathLike[str] | None = None,
    mask: Image | None = None,
    size: int = drawing.WIDTH,
) -> Picture:
    """Show in one picture whether a diffusion series can be used.

    It has an axial slice of the mean of every shell, with its own range of intensities; the gradient directions on a
    sphere; a map of all volumes and slices, in which signal dropouts are red; and the signal-to-noise ratio at b=0.

    The directions are shown in an equal-area projection of the upper half of the sphere, since opposite directions
    weight alike: dots point up as they are, rings point down and are turned over.

    Parameters
    ----------
    dwi : path-like, nibabel image or numpy.ndarray
        A series of shape (X, Y, Z, V), whatever MRtrix3 opens; as acquired rather than denoised, or the signal-to-noise
        ratio is that of the denoised series.
    bvals, bvecs : path-like, optional
        The gradient table as FSL's files. By default it is that of the header, else the files next to the image:
        ``dwi.bval`` and ``dwi.bvec`` for ``dwi.nii.gz``, or ``bvals`` and ``bvecs``.
    mask : image, optional
        Where to measure, on any grid (default: what MRtrix3's dwi2mask finds).
    size : int
        The width of the picture in pixels.

    Returns
    -------
    provision.pictures.picture.Picture
        The picture, whose ``alt`` has the numbers in words; `provision.pictures.quality.measure` returns
        the numbers.

    Raises
    ------
    provision.errors.OptionError
        If the image, mask or gradient table cannot be read, they do not fit together, or the image has no shells.
    provision.errors.ProvisionError
        If MRtrix3, its dwi2mask where no mask is given, or matplotlib is not installed.

    Warns
    -----
    provision.pictures.mrtrix3.ImageWarning
        If MRtrix3 finds something odd in an image.

    Notes
    -----
    The signal-to-noise ratio is the mean over the standard deviation of a voxel across the volumes at b=0, the median
    over the mask [1]_ [2]_. Motion and drift lower it. It takes 3 volumes.

    Outliers follow SOLID [3]_: the mean within the mask of each axial slice is compared with the same slice of the
    shell's other volumes, by its distance from their median in robust standard deviations (1.4826 times the median
    absolute deviation). Red is what is darker by 5 of them and by 10 %. These limits are a convention: 5 lies between
    SOLID's 3.5, where its doubt begins, and 6, from where it gives a slice no weight; the 10 % keep small differences
    of a very even shell from counting. What the signal varies with direction is part of that spread: at high b-values,
    a dropout may stay below the limit and be blue among its neighbours in the map. A shell of fewer than 6 volumes, and
    slices with less than a tenth of the mask's largest area, are not judged.

    References
    ----------
    .. [1] Dietrich et al., J Magn Reson Imaging 26:375-385 (2007), https://doi.org/10.1002/jmri.20969
    .. [2] Bastiani et al., NeuroImage 184:801-812 (2019), https://doi.org/10.1016/j.neuroimage.2018.09.073
    .. [3] Sairanen et al., NeuroImage 181:331-346 (2018), https://doi.org/10.1016/j.neuroimage.2018.07.003

    Examples
    --------
    >>> qc("dwi.nii.gz", mask="mask.nii.gz").save("quality.pdf")  # doctest: +SKIP
    PosixPath('quality.pdf')
    """
    drawing.require()
    size = drawing.check_size(size)
    return draw(measure(dwi, bvals=bvals, bvecs=bvecs, mask=mask), size)


def draw(quality: Quality, size: int = drawing.WIDTH) -> Picture:
    """Return the picture of what was measured; `qc` is the two in one."""
    drawing.require()
    return _Drawing(quality, size).picture


@dataclass
class _Drawing:
    """The picture of the numbers."""

    quality: Quality
    size: int

    @property
    def picture(self) -> Picture:
        """The picture."""
        from matplotlib.figure import Figure

        quality, ratio = self.quality, self.size / drawing.WIDTH
        lines = [part for line in quality.lines() for part in textwrap.wrap(line, _LETTERS)]
        x, y = quality.mask.shape
        panels = [(PLANES["axial"], (x, y), quality.spacing[:2])] * len(quality.shells)
        options: dict[str, Any] = {"bar": False, "size": self.size, "columns": len(panels), "height": _PANELS}
        heights = [
            _TITLE * ratio, Sheet(panels, **options).pixels[1], _LOWER * ratio, (len(lines) + 0.8) * _LINE * ratio
        ]  # fmt: skip
        figure = Figure(figsize=(self.size / DPI, round(sum(heights)) / DPI), dpi=DPI, facecolor="black")
        parts: Any = figure.subfigures(4, 1, height_ratios=heights, hspace=0)
        top, upper, lower, bottom = parts
        for part in parts:
            part.set_facecolor("black")
        shape, edges = (" x ".join(f"{one:.4g}" for one in many) for many in (quality.shape[:3], quality.spacing))
        title = f"{quality.name}   {quality.shape[3]} volumes   {shape} voxels of {edges} mm"
        drawing.fit(self._write(top, title, 0.3, 9.5), 0.976 * top.bbox.width)
        self._slices(Sheet(panels, figure=upper, **options))
        self._directions(lower.add_axes((0.02, 0.1, 0.3, 0.8)))
        self._map(lower)
        for at, line in enumerate(lines):
            self._write(bottom, line, 1 - (at + 0.5) / (len(lines) + 0.8), 8)
        alt = f"quality of {quality.name}: {', '.join(map(str, quality.shells))}. {' '.join(quality.lines())}"
        return pictured(figure, alt)

    def _colour(self, shell: int) -> str:
        """Return the colour of a shell, which is grey for b=0."""
        if self.quality.shells[shell].bvalue <= BZERO:
            return _DIM
        return _SHELLS[(shell - (self.quality.shells[0].bvalue <= BZERO)) % len(_SHELLS)]

    def _points(self, points: float) -> float:
        return points * self.size / drawing.WIDTH

    def _write(self, figure: Any, text: str, y: float, points: float) -> Any:
        return figure.text(0.012, y, text, color=_WHITE, fontsize=self._points(points), va="center", parse_math=False)

    def _slices(self, sheet: Sheet) -> None:
        """Draw the mean of each shell, and the mask over the first."""
        import numpy as np

        quality = self.quality
        for number, shell in enumerate(quality.shells):
            low, high = drawing.robust_range(shell.mean)
            sheet.show(number, shell.mean, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
            sheet.letters(number)
            axes = sheet.axes[number]
            points = self._points(9 * min(1, 5 / len(quality.shells)))
            axes.set_title(str(shell), color=self._colour(number), fontsize=points, pad=self._points(4))
        sheet.ruler(len(quality.shells) - 1)
        mask = np.pad(quality.mask, 1)  # so that the outline is closed at the edge of the image
        xs, ys = (np.arange(-1, count - 1) * edge for count, edge in zip(mask.shape, quality.spacing, strict=False))
        sheet.axes[0].contour(xs, ys, mask.T, levels=[0.5], colors=_OUTLINE, linewidths=self._points(1.2))
        sheet.footer(f"Mean of each shell in axial slice {quality.slice}, each with its own range; mask in yellow")

    def _directions(self, axes: Axes) -> None:
        """Draw the gradient directions, turned to the upper half, seen from the feet as axial slices are."""
        import numpy as np

        angles = np.linspace(0, 2 * np.pi, 200)
        for radius in (2 * np.sin(np.pi / 8), np.sqrt(2)):  # 45 degrees from the axis of the body, and 90
            axes.plot(radius * np.cos(angles), radius * np.sin(angles), color="#484848", lw=self._points(0.8))
        diameter = self._points(7.5)
        for number, shell in enumerate(self.quality.shells):
            if shell.bvalue <= BZERO:
                continue
            points, is_up = _projected(self.quality.table[list(shell.volumes), :3])
            look: dict[str, Any] = {"s": diameter**2, "edgecolors": self._colour(number), "lw": self._points(0.9)}
            axes.scatter(points[is_up, 0], points[is_up, 1], facecolors=self._colour(number), **look)
            axes.scatter(points[~is_up, 0], points[~is_up, 1], facecolors="none", **look)
            diameter *= 0.62  # shells may have the same directions: the next is drawn over this, and must not hide it
        for text, x, y in (("R", -1, 0), ("L", 1, 0), ("A", 0, 1), ("P", 0, -1)):
            axes.text(1.56 * x, 1.56 * y, text, color=_WHITE, ha="center", va="center", fontsize=self._points(9))
        axes.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", facecolor="black")
        axes.set_axis_off()
        axes.set_title("Gradient directions", color=_WHITE, fontsize=self._points(9), pad=self._points(2))
        axes.text(0, -1.86, "dots point up, rings down", color=_DIM, ha="center", va="center", fontsize=self._points(8))

    def _map(self, figure: Any) -> None:
        """Draw the scores of all volumes and slices, and to which shell each volume belongs."""
        import numpy as np
        from matplotlib.colors import LinearSegmentedColormap, to_rgb

        quality = self.quality
        count, slices = quality.scores.shape
        left, width = 0.405, 0.50
        axes = figure.add_axes((left, 0.16, width, 0.62), label="map")
        colours = LinearSegmentedColormap.from_list("dropout", _MAP).with_extremes(bad=_UNJUDGED)
        limits = {"vmin": -DEVIATIONS, "vmax": DEVIATIONS}
        look: dict[str, Any] = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
        shown = axes.imshow(np.ma.masked_invalid(quality.scores.T), cmap=colours, **limits, **look)
        dark = np.zeros((slices, count, 4))
        for volume, found in quality.outliers.items():
            dark[list(found), volume] = (*to_rgb(_RED), 1)
        axes.imshow(dark, **look)
        axes.set(xlabel="volume", ylabel="axial slice")
        strip = figure.add_axes((left, 0.80, width, 0.03), sharex=axes, label="shells")
        of = np.zeros((1, count, 3))
        for number, shell in enumerate(quality.shells):
            of[0, list(shell.volumes)] = to_rgb(self._colour(number))
        strip.imshow(of, aspect="auto", interpolation="nearest")
        strip.set(yticks=[], xlim=(-0.5, count - 0.5), facecolor="black")
        strip.tick_params(bottom=False, labelbottom=False)
        strip.plot(
            list(quality.outliers), [-1.3] * len(quality.outliers), "v", color=_RED, ms=self._points(4), clip_on=False
        )
        words = "Brightness of each slice within the mask; dropouts are red"
        words += ", grey is not judged" if np.isnan(quality.scores).any() else ""
        figure.text(left, 0.93, words, color=_WHITE, va="center", fontsize=self._points(9))
        bar = figure.colorbar(shown, cax=figure.add_axes((left + width + 0.015, 0.16, 0.013, 0.62)))
        bar.set_label("robust SD from the shell's median")
        for one in (axes, strip, bar.ax):
            one.tick_params(colors=_WHITE, labelsize=self._points(8), length=self._points(2), pad=self._points(2))
            for label in (one.xaxis.label, one.yaxis.label):
                label.set(color=_WHITE, fontsize=self._points(8))
            for spine in one.spines.values():
                spine.set_visible(False)
        bar.outline.set_visible(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)


def _projected(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places in Lambert's equal-area projection of the upper half, R on the left, and which pointed there."""
    import numpy as np

    is_up = directions[:, 2] >= 0
    x, y, z = np.where(is_up, 1, -1) * directions.T
    return (np.sqrt(2 / (1 + z)) * np.array([-x, y])).T, is_up
