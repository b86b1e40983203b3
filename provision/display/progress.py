"""The progress of a run: a live display in a terminal or a notebook, plain lines anywhere else."""

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
    """Return the progress display that suits the place where it is shown.

    Parameters
    ----------
    stream : file object, optional
        Where to write (default: below the cell of a notebook, else standard error).

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
    # rich is imported only where it is needed.
    from rich.console import Console

    from provision.display.terminal import TerminalProgress

    return TerminalProgress(Console(file=stream))


def _is_live_terminal(stream: TextIO) -> bool:
    """Return whether lines can be redrawn there, and contain characters other than ASCII."""
    utf = (stream.encoding or "").lower().startswith("utf")
    return utf and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
