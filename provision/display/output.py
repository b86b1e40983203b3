"""Showing something below the cell of a notebook that changes while the cell runs."""

from __future__ import annotations

from typing import Any

from provision import notebook

# What stays in the cell that is running when its runs have ended: the text, and what can take it away.
_left: dict[str, Output] = {}
_left_by_cell = 0


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


def _cell() -> int:
    """Return the number of the cell that is running."""
    return getattr(notebook.shell(), "execution_count", 0)
