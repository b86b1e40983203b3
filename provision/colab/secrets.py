"""Google Colab's secrets."""

from __future__ import annotations

import importlib

from provision import notebook


def secret(name: str) -> tuple[str, str]:
    """Return a Colab secret, and a sentence if it cannot be read; both may be empty."""
    try:
        userdata = importlib.import_module("google.colab.userdata")
    except ImportError:
        return "", ""
    if not notebook.in_notebook():  # the page answers its kernel alone
        return "", "Colab secrets can be read only by provision.run in a cell, not from a ! line or a terminal."
    try:
        return userdata.get(name) or "", ""
    except userdata.SecretNotFoundError:
        return "", ""
    except userdata.NotebookAccessError:
        return (
            "",
            f"The Colab secret {name} exists, but this notebook has no access to it; see the key icon on the left.",
        )
    except Exception as error:  # a time-out, or another error of the page: a prompt is left
        return "", f"The Colab secret {name} could not be read ({type(error).__name__})."
