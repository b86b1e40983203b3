"""Numbers and names as people read them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def format_seconds(seconds: float) -> str:
    """Return a duration for people to read.

    Parameters
    ----------
    seconds : float
        The duration.

    Returns
    -------
    str
        The duration in its two largest units, zeros left out.

    Examples
    --------
    >>> format_seconds(2.13), format_seconds(75), format_seconds(7200)
    ('2.1 s', '1 min 15 s', '2 h')
    """
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    # From an hour on in whole minutes, so that 59.9 min and 1 h do not meet as "60 min".
    whole = round(seconds) if round(seconds) < 3600 else 60 * round(seconds / 60)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def format_bytes(number: float) -> str:
    """Return a size for people to read, in powers of 1000 as disks and networks count.

    Parameters
    ----------
    number : float
        The size in bytes.

    Returns
    -------
    str
        The size with a unit from B to TB.

    Examples
    --------
    >>> format_bytes(512), format_bytes(20_800_000)
    ('512 B', '20.8 MB')
    """
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if round(number, 1) < 1000:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:.1f} TB"


def format_age(seconds: float) -> str:
    """Return how long ago something was, in its largest unit.

    Parameters
    ----------
    seconds : float
        The age; one below zero, of a clock that was wrong, counts as none.

    Returns
    -------
    str
        A whole number and its unit, from s to d.

    Examples
    --------
    >>> format_age(59), format_age(7300), format_age(200_000)
    ('59 s', '2 h', '2 d')
    """
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def printable(line: str) -> str:
    r"""Return a line without what would steer a terminal, or a notebook, which understands the same.

    Parameters
    ----------
    line : str
        What came from a machine.

    Returns
    -------
    str
        The line, with a space for each control character.

    Examples
    --------
    >>> printable("red: \x1b[31m")
    'red:  [31m'
    """
    return "".join(letter if letter.isprintable() else " " for letter in line)


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
