"""Let nobody in any more."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from provision.actions import shared
from provision.actions.result import Result
from provision.actions.run import run
from provision.actions.status import status
from provision.engine import catalog, launch, lock

# What leads to the server goes first, so that nobody finds a way to nowhere.
_WAVES = ("tunnel", "server")


@shared.for_people()
def stop(
    on: str | os.PathLike | None = None, *, progress: Callable | None = None, wait: float = lock.SECONDS
) -> Result:
    """Let nobody in any more: close the tunnels, then stop the SSH server.

    Sessions through a tunnel end with it; what they have started goes on, and all that was installed stays.

    Parameters
    ----------
    on : path-like, optional
        An Ansible inventory. Without one, this machine.
    progress : callable, optional
        As for :func:`run`.
    wait : float
        As for :func:`run`.

    Returns
    -------
    Result
        What was stopped: ``result.changed`` is 0 when nothing ran.

    Raises
    ------
    OptionError
        When there is no such inventory.
    ProvisionError
        When something could not be stopped.

    Examples
    --------
    >>> stop()  # doctest: +SKIP
    sshd stopped in 0.9 s - 1 change
    """
    inventory = shared.checked_inventory(on)
    lock.checked(wait)
    with shared.display(progress) as (on_step, end), shared.alone("provision stop", wait, inventory, on_step=on_step):
        waves = [[name for name, role in catalog.roles().items() if role.lets_in == kind] for kind in _WAVES]
        if on is None:
            known = status()["hosts"]["localhost"]
            waves = [[role for role in wave if known.get(role, {}).get("state") == "started"] for wave in waves]
        states: list[dict[str, Any]] = [{f"{role}_state": "stopped" for role in wave} for wave in waves]
        asked = [(wave, options) for wave, options in zip(waves, states, strict=True) if wave]
        if not asked:  # there is no run that would do it
            launch.clear_up(launch.temporary_folder())
        results = [run(*wave, on=on, progress=on_step, **options) for wave, options in asked]
        return end(_joined(results, here=on is None))


def _joined(results: list[Result], here: bool) -> Result:
    """Return several runs as one."""
    hosts: dict[str, Any] = {}
    for result in results:
        for host, reports in result.to_dict()["hosts"].items():
            hosts.setdefault(host, {}).update(reports)
    seconds = round(sum(result.seconds for result in results), 1)
    notes = tuple(dict.fromkeys(note for result in results for note in result.notes))
    return Result(sum(result.changed for result in results), seconds, hosts, here=here, notes=notes)
