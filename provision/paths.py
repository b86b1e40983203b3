"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from provision.errors import OptionError


def absolute(path: str | os.PathLike) -> Path:
    """Return a path from the root, where it was written from the home or from the working folder; links in it stay."""
    if not os.fspath(path):
        raise OptionError("An empty path was given.", hint="Write . for the current folder.", code="bad-value")
    try:
        expanded = Path(path).expanduser()
    except RuntimeError as error:  # "~somebody"
        raise OptionError(
            f"There is no home folder for {path}.", hint="Write the whole path.", code="no-folder"
        ) from error
    return expanded if expanded.is_absolute() else Path(working_folder(), expanded)


def nearest(path: str | os.PathLike) -> Path:
    """Return a path, or the nearest folder above it that exists."""
    return next(place for place in (Path(path), *Path(path).parents) if place.exists())


def working_folder() -> str:
    """Return the working folder; refuse one that is gone, which Ansible, numpy and dipy stumble over."""
    try:
        return str(Path.cwd())
    except FileNotFoundError as error:
        raise OptionError(
            "The working folder is gone: it was deleted, or its drive is no longer mounted.",
            hint="Change to an existing folder: cd, or in a notebook %cd /content.",
            code="no-working-folder",
        ) from error
