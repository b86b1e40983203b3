"""What can go wrong, as one plain sentence and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class ProvisionError(Exception):
    """A run that did not reach its end.

    Parameters
    ----------
    message : str
        One sentence that says what was wrong.
    hint : str, optional
        What to do about it.
    role, task, host : str, optional
        Where it happened; empty when nothing was started.
    log : pathlib.Path, optional
        The file with all that Ansible said; None when nothing was started.

    Examples
    --------
    >>> error = ProvisionError("There is no role 'mrtrix'.", hint="Did you mean 'mrtrix3'?")
    >>> print(error)
    There is no role 'mrtrix'. Did you mean 'mrtrix3'?
    """

    def __init__(
        self, message: str, *, hint: str = "", role: str = "", task: str = "", host: str = "", log: Path | None = None
    ):
        super().__init__(message)
        self.message, self.hint = message, hint
        self.role, self.task, self.host, self.log = role, task, host, log

    def __str__(self) -> str:
        """Return the sentence, and what to do where that is known."""
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: ``{"error": {...}}`` with plain values."""
        names = ("role", "task", "host", "message", "hint")
        fields = {name: getattr(self, name) for name in names}
        return {"error": {**fields, "log": str(self.log) if self.log else None}}


class OptionError(ProvisionError, ValueError):
    """A role or option that does not exist, or a value that is not allowed; nothing was started."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question that offers the nearest name, or nothing when none is near.

    Parameters
    ----------
    name : str
        What was written.
    names : iterable of str
        What could have been meant.

    Returns
    -------
    str
        The question, or an empty string.

    Examples
    --------
    >>> did_you_mean("mrtrix", ["deps", "mrtrix3"])
    "Did you mean 'mrtrix3'?"
    """
    near = difflib.get_close_matches(name.lower(), list(names), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def no_such_file(path: Path, name: str) -> OptionError:
    """Return the error for a file that is not there, which offers the nearest name of its folder.

    Parameters
    ----------
    path : pathlib.Path
        Where it should be.
    name : str
        The path as it is to be shown.

    Returns
    -------
    OptionError
        To be raised.

    Examples
    --------
    >>> print(no_such_file(Path("/nowhere/dwi.nii"), "dwi.nii"))
    There is no file dwi.nii. Check the path.
    """
    names = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    return OptionError(f"There is no file {name}.", hint=did_you_mean(path.name, names) or "Check the path.")
