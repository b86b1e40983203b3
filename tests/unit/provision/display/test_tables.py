"""A table is the same rows as text and as HTML, whatever is in them and wherever they go."""

from __future__ import annotations

import sys

import pytest
from rich.cells import cell_len

from provision.display.tables import Cell, Table

from ..page import Page

LONG = "one two three four five six seven eight nine ten eleven twelve"
PATH = "/a/path/that/is/longer/than/any/line/and/that/somebody/copies"


def table(rows, lines=(), head=()):
    """Return a table whose cells may be written as text."""
    return Table([cells(row) for row in rows], lines, cells(head))


def cells(row):
    return [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that has standard output be a terminal of so many columns."""

    def of(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return of


def test_columns_line_up_with_wide_characters_and_numbers_to_the_right():
    rows = [(Cell("メモ🐼", "name"), Cell("16", "number"), "GB"), ("e\u0301té", Cell("2", "number"), "x")]
    lines = table(rows).text().splitlines()
    assert lines == ["メモ🐼  16  GB", "e\u0301té      2  x"]
    assert len({cell_len(line.rpartition("  ")[0]) for line in lines}) == 1


def test_a_row_is_one_line_in_a_pipe_however_narrow_the_terminal_is_said_to_be(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert table([("a", LONG)], [LONG]).text() == f"a  {LONG}\n{LONG}"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_terminal_has_the_last_column_wrapped_between_words_and_nothing_lost(terminal, columns):
    terminal(columns)
    lines = table([("name", LONG), ("b", PATH)]).text().splitlines()
    assert max(map(len, lines[:-1])) <= columns
    assert " ".join(" ".join(lines).split()) == f"name {LONG} b {PATH}"
    assert all(line.startswith(" " * 6) for line in lines[1:-2])


def test_what_has_no_room_beside_a_long_row_is_below_it(terminal):
    terminal(40)
    assert table([("n" * 30, "a reason"), ("m", "a reason of many words, too many for it")]).text().splitlines() == [
        "n" * 30 + "  a reason", "m", "    a reason of many words, too many for", "    it",
    ]  # fmt: skip


def test_a_row_of_empty_cells_before_one_that_is_wrapped_has_no_empty_line(terminal):
    terminal(40)
    assert all(table([("n" * 30, "x"), ("", LONG)]).text().splitlines())


def test_only_who_asks_gets_colours_and_they_move_no_column():
    shown = table([(Cell("ok", "good"), "a"), (Cell("fail", "bad"), Cell("b", "dim"))])
    assert shown.text() == "ok    a\nfail  b"
    coloured = "\x1b[32mok\x1b[0m    a\n\x1b[31mfail\x1b[0m  \x1b[2mb\x1b[0m"
    assert shown.text(colours=True) == coloured


@pytest.mark.parametrize("evil", ["<script>", "'><img src=x>", "a\x1b[31mb\r\nc\u202ed", "[red]x[/red]:tada:"])
def test_nothing_in_a_table_steers_a_terminal_or_is_markup(evil):
    shown = table([(Cell(evil, "name", {evil: evil}), evil)], [evil], [evil, evil])
    text, page = shown.text(colours=True), Page(shown.html())
    assert len(text.splitlines()) == 3 and all(line.isprintable() for line in text.splitlines())
    inert = "".join(letter if letter.isprintable() else " " for letter in evil)
    assert text.count(inert) == 5 and page.text.count(inert) == 7
    known = {"table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "b"}
    assert {name for name, _ in page.elements} <= known
    assert {name for _, attributes in page.elements for name in attributes} == {"style"}


def test_a_page_has_a_caption_and_names_and_fields_behind_a_click():
    shown = table([(Cell("mrtrix3", "name"), Cell("", "dim", {"version": "3.0.8"}))], ["1 role", "a note"])
    assert [name for name, _ in Page(shown.html()).elements] == [
        "table", "caption", "br", "tbody", "tr", "th", "td", "details", "summary", "b",
    ]  # fmt: skip
    assert "3.0.8" in shown.html() and "3.0.8" not in shown.text()


def test_a_table_without_rows_is_its_lines():
    shown = table((), ["Nothing is <installed>."], ["name"])
    assert shown.text() == "Nothing is <installed>."
    assert shown.html() == "<div>Nothing is &lt;installed&gt;.</div>"


def test_each_row_has_as_many_cells():
    with pytest.raises(ValueError):
        table([("a", "b"), ("c",)]).text()
