"""Output below a notebook cell that changes while the cell runs."""

from __future__ import annotations

from typing import Any

from provision import notebook

# What stays in the cell that is running when its runs have ended: the text, and what can take it away.
_left: dict[str, Output] = {}
_left_by_cell = 0


class Output:
    """An output below a cell that can be updated in place.

    Any thread may update it, but only while the cell runs: programs that run notebooks without a browser ignore later
    updates.

    Examples
    --------
    >>> output = Output()  # doctest: +SKIP
    >>> output.show("<b>almost</b> done", "almost done")  # doctest: +SKIP
    """

    def __init__(self):
        self._handle: Any = None

    def show(self, html: str, text: str) -> None:
        """Show this instead of what was shown before.

        Parameters
        ----------
        html : str
            For pages.
        text : str
            The same as plain text.
        """
        from IPython.display import display

        bundle = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def leave(text: str, output: Output) -> None:
    """Remember that an output of the running cell ends with this text, for `take_back`.

    Parameters
    ----------
    text : str
        The text.
    output : Output
        The output that shows it.
    """
    global _left_by_cell
    if _left_by_cell != _cell():
        _left.clear()
        _left_by_cell = _cell()
    _left[text] = output


def take_back(text: str) -> None:
    """Clear the output of the running cell that ends with this text, because a better view of it follows.

    Parameters
    ----------
    text : str
        The text. Outputs of other cells, and those with another text, stay.
    """
    output = _left.pop(text, None) if _left_by_cell == _cell() else None
    if output:
        output.show("", "")


def _cell() -> int:
    """Return the number of the running cell."""
    return getattr(notebook.shell(), "execution_count", 0)
