"""Paths as people type them."""

from __future__ import annotations

import os
from pathlib import Path

from provision.errors import OptionError
from provision.machine.places import is_text


def absolute(path: str | os.PathLike) -> Path:
    """Return an absolute path, expanding ``~`` but no links."""
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"A path must be a string or a pathlib.Path, not {type(path).__name__}.", code="bad-value")
    if not os.fspath(path):
        raise OptionError("The path is empty.", hint="Use . for the current folder.", code="bad-value")
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:  # "~somebody"
        raise OptionError(
            f"There is no home folder for {path}.", hint="Use the full path.", code="no-folder"
        ) from error
    return expanded if expanded.is_absolute() else Path(working_folder(), expanded)


def for_ansible(path: str) -> str:
    """Return a path; refuse one with bytes that are not UTF-8, which Ansible cannot handle."""
    if not is_text(path):
        hint = "Rename it or use another folder."
        raise OptionError(f"The path {path!r} is not UTF-8, which Ansible needs.", hint=hint, code="bad-value")
    return path


def working_folder() -> str:
    """Return the working folder; refuse one that no longer exists, which Ansible, numpy and dipy cannot handle."""
    try:
        return str(Path.cwd())
    except FileNotFoundError as error:
        raise OptionError(
            "The working folder is gone: it was deleted, or its drive is no longer mounted.",
            hint="Change to an existing folder with cd (in a notebook, %cd /content).",
            code="no-working-folder",
        ) from error
