"""Tables: their rows as data, and from these the text for a terminal or a pipe and the HTML for a page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from provision.words import printable

# How a terminal and a page show a style; the colours are legible on light and dark pages.
_ANSI = {"good": "32", "warn": "33", "bad": "31", "dim": "2"}
_CSS = {"good": "color:#2e9e5b", "warn": "color:#b7791f", "bad": "color:#d9534f", "dim": "opacity:.7"}

_GAP = "  "
# The last cell of a row that is too long for a terminal is wrapped in its column, or below the row if that is narrower.
_NARROWEST = 30
_INDENT = 4


@dataclass(frozen=True)
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

    text: str
    style: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table, and lines about all of it.

    Parameters
    ----------
    rows : sequence of sequences of Cell or str
        All of one length.
    lines : sequence of str
        They follow below the rows, or are their caption on a page.
    head : sequence of Cell or str
        The names of the columns, where they need any.

    Examples
    --------
    >>> table = Table([(Cell("cpu", "name"), Cell("2", "number"), "<cores>"), ("memory", "16", "GB")], ["All is well."])
    >>> print(table.text())
    cpu      2  <cores>
    memory  16  GB
    All is well.
    """

    rows: Sequence[Sequence[Cell | str]] = ()
    lines: Sequence[str] = ()
    head: Sequence[Cell | str] = ()

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
        head = [self.head] if self.head and self.rows else []
        rows = [[_cell(cell) for cell in row] for row in (*head, *self.rows)]
        widths = [max(_width(cell.text) for cell in column) for column in zip(*rows, strict=True)]
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
        shown = (line for row in rows for line in _text_lines(row, widths, room, colours))
        return "\n".join([*shown, *map(printable, self.lines)])

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
        head = f"<thead>{_html_row(self.head, 'th')}</thead>" if self.head else ""
        rows = "".join(map(_html_row, self.rows))
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


def _cell(cell: Cell | str) -> Cell:
    """Return a cell whose text cannot steer a terminal."""
    return Cell(printable(cell)) if isinstance(cell, str) else Cell(printable(cell.text), cell.style)


def _text_lines(row: Sequence[Cell], widths: Sequence[int], room: int, colours: bool) -> Iterator[str]:
    """Give the lines of a row, which are several when the last cell has to be wrapped."""

    def coloured(text: str, style: str) -> str:
        return f"\x1b[{_ANSI[style]}m{text}\x1b[0m" if colours and text and style in _ANSI else text

    begin = ""
    for cell, width in zip(row[:-1], widths, strict=False):
        text, spaces = coloured(cell.text, cell.style), " " * (width - _width(cell.text))
        begin += (spaces + text if cell.style == "number" else text + spaces) + _GAP
    indent, last = len(_GAP) * (len(row) - 1) + sum(widths[:-1]), row[-1]
    parts = [last.text]
    if indent + _width(last.text) > room:
        below = room - indent < _NARROWEST
        indent = _INDENT if below else indent
        parts = [""] * below + _wrapped(last.text, room - indent)
    first = (begin + coloured(parts[0], last.style)).rstrip()
    yield from [first] if first else []
    for part in parts[1:]:
        yield " " * indent + coloured(part, last.style)


def _wrapped(text: str, room: int) -> list[str]:
    """Return text as lines of whole words: textwrap knows no wide characters, and a path stays whole to be copied."""
    lines: list[str] = []
    for word in text.split():
        if lines and _width(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _html_row(row: Sequence[Cell | str], tag: str = "td") -> str:
    return f"<tr>{''.join(_html_cell(Cell(cell) if isinstance(cell, str) else cell, tag) for cell in row)}</tr>"


def _html_cell(cell: Cell, tag: str) -> str:
    text = escaped(cell.text)
    if cell.fields:
        fields = "<br>".join(f"{escaped(name)} <b>{escaped(value)}</b>" for name, value in cell.fields.items())
        text = f"<details><summary>{text or 'details'}</summary>{fields}</details>"
    align = f"text-align:{'right' if cell.style == 'number' else 'left'}"
    style = ";".join(filter(None, (align, _CSS.get(cell.style))))
    tag = "th" if cell.style == "name" else tag
    return f"<{tag} style='{style}'>{text}</{tag}>"
