"""Tables: rows as data, shown as text in a terminal or a pipe and as HTML on a page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from provision.words import printable, wrapped

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
        The text. Control characters become spaces, and markup is not interpreted.
    style : {"", "name", "number", "good", "warn", "bad", "dim"}
        The subject of the row, a right-aligned number, a verdict, or something less important.
    fields : mapping of str to str
        Further fields that a page shows behind a click.
    """

    text: str = ""
    style: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.text = printable(self.text)


@dataclass(frozen=True)
class Table:
    """A table, and lines below it.

    Parameters
    ----------
    rows : sequence of sequences of Cell
        All of one length.
    lines : sequence of str
        The lines below the rows; on a page, the caption.
    head : sequence of Cell
        The names of the columns, if they need any.

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
        """Return one line for each row; several if standard output is a terminal that is too narrow.

        Parameters
        ----------
        colours : bool
            Whether to show styles in colour.

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
            A ``<table>`` with the lines as its caption; without rows, only the lines.
        """
        caption = "<br>".join(map(escaped, self.lines))
        if not self.rows:
            return f"<div>{caption}</div>"
        head = f"<thead>{_row_html(self.head, 'th')}</thead>" if self.head else ""
        rows = "".join(map(_row_html, self.rows))
        return f"<table><caption style='text-align:left'>{caption}</caption>{head}<tbody>{rows}</tbody></table>"


class Tabular:
    """Something that is shown as a table, in print and as the value of a notebook cell."""

    def table(self) -> Table:
        """Return the table."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        return self.table().html()


def escaped(text: str) -> str:
    """Return text for a page, without markup or control characters."""
    return escape(printable(text))


def span(text: str, style: str) -> str:
    """Return text for a page, in the style of a `Cell`."""
    return f"<span style='{_CSS[style]}'>{escaped(text)}</span>"


def _width(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    if text.isascii():
        return len(text)
    # Only this part of rich: its tables would make every command 80 ms slower.
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
        broken = wrapped(last.text, room - indent)
        parts = ["", *broken] if below else broken
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
