"""Whether this is a notebook, and where messages for people go."""

from __future__ import annotations

import sys
from typing import Any, TextIO


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook, in Jupyter or Google Colab; IPython in a terminal is not."""
    return getattr(shell(), "kernel", None) is not None


def stream() -> TextIO:
    """Return the stream for messages: standard error, or in a notebook, which shows that in red, standard output."""
    return sys.stdout if in_notebook() else sys.stderr


def shell() -> Any:
    """Return the IPython shell that runs this code, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
