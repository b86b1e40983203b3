"""What is installed on a machine, running and stored: read-only, and able to run from what the probe sends."""

from __future__ import annotations

import os

from . import alive, lock, look, notes, places
from .look import deps
from .store.errors import ITS_OWN, StoreError
from .store.names import archives
from .tool.prefix import RECEIPT


def status(roles):
    """Return the reports of the ``roles``, what is in the ``store``, and who holds the ``lock``, if anybody does."""
    found = {}
    for name in roles:
        report = notes.read_state(name).get("report")
        if report:
            found[name] = {**report, **look.now(name, report), **measured(name, report)}
    installed = packages()
    if installed:
        found = {"deps": {"packages": installed}, **found}
    changing = lock.holder()
    return {"roles": found, "store": stored(), **({} if changing is None else {"lock": changing})}


def packages():
    """Return the distribution packages that were installed for roles and are removed with them, sorted."""
    note = deps.noted()[0]
    return sorted({name for names in note["installed"].values() for name in names})


def measured(role, report):
    """Return the ``size`` of a prefix of the role's own, and ``pid`` and ``since`` of its running process."""
    found = {}
    prefix = report.get("prefix", "")
    # The distribution's package is in /usr, with all else.
    if prefix and os.path.exists(os.path.join(prefix, RECEIPT)):
        found["size"] = size_of(prefix)
    pid = alive.running(os.path.join(places.state_folder(), role, f"{role}.pid"))
    if pid:
        start = alive.process(pid).get("start")
        found.update({} if start is None else {"pid": pid, "since": _started(start)})
    return found


def size_of(folder):
    """Return how many bytes a folder takes on disk, 0 if it does not exist."""
    paths = (os.path.join(place, name) for place, _folders, names in os.walk(folder) for name in names)
    return sum(_noted(path, os.lstat, "st_blocks") * 512 for path in paths)


def _noted(path, look_at, name):
    """Return a number of a file's status, 0 if it is gone by now or is a link that leads nowhere."""
    try:
        return getattr(look_at(path), name)
    except OSError as error:
        if error.errno not in ITS_OWN:
            raise
        return 0


def _started(ticks):
    """Return when a process started, in seconds since 1970; the kernel counts ticks since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        boot = next(int(line.split()[1]) for line in file if line.startswith("btime "))
    return boot + ticks // os.sysconf("SC_CLK_TCK")


def stored(folder=None):
    """Return the ``folder`` of a store (default: that of runs), its ``builds``, their ``size``, and any ``problem``."""
    folder = folder or places.default_store()
    try:
        sizes = [_noted(path, os.stat, "st_size") for path in archives(folder)]
    except (OSError, StoreError) as error:
        why = getattr(error.__cause__ or error, "strerror", None) or str(error)
        return {"folder": folder, "builds": 0, "size": 0, "problem": f"cannot be read: {why.lower()}"}
    return {"folder": folder, "builds": len(sizes), "size": sum(sizes)}
