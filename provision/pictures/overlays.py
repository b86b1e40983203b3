"""Images that are drawn over another: outlines, maps with colours, and directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError
from provision.pictures.reader import Reader

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.reader import Image


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
            strengths = np.abs(values).max(axis=-1)
            shown = strengths[np.isfinite(strengths) & (strengths > 0)]
            top = np.percentile(shown, 98) if shown.size else 1.0
            return Overlay(header.name, "directions", values, range=(0.0, float(top)), opacity=opacity)
        whole = reader.volume()
        values = np.array(whole if reader.shares_grid(under) else reader.volume(like=under))
        inside = whole[whole != 0]
        if 0 < inside.size < whole.size and inside.min() == inside.max():
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
