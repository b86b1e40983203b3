"""The packages of the extras, and how to install missing ones."""

from __future__ import annotations

from importlib.util import find_spec

from provision.errors import ProvisionError


def require(extra: str, what: str, *names: str, otherwise: str = "") -> None:
    """Raise an error that names the missing packages of an extra; `what`, a plural, needs them."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ProvisionError(
            f"{what} need Python packages that are not installed: {', '.join(missing)}.",
            hint=f'Install them: pip install "mrtrix-provision[{extra}]"{otherwise}.',
            code="missing-packages",
        )
