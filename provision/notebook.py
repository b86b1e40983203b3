"""Whether this is a notebook, and where words for a person go."""

from __future__ import annotations

import sys
from typing import Any, TextIO


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook, Jupyter or Google Colab; IPython in a terminal is not."""
    return getattr(shell(), "kernel", None) is not None


def stream() -> TextIO:
    """Return where words for a person go: standard error, which a notebook shows in red, so there standard output."""
    return sys.stdout if in_notebook() else sys.stderr


def shell() -> Any:
    """Return the IPython that runs this code, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
