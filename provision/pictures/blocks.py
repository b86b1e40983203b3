"""Pictures as characters: two pixels above each other are the halves of a block, and text stays text."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, Any

from provision.words import shortened

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.picture import Picture

_HALF = "▀"
_LINE = 0.3  # of a column, at least: thinner lines would be lost
_BRIGHT = 128  # the mean of a background on which text is black


def drawn(picture: Picture, columns: int, lines: int) -> str:
    """Return a picture in at most so many columns and lines, with the colours that the terminal has."""
    import numpy as np
    from PIL import Image

    scale = min(columns / picture.width, 2 * lines / picture.height, 1)
    width, height = max(1, int(picture.width * scale)), max(1, int(picture.height * scale / 2))
    pixels, words = _split(picture, scale)
    small = Image.fromarray(pixels).resize((width, 2 * height), Image.Resampling.LANCZOS)
    cells = np.asarray(small).reshape(height, 2, width, 3)
    return _coloured(cells, _placed(words, width, height, picture.width / width, picture.height / height))


def _split(picture: Picture, scale: float) -> tuple[np.ndarray, list[tuple[float, float, str, bool]]]:
    """Return the pixels of a picture, shape (H, W, 3), and its text: each middle, x and y, and if it is upright."""
    import numpy as np
    from PIL import Image

    if picture.figure is None:
        with Image.open(io.BytesIO(picture.png)) as image:
            return np.asarray(image.convert("RGB")), []
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    words: list[tuple[float, float, str, bool]] = []

    class Renderer(RendererAgg):
        def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
            across, up, _ = self.get_text_width_height_descent(s, prop, ismath)
            is_upright = round(angle) % 180 == 90
            middle = (x - up / 2, y - across / 2) if is_upright else (x + across / 2, y - up / 2)
            words.append((*middle, s, is_upright))

    figure = picture.figure.get_figure(root=True)
    renderer = Renderer(picture.width, picture.height, figure.dpi)
    texts = {text: text.get_path_effects() for text in figure.findobj(Text)}  # an outlined text is drawn as lines
    lines = {line: line.get_linewidth() for kind in (Line2D, Collection) for line in figure.findobj(kind)}
    least = _LINE * 72 / figure.dpi / scale
    try:
        for text in texts:
            text.set_path_effects([])
        for line, points in lines.items():
            line.set_linewidth(np.where(np.asarray(points) > 0, np.maximum(points, least), points))
        figure.draw(renderer)
    finally:
        for text, effects in texts.items():
            text.set_path_effects(effects)
        for line, points in lines.items():
            line.set_linewidth(points)
    return np.asarray(renderer.buffer_rgba())[:, :, :3], words


def _placed(
    words: list[tuple[float, float, str, bool]], width: int, height: int, across: float, down: float
) -> dict[tuple[int, int], str]:
    """Return the character of each cell (line, column) that has one; text that would cover other text is left out."""
    cells: dict[tuple[int, int], str] = {}
    for x, y, said, is_upright in words:
        room = height if is_upright else width
        text = shortened(said.strip(), room)
        text = text if len(text) <= room else text[: room - 1] + "…"
        middle, line = (y / down, int(x / across)) if is_upright else (x / across, int(y / down))
        start = min(max(round(middle - len(text) / 2), 0), room - len(text))
        places = [(at, line) if is_upright else (line, at) for at in range(start, start + len(text))]
        if not any(place in cells for place in places):
            cells.update(zip(places, text, strict=True))
    return cells


def _coloured(cells: np.ndarray, words: dict[tuple[int, int], str]) -> str:
    """Return cells, shape (H, 2, W, 3), with the characters of some, as a terminal takes them."""
    from rich.color import Color
    from rich.console import Console
    from rich.segment import Segment, Segments
    from rich.style import Style

    def segment(line: int, column: int) -> Segment:
        upper, lower = cells[line, :, column]
        text = words.get((line, column))
        if text is None:
            return Segment(_HALF, Style(color=colour(upper), bgcolor=colour(lower)))
        behind = (upper.astype(int) + lower) // 2
        return Segment(text, Style(color=colour([0 if behind.mean() > _BRIGHT else 255] * 3), bgcolor=colour(behind)))

    def colour(rgb: Any) -> Color:
        return Color.from_rgb(*map(int, rgb))

    stream = io.StringIO()
    lines, columns = cells.shape[0], cells.shape[2]
    console = Console(file=stream, force_terminal=True, no_color=False, width=columns + 1)
    rows = ([*(segment(line, column) for column in range(columns)), Segment.line()] for line in range(lines))
    console.print(Segments(itertools.chain.from_iterable(rows)), end="")
    return stream.getvalue()
