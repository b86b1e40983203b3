"""Whether this is a notebook."""

from __future__ import annotations

import sys


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
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None
