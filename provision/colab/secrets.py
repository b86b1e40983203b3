"""The secrets that a user keeps in Google Colab."""

from __future__ import annotations

import importlib

from provision import notebook


def secret(name: str) -> tuple[str, str]:
    """Return a secret that the user keeps in Colab, and in a sentence why it cannot be read; both may be empty."""
    try:
        userdata = importlib.import_module("google.colab.userdata")
    except ImportError:
        return "", ""
    if not notebook.in_notebook():  # the page answers its kernel alone
        return "", "A Colab secret can be read only in a cell with provision.run, not in a ! line or a terminal."
    try:
        return userdata.get(name) or "", ""
    except userdata.SecretNotFoundError:
        return "", ""
    except userdata.NotebookAccessError:
        return "", f"The Colab secret {name} is there, but this notebook has no access to it (the key on the left)."
    except Exception as error:  # its time-out, and what its page may say besides: a prompt is left
        return "", f"The Colab secret {name} could not be read ({type(error).__name__})."
