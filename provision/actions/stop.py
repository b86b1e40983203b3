"""Close the tunnels and stop the SSH server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from provision.actions import shared
from provision.actions.result import Result
from provision.actions.run import run
from provision.actions.status import status
from provision.engine import catalog, launch, lock

# Tunnels go first, so that none is left leading nowhere.
_WAVES = ("tunnel", "server")


@shared.for_people()
def stop(
    on: shared.On | None = None,
    *,
    limit: str | None = None,
    forks: int | None = None,
    progress: Callable | None = None,
    wait: float = lock.SECONDS,
) -> Result:
    """Close the tunnels, then stop the SSH server.

    Sessions through a tunnel end with it. Programs started in them keep running, and nothing is uninstalled.

    Parameters
    ----------
    on, limit, forks
        As for `run`.
    progress : callable, optional
        As for `run`.
    wait : float
        As for `run`.

    Returns
    -------
    Result
        What was stopped; ``result.changed`` is 0 if nothing was running.

    Raises
    ------
    OptionError
        If the inventory does not exist.
    ProvisionError
        If something could not be stopped.

    Examples
    --------
    >>> stop()  # doctest: +SKIP
    sshd stopped in 0.9 s - 1 change
    """
    inventory = shared.checked_inventory(on, limit, forks)
    lock.checked(wait)
    with shared.display(progress) as (on_step, end), shared.alone("provision stop", wait, inventory, on_step=on_step):
        waves = [[name for name, role in catalog.roles().items() if role.lets_in == kind] for kind in _WAVES]
        if on is None:
            known = status()["hosts"]["localhost"]
            waves = [[role for role in wave if known.get(role, {}).get("state") == "started"] for wave in waves]
        states: list[dict[str, Any]] = [{f"{role}_state": "stopped" for role in wave} for wave in waves]
        asked = [(wave, options) for wave, options in zip(waves, states, strict=True) if wave]
        if not asked:  # no run will do it
            launch.clear_up(launch.temporary_folder())
        results = [run(*wave, on=inventory, progress=on_step, **options) for wave, options in asked]
        return end(_joined(results, here=on is None))


def _joined(results: list[Result], here: bool) -> Result:
    """Combine several results into one."""
    hosts: dict[str, Any] = {}
    for result in results:
        for host, reports in result.to_dict()["hosts"].items():
            hosts.setdefault(host, {}).update(reports)
    seconds = round(sum(result.seconds for result in results), 1)
    notes = tuple(dict.fromkeys(note for result in results for note in result.notes))
    return Result(sum(result.changed for result in results), seconds, hosts, here=here, notes=notes)
