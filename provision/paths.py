"""Paths as people write them: from the working folder, which may be gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision.errors import OptionError
from provision.machine import places


def absolute(path: str | os.PathLike) -> Path:
    """Return a path from the root, where it was written from the home or from the working folder.

    Parameters
    ----------
    path : path-like
        The path.

    Returns
    -------
    pathlib.Path
        The whole path; links in it stay.

    Raises
    ------
    OptionError
        When it is empty, begins with a home that there is not, or is relative and the working folder is gone.

    Examples
    --------
    >>> absolute("/data/../data")
    PosixPath('/data/../data')
    """
    if not os.fspath(path):
        raise OptionError("An empty path was given.", hint="Write . for the current folder.")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # "~somebody"
        raise OptionError(f"There is no home folder for {path}.", hint="Write the whole path.") from error
    except FileNotFoundError as error:
        raise OptionError(
            f"{path} leads nowhere, because the working folder {working_folder()} is gone.",
            hint="Change to a folder that is there (cd; in a notebook %cd /content), or write the whole path.",
        ) from error


def home() -> Path:
    """Return the home folder: the one HOME names, unless that is another user's (as after ``sudo -E``).

    Returns
    -------
    pathlib.Path
        It may not exist: a service can have ``/nonexistent``.

    Examples
    --------
    >>> home().is_absolute()
    True
    """
    return Path(places.home())


def working_folder() -> str:
    """Return the folder that relative paths begin at; where it is gone, the path that it had.

    A folder may have been deleted in another terminal, or have been on a drive that is no longer mounted.

    Returns
    -------
    str
        The path.

    Examples
    --------
    >>> working_folder() == str(Path.cwd())
    True
    """
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        # PWD is no help: a process may have gone elsewhere since.
        return str(Path("/proc/self/cwd").readlink()).removesuffix(" (deleted)")


@contextmanager
def somewhere(folder: str | os.PathLike) -> Iterator[None]:
    """Be in a folder as long as the working folder is gone, for programs that cannot do without one.

    Parameters
    ----------
    folder : path-like
        One that is there. Where the working folder is, too, nothing changes.

    Examples
    --------
    >>> with somewhere("/"):
    ...     Path.cwd() == Path("/")
    False
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        here = os.open(".", os.O_PATH)
    else:
        yield
        return
    try:
        os.chdir(folder)
        yield
    finally:
        with suppress(OSError):  # it may have gone for good
            os.fchdir(here)
        os.close(here)
