"""What a command prints, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a command prints if that differs from what its function returns.

    Attributes
    ----------
    data : mapping of str to object
        What ``--json`` prints.
    text : str
        What is printed without it.
    ok : bool
        Whether the exit code is 0.

    Examples
    --------
    >>> print(Answer({"roles": []}, "There are no roles."))
    There are no roles.
    """

    data: Mapping[str, Any]
    text: str
    ok: bool = True

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(self.data)
