"""A picture for a notebook cell: PNG data, and what it shows in words."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import tempfile
from dataclasses import dataclass
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
        What it shows, in words, for those who cannot see it and for a plain console.

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

    @classmethod
    def of(cls, pixels: np.ndarray, alt: str) -> Picture:
        """Make a picture of an array of pixels.

        Parameters
        ----------
        pixels : numpy.ndarray
            Red, green, blue and, when there is a fourth channel, opacity; uint8, shape (H, W, 3) or (H, W, 4), the
            first row on top.
        alt : str
            What it shows, in words.

        Returns
        -------
        Picture
            The same pixels, exactly.

        Raises
        ------
        provision.errors.OptionError
            For an array of another type or shape, or one without pixels.

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
                f"A picture is made of uint8 pixels of the shape (H, W, 3) or (H, W, 4), not of {pixels.dtype} of the "
                f"shape {pixels.shape}.",
                code="bad-value",
            )
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="PNG")
        height, width = pixels.shape[:2]
        return cls(stream.getvalue(), width, height, alt)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the picture into a file, whole or not at all.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.png``, in a folder that is there; a file of that name is replaced.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        provision.errors.OptionError
            For a name that does not end in ``.png``, a folder that does not exist, and a path that is a folder.
        OSError
            When the file cannot be written; one that was there before is as it was.

        Examples
        --------
        >>> picture.save("slices.png")  # doctest: +SKIP
        PosixPath('slices.png')
        """
        path = _checked_path(Path(path).expanduser())
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.png)
            with contextlib.suppress(OSError):  # a mounted Drive has no permissions
                Path(unfinished).chmod(0o644)
            Path(unfinished).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(unfinished).unlink()
            raise
        return path

    def __repr__(self) -> str:
        return f"<Picture {self.width} x {self.height}: {self.alt}>"

    def _repr_png_(self) -> bytes:
        """Return the PNG data, which a notebook shows."""
        return self.png

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        """Return the PNG data together with the words, which ``_repr_png_`` alone has no place for."""
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"alt": self.alt}}


def _checked_path(path: Path) -> Path:
    absolute(path)
    if path.suffix.lower() != ".png":
        raise OptionError(
            f"A picture is written as .png, not as {path.name}.", hint=f"Take {path.stem}.png.", code="unknown-format"
        )
    if path.is_dir():
        raise OptionError(f"{path} is a folder.", hint=f"Take {path / 'picture.png'}.", code="not-a-file")
    if not path.parent.is_dir():
        names = [other.name for other in path.parent.parent.iterdir()] if path.parent.parent.is_dir() else []
        hint = did_you_mean(path.parent.name, names) or "Make it first."
        raise OptionError(f"There is no folder {path.parent}.", hint=hint, code="no-folder")
    return path
