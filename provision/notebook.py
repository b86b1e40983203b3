"""Whether this is a notebook, and where words for a person go."""

from __future__ import annotations

import sys
from typing import Any, TextIO


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
    return getattr(shell(), "kernel", None) is not None


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


def shell() -> Any:
    """Return the IPython that runs this code, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
