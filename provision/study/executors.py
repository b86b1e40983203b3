"""Where steps are run: this machine, the hosts of an inventory over SSH, or the workers of a Dask scheduler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from provision.engine import inventory
from provision.errors import OptionError
from provision.study.pool import Host, Pool, by_ssh, this_machine

LOCAL = "local"
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss|inproc)://.+")


def check(executor: str) -> None:
    """Refuse what is not a place where steps can be run."""
    if executor == LOCAL or _ADDRESS.fullmatch(executor):
        return
    try:
        inventory.given(executor)
    except OptionError as error:
        if error.code == "no-file":
            error.hint += " Other places: local, or the address of a Dask scheduler such as tcp://head:8786."
        raise


def workers(executor: str, jobs: int | None, nthreads: int | None, memory: int, most: int) -> Any:
    """Return the workers of an executor.

    Parameters
    ----------
    executor : str
        ``"local"``, the path of an inventory, hosts with commas between them, or the address of a Dask scheduler.
    jobs, nthreads : int or None
        How many workers a machine has, and how many threads each of them uses.
    memory : int
        How many bytes of memory may be used on a machine, 0 for what is free.
    most : int
        For how many workers there is work.

    Returns
    -------
    Pool or provision.study.dask_pool.DaskPool
        The workers.
    """
    if _ADDRESS.fullmatch(executor):
        from provision.study.dask_pool import DaskPool

        return DaskPool(executor)
    hosts = [this_machine()] if executor == LOCAL else _hosts(inventory.given(executor))
    for host in hosts:
        host.memory = memory
    return Pool(hosts, jobs, nthreads, most)


def _hosts(named: inventory.Inventory) -> list[Host]:
    found = [_host(name, variables) for name, variables in inventory.hosts(named).items()]
    if not found:
        raise OptionError(f"The inventory {named} has no hosts.", code="bad-inventory")
    return found if any(host.own is None for host in found) else [*found, this_machine(own=True)]


def _host(name: str, variables: Mapping[str, Any]) -> Host:
    """Return a host with the connection that its variables describe."""
    if variables.get("ansible_connection") == "local":
        return this_machine()
    words = inventory.ssh_words(name, variables)
    if words[-1].startswith("-"):
        raise OptionError(f"{words[-1]!r} is not the name of a host.", code="bad-inventory")
    python = str(variables.get("ansible_python_interpreter") or "python3")
    return by_ssh(name, words, "python3" if python.startswith("auto") else python)
