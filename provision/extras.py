"""The packages that come with an extra, and how to get one that is missing."""

from __future__ import annotations

from importlib.util import find_spec

from provision.errors import ProvisionError


def require(extra: str, what: str, *names: str, otherwise: str = "") -> None:
    """Return when some packages are installed.

    Parameters
    ----------
    extra : str
        The extra of this package that brings them.
    what : str
        What needs them, as the subject of a sentence in the plural.
    *names : str
        How they are imported.
    otherwise : str
        What else can be done, as the end of a sentence.

    Raises
    ------
    ProvisionError
        With the names of those that are missing.

    Examples
    --------
    >>> require("view", "Arguments", "argparse")
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ProvisionError(
            f"{what} need Python packages that are not installed: {', '.join(missing)}.",
            hint=f'Install them: pip install "mrtrix-provision[{extra}]"{otherwise}.',
        )
