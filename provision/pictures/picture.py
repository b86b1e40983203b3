"""A picture for a notebook cell: PNG data and a description."""

from __future__ import annotations

import base64
import contextlib
import io
import math
import os
import tempfile
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError
from provision.paths import absolute
from provision.words import did_you_mean

if TYPE_CHECKING:
    import numpy as np

_CHANNELS = (3, 4)


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture that a notebook shows as the value of a cell.

    Parameters
    ----------
    png : bytes
        The picture as a PNG file.
    width, height : int
        Its size in pixels.
    alt : str
        A description of what it shows, for those who cannot see it and for a plain console.
    figure : matplotlib figure, optional
        The figure that was drawn, to go on with; None for a picture that is pixels alone.

    Examples
    --------
    >>> import numpy as np
    >>> picture = Picture.of(np.zeros((48, 64, 3), np.uint8), "nothing but black")
    >>> picture
    <Picture 64 x 48: nothing but black>
    """

    png: bytes
    width: int
    height: int
    alt: str
    figure: Any = field(default=None, compare=False)

    @classmethod
    def of(cls, pixels: np.ndarray, alt: str) -> Picture:
        """Make a picture from an array of pixels.

        Parameters
        ----------
        pixels : numpy.ndarray
            Red, green, blue and, optionally, opacity; uint8, shape (H, W, 3) or (H, W, 4), top row first.
        alt : str
            A description of what it shows.

        Returns
        -------
        Picture
            The same pixels, exactly.

        Raises
        ------
        provision.errors.OptionError
            If the array has another type or shape, or no pixels.

        Examples
        --------
        >>> import numpy as np
        >>> Picture.of(np.full((2, 3, 4), 255, np.uint8), "white").width
        3
        """
        import numpy as np
        from PIL import Image

        pixels = np.ascontiguousarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in _CHANNELS or not pixels.size:
            raise OptionError(
                f"Pixels must be uint8 of shape (H, W, 3) or (H, W, 4), not {pixels.dtype} of shape {pixels.shape}.",
                code="bad-value",
            )
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="PNG")
        height, width = pixels.shape[:2]
        return cls(stream.getvalue(), width, height, alt)

    def save(self, path: str | os.PathLike, dpi: float | None = None) -> Path:
        """Write the picture to a file, completely or not at all.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.png``, ``.svg`` or ``.pdf``, in an existing folder; an existing file is replaced.
            In the last two, text and lines stay sharp at any size.
        dpi : float, optional
            Pixels per inch of a PNG, which says so to other programs; the picture of the cell by default. A picture is
            9 inches wide unless its call set another size: 300 give 2700 pixels.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        provision.errors.OptionError
            If the name has another ending, the folder does not exist, the path is a folder, or the picture is pixels
            alone, which only ``.png`` can hold.
        OSError
            If the file cannot be written; an existing one is left unchanged.

        Examples
        --------
        >>> picture.save("slices.png", dpi=300)  # doctest: +SKIP
        PosixPath('slices.png')
        """
        path, dpi = checked_output(path, dpi, is_drawn=self.figure is not None)
        data = self._data(path.suffix.lower()[1:], dpi)
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            with contextlib.suppress(OSError):  # a mounted Drive has no permissions
                Path(unfinished).chmod(0o644)
            Path(unfinished).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(unfinished).unlink()
            raise
        return path

    def _data(self, kind: str, dpi: float | None) -> bytes:
        """Return the content of a file of this kind."""
        if kind == "png" and dpi is None:
            return self.png
        stream = io.BytesIO()
        if self.figure is None:
            from PIL import Image

            with Image.open(io.BytesIO(self.png)) as image:
                image.save(stream, format="PNG", dpi=(dpi, dpi))
        else:
            whole = self.figure.get_figure(root=True)
            whole.savefig(stream, format=kind, dpi=dpi or whole.dpi, facecolor=whole.get_facecolor())
        return stream.getvalue()

    def __repr__(self) -> str:
        return f"<Picture {self.width} x {self.height}: {self.alt}>"

    def _repr_png_(self) -> bytes:
        """Return the PNG data for a notebook."""
        return self.png

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        """Return the PNG data with the description, for which ``_repr_png_`` has no place."""
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"alt": self.alt}}


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, of Python's or of numpy's; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(-math.inf < value < math.inf)  # type: ignore[operator]


def _checked_dpi(dpi: Any) -> float | None:
    if dpi is None:
        return None
    if not is_number(dpi) or not 10 <= dpi <= 2400:
        raise OptionError(f"dpi must be a number from 10 to 2400, not {dpi!r}.", code="bad-value")
    return float(dpi)


def checked_output(path: str | os.PathLike, dpi: Any = None, *, is_drawn: bool = True) -> tuple[Path, float | None]:
    """Return the path and the pixels per inch of a file to write; refuse what `Picture.save` cannot write."""
    absolute(path)
    path, dpi = Path(path).expanduser(), _checked_dpi(dpi)
    endings = (".png", ".svg", ".pdf") if is_drawn else (".png",)
    if path.suffix.lower() not in endings:
        raise OptionError(
            f"This picture is written as {' or '.join(endings)}, not as {path.name}.",
            hint=f"Use {path.stem}.png.",
            code="unknown-format",
        )
    if path.is_dir():
        raise OptionError(f"{path} is a folder.", hint=f"Use {path / 'picture.png'}.", code="not-a-file")
    if not path.parent.is_dir():
        above = path.parent.parent
        names = [other.name for other in above.iterdir() if other.is_dir()] if above.is_dir() else []
        hint = did_you_mean(path.parent.name, names) or "Create it first."
        raise OptionError(f"There is no folder {path.parent}.", hint=hint, code="no-folder")
    return path, dpi
