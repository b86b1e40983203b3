"""Close the tunnels and stop the SSH server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from provision.actions import fleet, shared
from provision.actions.result import Result
from provision.actions.run import run
from provision.actions.status import status
from provision.engine import catalog, launch, lock
from provision.errors import ProvisionError

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
        If something could not be stopped; on the hosts that did not fail, all is.

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
        results, errors = [], []
        for wave, options in asked:
            try:
                results.append(run(*wave, on=inventory, progress=on_step, **options))
            except ProvisionError as error:
                if inventory is None or not error.errors:
                    raise
                errors.append(error)
                inventory = replace(inventory, only=tuple(host for host in error.per_host if host not in error.errors))
                if not inventory.only:
                    break
        if errors:
            raise _joined_error([*results, *errors], errors)
        return end(_joined(results, here=on is None))


def _joined(results: list[Result], here: bool) -> Result:
    """Combine several results into one."""
    seconds = round(sum(result.seconds for result in results), 1)
    notes = tuple(dict.fromkeys(note for result in results for note in result.notes))
    hosts, per_host = _of_hosts(results)
    return Result(sum(result.changed for result in results), seconds, hosts, here=here, notes=notes, per_host=per_host)


def _joined_error(waves: Sequence[Result | ProvisionError], errors: Sequence[ProvisionError]) -> ProvisionError:
    """Combine the errors of several runs into one that has what was done as well."""
    first = errors[0]
    first.hosts, first.per_host = _of_hosts(waves)
    first.errors = {host: one for error in errors for host, one in error.errors.items()}
    several = len(first.per_host) > 1
    first.table = fleet.table(first.hosts, first.per_host, first.errors).text().splitlines() if several else []
    return first


def _of_hosts(waves: Sequence[Result | ProvisionError]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the roles reported in all waves, and what became of each host."""
    hosts: dict[str, Any] = {}
    per_host: dict[str, Any] = {}
    for wave in (one.to_dict() for one in waves):
        for host, reports in wave["hosts"].items():
            hosts.setdefault(host, {}).update(reports)
        for host, one in wave.get("per_host", {}).items():
            before = per_host.setdefault(host, {"changed": 0, "seconds": 0.0, "failed": False})
            per_host[host] = {
                "changed": before["changed"] + one["changed"],
                "seconds": round(before["seconds"] + one["seconds"], 1),
                "failed": before["failed"] or one["failed"],
            }
    return hosts, per_host
