"""Showing how far a run is: a live display in a terminal and in a notebook, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from provision.display.notebook import NotebookProgress
from provision.display.output import Output
from provision.display.plain import PlainProgress
from provision.display.tasks import Display
from provision.notebook import in_notebook


def progress(stream: TextIO | None = None) -> Display:
    """Return what shows a run's steps in the way that suits where they go.

    Parameters
    ----------
    stream : file object, optional
        Where to write. When not given, below the cell of a notebook, else standard error.

    Returns
    -------
    provision.display.tasks.Display
        A context manager with ``step(step)`` and ``end(text)``.

    Examples
    --------
    >>> from provision.engine.events import Step
    >>> with progress(sys.stdout) as shown:
    ...     shown.step(Step("task", "mrtrix3", "Unpack"))
    ...     shown.step(Step("done", "mrtrix3", "Unpack", changed=True))
    mrtrix3: Unpack - changed in 0.0 s
    """
    if stream is None and in_notebook():
        return NotebookProgress(Output())
    stream = stream or sys.stderr
    if not _is_live_terminal(stream):
        return PlainProgress(stream)
    # rich is imported where it is needed alone.
    from rich.console import Console

    from provision.display.terminal import TerminalProgress

    return TerminalProgress(Console(file=stream))


def _is_live_terminal(stream: TextIO) -> bool:
    """Return whether lines can be drawn anew there, and with more signs than ASCII has."""
    utf = (stream.encoding or "").lower().startswith("utf")
    return utf and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
