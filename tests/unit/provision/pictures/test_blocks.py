"""A picture as characters: its colours and its text, no larger than the room there is."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

import numpy as np

from provision.pictures import blocks
from provision.pictures.drawing import pictured
from provision.pictures.picture import Picture


@pytest.fixture(autouse=True)
def true_colours(monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")


def cells(text: str) -> list[list[tuple[str, tuple, tuple]]]:
    """The character of each cell with its colour and the colour behind it."""
    from rich.console import Console
    from rich.text import Text

    lines = Text.from_ansi(text).render(Console(width=1000))
    found = [[]]
    for segment in lines:
        for character in segment.text:
            if character == "\n":
                found.append([])
            else:
                style = segment.style
                found[-1].append((character, style.color.get_truecolor(), style.bgcolor.get_truecolor()))
    return [line for line in found if line]


def written(text: str) -> list[str]:
    """The lines with nothing but their text."""
    return ["".join(" " if cell[0] == "▀" else cell[0] for cell in line).rstrip() for line in cells(text)]


@pytest.fixture
def figure():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    figure = Figure(figsize=(9, 3), dpi=100, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1), facecolor="black")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    axes.text(0.5, 0.9, "S", color="white", ha="center", va="center", path_effects=[withStroke(linewidth=2)])
    axes.text(0.02, 0.1, "dwi_1.nii.gz", color="white", ha="left", va="center", parse_math=False)
    axes.plot([0, 1], [0.5, 0.5], color=(0, 1, 0), lw=0.8)
    return figure


def test_two_pixels_above_each_other_are_one_character():
    red, blue = (255, 0, 0), (0, 0, 255)
    picture = Picture.of(np.array([[red, blue], [blue, red]], np.uint8), "four pixels")
    assert cells(blocks.drawn(picture, 80, 24)) == [[("▀", red, blue), ("▀", blue, red)]]


@pytest.mark.parametrize(("columns", "lines"), [(60, 24), (100, 24), (60, 5), (10, 100), (1, 1)])
def test_it_fits_and_keeps_its_proportions(columns, lines):
    drawn = cells(blocks.drawn(Picture.of(np.zeros((300, 900, 3), np.uint8), "black"), columns, lines))
    assert len(drawn) <= lines and {len(line) for line in drawn} == {len(drawn[0])} and len(drawn[0]) <= columns
    assert abs(len(drawn[0]) / 3 - 2 * len(drawn)) <= 2


def test_text_is_characters_at_its_place_with_or_without_an_outline(figure):
    lines = written(blocks.drawn(pictured(figure, "text"), 60, 24))
    assert len(lines) == 10
    assert lines[0].strip() == "S" and abs(lines[0].index("S") - 30) <= 1
    assert lines[8] == "dwi_1.nii.gz"


def test_text_that_is_too_long_or_in_the_way_is_cut_or_left_out(figure):
    figure.text(0.5, 0.5, "long " * 40, ha="center", va="center")
    figure.text(0.5, 0.9, "under S")
    lines = written(blocks.drawn(pictured(figure, "text"), 60, 24))
    assert any(len(line) == 60 and line.endswith("…") for line in lines)
    assert not any("under" in line for line in lines)


def test_text_along_an_axis_is_written_downwards(figure):
    figure.text(0.9, 0.5, "b=0", rotation=90, va="center")
    lines = written(blocks.drawn(pictured(figure, "text"), 60, 24))
    column = next(line.index("=") for line in lines if "=" in line)
    assert "b=0" in "".join(line[column] if column < len(line) else " " for line in lines)


def test_thin_outlines_are_not_lost_and_none_is_added(figure):
    from matplotlib.collections import LineCollection

    for points, colour, y in ((0.5, "red", 0.75), (0, "blue", 0.25)):
        figure.axes[0].add_collection(LineCollection([[(0, y), (1, y)]], colors=colour, linewidths=points))
    drawn = [cell for line in cells(blocks.drawn(pictured(figure, "lines"), 60, 24)) for cell in line if cell[0] == "▀"]
    assert max(max(cell[1][0], cell[2][0]) for cell in drawn) > 40
    assert max(max(cell[1][2], cell[2][2]) for cell in drawn) == 0


def test_thin_lines_are_not_lost(figure):
    drawn = cells(blocks.drawn(pictured(figure, "a line"), 60, 24))
    assert max(max(cell[1][1], cell[2][1]) for cell in drawn[4] + drawn[5] if cell[0] == "▀") > 40


def test_the_figure_is_left_as_it_was(figure):
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    before = pictured(figure, "text").png
    state = [(text, text.get_path_effects()) for text in figure.findobj(Text)]
    blocks.drawn(pictured(figure, "text"), 60, 24)
    assert [(text, text.get_path_effects()) for text in figure.findobj(Text)] == state
    assert 0.8 in [line.get_linewidth() for line in figure.findobj(Line2D)]
    assert pictured(figure, "text").png == before


def test_text_is_seen_on_any_background(figure):
    figure.set_facecolor("white")
    figure.axes[0].set_facecolor("white")
    drawn = cells(blocks.drawn(pictured(figure, "text"), 60, 24))
    shown = [cell for line in drawn for cell in line if cell[0] == "S"]
    assert [(cell[1].red, cell[2].red > 200) for cell in shown] == [(0, True)]


def test_a_terminal_with_256_colours_gets_no_others(monkeypatch):
    monkeypatch.delenv("COLORTERM")
    monkeypatch.setenv("NO_COLOR", "1")  # that is about text: a picture has to have them
    drawn = blocks.drawn(Picture.of(np.full((4, 4, 3), 200, np.uint8), "grey"), 60, 24)
    assert "38;5;" in drawn and "38;2;" not in drawn


def test_a_long_name_keeps_its_end(figure):
    figure.axes[0].texts[1].set_text(f"sub-01_{'acq-multiband_' * 9}dwi.nii.gz")
    (line,) = [one for one in written(blocks.drawn(pictured(figure, ""), 60, 20)) if "sub" in one]
    assert line.startswith("sub-01_") and line.endswith("_dwi.nii.gz") and "…" in line and len(line) == 60
