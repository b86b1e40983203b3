"""Tables: their rows as data, and from these the text for a terminal or a pipe and the HTML for a page."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from provision.words import printable

# How a terminal and a page show a style; the colours are legible on light and dark pages.
_ANSI = {"good": "32", "warn": "33", "bad": "31", "dim": "2"}
_CSS = {
    "good": "color:#2e9e5b", "warn": "color:#b7791f", "bad": "color:#d9534f", "dim": "opacity:.7",
    "number": "text-align:right",
}  # fmt: skip

# The last cell of a row that is too long for a terminal is wrapped in its column, or below the row if that is narrower.
_NARROWEST = 30


@dataclass
class Cell:
    """A cell of a `Table`.

    Parameters
    ----------
    text : str
        What it says. Control characters become spaces, and nothing in it is markup.
    style : {"", "name", "number", "good", "warn", "bad", "dim"}
        What the row is about, a number aligned to the right, a verdict, or something of less importance.
    fields : mapping of str to str
        More that a page shows behind a click.
    """

    text: str = ""
    style: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.text = printable(self.text)


@dataclass(frozen=True)
class Table:
    """A table, and lines about all of it.

    Parameters
    ----------
    rows : sequence of sequences of Cell
        All of one length.
    lines : sequence of str
        They follow below the rows, or are their caption on a page.
    head : sequence of Cell
        The names of the columns, where they need any.

    Examples
    --------
    >>> cpu = (Cell("cpu", "name"), Cell("2", "number"), Cell("cores"))
    >>> memory = (Cell("memory", "name"), Cell("16", "number"), Cell("GB"))
    >>> print(Table([cpu, memory], ["All is well."]).text())
    cpu      2  cores
    memory  16  GB
    All is well.
    """

    rows: Sequence[Sequence[Cell]] = ()
    lines: Sequence[str] = ()
    head: Sequence[Cell] = ()

    def text(self, colours: bool = False) -> str:
        """Return one line for each row; only where standard output is a terminal that is too narrow, several.

        Parameters
        ----------
        colours : bool
            Whether to show styles in colours.

        Returns
        -------
        str
            The rows, then the lines.
        """
        rows = [self.head, *self.rows] if self.head and self.rows else self.rows
        widths = [max(_width(cell.text) for cell in column) for column in zip(*rows, strict=True)]
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
        return "\n".join([*(_row_text(row, widths, room, colours) for row in rows), *map(printable, self.lines)])

    def html(self) -> str:
        """Return the table as HTML.

        Returns
        -------
        str
            A ``<table>`` with the lines as its caption; without rows, the lines alone.
        """
        caption = "<br>".join(map(escaped, self.lines))
        if not self.rows:
            return f"<div>{caption}</div>"
        head = f"<thead>{_row_html(self.head, 'th')}</thead>" if self.head else ""
        rows = "".join(map(_row_html, self.rows))
        return f"<table><caption style='text-align:left'>{caption}</caption>{head}<tbody>{rows}</tbody></table>"


class Tabular:
    """What is shown as a table wherever it is printed or ends the cell of a notebook."""

    def table(self) -> Table:
        """Return what is shown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        return self.table().html()


def escaped(text: str) -> str:
    """Return text for a page, where it can neither be markup nor move a cursor."""
    return escape(printable(text))


def span(text: str, style: str) -> str:
    """Return text for a page in the style of a `Cell`."""
    return f"<span style='{_CSS[style]}'>{escaped(text)}</span>"


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    # Of rich only this: its tables would make every command 80 ms slower.
    from rich.cells import cell_len

    return cell_len(text)


def _row_text(row: Sequence[Cell], widths: Sequence[int], room: int, colours: bool) -> str:
    *first, last = row
    begin = ""
    for cell, width in zip(first, widths, strict=False):
        text, spaces = _coloured(cell.text, cell.style, colours), " " * (width - _width(cell.text))
        begin += (spaces + text if cell.style == "number" else text + spaces) + "  "
    indent, parts = sum(widths[:-1]) + 2 * len(first), [last.text]
    if indent + _width(last.text) > room:
        below = room - indent < _NARROWEST
        indent = 4 if below else indent
        # A path that is too long stays whole, so that it can be copied.
        wrapped = textwrap.wrap(last.text, room - indent, break_long_words=False, break_on_hyphens=False)
        parts = ["", *wrapped] if below else wrapped
    begins = [begin, *[" " * indent] * (len(parts) - 1)]
    lines = [start + _coloured(part, last.style, colours) for start, part in zip(begins, parts, strict=True)]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _coloured(text: str, style: str, colours: bool) -> str:
    return f"\x1b[{_ANSI[style]}m{text}\x1b[0m" if colours and text and style in _ANSI else text


def _row_html(row: Sequence[Cell], tag: str = "td") -> str:
    return f"<tr>{''.join(_cell_html(cell, 'th' if cell.style == 'name' else tag) for cell in row)}</tr>"


def _cell_html(cell: Cell, tag: str) -> str:
    text = escape(cell.text)
    if cell.fields:
        fields = "<br>".join(f"{escaped(name)} <b>{escaped(value)}</b>" for name, value in cell.fields.items())
        text = f"<details><summary>{text or 'details'}</summary>{fields}</details>"
    return f"<{tag} style='text-align:left;{_CSS.get(cell.style, '')}'>{text}</{tag}>"
