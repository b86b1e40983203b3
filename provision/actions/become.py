"""The sudo password, asked for when it is needed and never stored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TypeVar

from provision.colab import consent
from provision.engine.inventory import Inventory
from provision.errors import Declined, ProvisionError

Done = TypeVar("Done")

PASSWORD = "ansible_become_password"
"""The Ansible variable for it; its value is treated as a secret."""

_ASKED_AT_MOST = 2
_WRONG = "wrong-sudo-password"


def with_password(
    start: Callable[[dict[str, str]], Done], *, ask: bool, inventory: Inventory | None, check: bool
) -> Done:
    """Start a run; if it lacks the sudo password, ask for it and start again.

    Parameters
    ----------
    start : callable
        Starts the run; it gets the variables to add.
    ask : bool
        Whether to ask up front, before it is known that a password is needed.
    inventory : provision.engine.inventory.Inventory or None
        The machines; None for this one.
    check : bool
        Whether this is only a check, which never asks.

    Returns
    -------
    object
        What `start` returned.

    Raises
    ------
    Declined
        If it was to be asked for up front and was not typed; nothing was started.
    ProvisionError
        If the run failed, for example because the password was wrong again.

    Examples
    --------
    >>> with_password(sorted, ask=False, inventory=None, check=False)
    []
    """
    given: dict[str, str] = {}
    asked = 0
    refused: ProvisionError | None = None  # it names all packages, for those whom sudo does not let install any
    if ask:
        given, asked = _asked_for(inventory), 1
        if not given:
            raise Declined("No sudo password was typed.", hint="Run it in a terminal or a notebook, or as root.")
    while True:
        try:
            return start(given)
        except ProvisionError as error:
            kinds = {error.code, *(one.code for one in error.errors.values())}
            lacks = _WRONG in kinds if given else _lacks_password(error)
            if not lacks or check or asked == _ASKED_AT_MOST or not (inventory or shutil.which("sudo")):
                if "not-in-sudoers" in kinds and refused:
                    error.hint = refused.hint
                raise
            refused = refused or error
            asked += 1
            given = _asked_for(inventory, again=_WRONG in kinds)
            if not given:
                raise


def _lacks_password(error: ProvisionError) -> bool:
    """Return whether a run failed because sudo wants a password: in sudo's words, or in those of the role deps."""
    every = (error, *error.errors.values())
    return any(one.code == "sudo-password" or (one.code, one.role) == ("needs-root", "deps") for one in every)


def _asked_for(inventory: Inventory | None, again: bool = False) -> dict[str, str]:
    where = f"on {inventory.where}" if inventory else "on this machine"
    password = consent.typed_unseen(f"{'Wrong password. ' if again else ''}Password for sudo {where}: ")
    return {PASSWORD: password} if password else {}
