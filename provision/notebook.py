"""Whether this is a notebook, and showing something in one that changes while a cell runs."""

from __future__ import annotations

import sys
from typing import Any, TextIO

# What stays in the cell that is running when its runs have ended: the text, and what can take it away.
_left: dict[str, Output] = {}
_left_by_cell = 0


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook.

    Returns
    -------
    bool
        True in Jupyter and Google Colab, False in a terminal, IPython's included.

    Examples
    --------
    >>> in_notebook()
    False
    """
    return getattr(_shell(), "kernel", None) is not None


def stream() -> TextIO:
    """Return where words for a person go, that are no result: standard error, which a notebook would show in red.

    Returns
    -------
    file object
        Standard output in a notebook, standard error elsewhere, where standard output may be another program's input.

    Examples
    --------
    >>> print("Downloading", file=stream(), flush=True)
    """
    return sys.stdout if in_notebook() else sys.stderr


def table(caption: str, rows: str, head: str = "") -> str:
    """Return a table for a page; its caption begins where the rows do, and not above their middle.

    Parameters
    ----------
    caption, rows, head : str
        HTML: what stands above the rows, the rows, and a row of names.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> table("1 run", "<tr><td>sshd</td></tr>")
    "<table><caption style='text-align:left'>1 run</caption><tbody><tr><td>sshd</td></tr></tbody></table>"
    """
    return f"<table><caption style='text-align:left'>{caption}</caption>{head}<tbody>{rows}</tbody></table>"


def row(head: str, *cells: str) -> str:
    """Return a row of such a table.

    Parameters
    ----------
    head, *cells : str
        HTML: whose row it is, and what it has to tell.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> row("sshd", "ready")
    "<tr><th>sshd</th><td style='text-align:left'>ready</td></tr>"
    """
    told = "".join(f"<td style='text-align:left'>{cell}</td>" for cell in cells)
    return f"<tr><th>{head}</th>{told}</tr>"


class Output:
    """Something shown below a cell, by an identity that lets it be shown anew in its place.

    Every thread may show it, but only while the cell runs: what runs a notebook without a browser listens no longer.

    Examples
    --------
    >>> output = Output()  # doctest: +SKIP
    >>> output.show("<b>almost</b> done", "almost done")  # doctest: +SKIP
    """

    def __init__(self):
        self._handle: Any = None

    def show(self, html: str, text: str) -> None:
        """Show this, in the place of what was shown before.

        Parameters
        ----------
        html : str
            For pages.
        text : str
            The same for what shows no HTML.
        """
        from IPython.display import display

        bundle = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def leave(text: str, output: Output) -> None:
    """Note that an output of the cell that is running ends with this text, for `take_back`.

    Parameters
    ----------
    text : str
        What it says.
    output : Output
        What shows it.
    """
    global _left_by_cell
    if _left_by_cell != _cell():
        _left.clear()
        _left_by_cell = _cell()
    _left[text] = output


def take_back(text: str) -> None:
    """Take away what an output of the cell that is running says, because the same is about to be shown better.

    Parameters
    ----------
    text : str
        What it says. An output of another cell stays, and so does one that says something else.
    """
    output = _left.pop(text, None) if _left_by_cell == _cell() else None
    if output:
        output.show("", "")


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _cell() -> int:
    """Return the number of the cell that is running."""
    return getattr(_shell(), "execution_count", 0)
