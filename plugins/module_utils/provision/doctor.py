"""Checks whether a machine has what the roles need: read-only, and able to run from what the probe sends.

Each returns (verdict, what was found, advice): the verdict is ``ok``, ``warn`` or ``fail``.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import sys
import tempfile
import time

from . import apt, commands, cpu, network, places, reading, system
from .amounts import format_bytes
from .disk import nearest
from .look import deps
from .status import status

TESTED = {
    "ubuntu-22.04": "Ubuntu 22.04", "ubuntu-24.04": "Ubuntu 24.04", "debian-12": "Debian 12", "debian-13": "Debian 13",
}  # fmt: skip
"""The systems that the roles are tested on, by their names in os-release(5), and as people call them."""

_APT_LOCK = "/var/lib/dpkg/lock-frontend"  # what apt locks while it works
_OFTEN_SHORT, _TOO_SHORT = 2_000_000_000, 300_000_000  # a tree that is built, and all commands when they are done
_SMALL = 100_000_000  # a few builds as archives; what Ansible writes
_COMPILER = 3_600_000_000  # what the largest files of MRtrix3 take to compile, as the role mrtrix3 reckons


def doctor(roles):
    """Return the findings of all checks by name, what ``status`` says of the roles, and how many seconds that took."""
    begin = time.monotonic()
    asked = network.ask(roles)
    checks = {name: _found(check) for name, check in CHECKS.items()}
    found = {"checks": {**checks, **network.found(asked, begin + network.SECONDS)}, **status(roles)}
    return {**found, "seconds": round(time.monotonic() - begin, 1)}


def _found(check):
    try:
        return check()
    except Exception as error:  # one odd thing must not keep the other checks from being shown
        return _warn(f"could not be checked: {type(error).__name__}: {error}", "Check it by hand.")


def _ok(found):
    return "ok", found, ""


def _warn(found, advice):
    return "warn", found, advice


def _fail(found, advice):
    return "fail", found, advice


def check_system():
    """Check whether the roles are tested on this system."""
    release = system.os_release()
    name = release.get("PRETTY_NAME") or platform.system()
    tested = ", ".join(TESTED.values())
    if not release:
        return _fail(name, f"The roles need Linux; they are tested on {tested}.")
    if f"{release.get('ID')}-{release.get('VERSION_ID')}" in TESTED:
        return _ok(f"{name}, {platform.machine()}")
    return _warn(
        f"{name}, {platform.machine()}, not tested",
        f"Package names are known only for {tested}; elsewhere, install a build from a store or an archive.",
    )


def check_python():
    """Name the Python that runs this: one that is too old runs nothing."""
    return _ok(f"Python {platform.python_version()}, {sys.executable}")


def check_apt():
    """Check whether packages could be installed now."""
    if not (shutil.which("dpkg") and shutil.which("apt-get")):
        return _warn("not installed", "Packages cannot be installed, only builds from a store or an archive.")
    holder = _lock_holder(_APT_LOCK)
    if holder:
        return _warn(f"in use by {holder}", "A run waits up to five minutes for it.")
    if deps.dpkg_was_interrupted():
        return _warn("dpkg was interrupted", "The next run that installs packages will finish its work.")
    # What apt-get stops at before all else. It fetches nothing so, and takes no lock, which only root could.
    asked = ["apt-get", "update", "--print-uris", "-qq", "-o", "Debug::NoLocking=true"]
    code, _out, said = commands.run(asked)
    if code:
        error = apt.explained("read its sources", said)
        return _fail(error.message.rstrip("."), error.hint)
    unmet = deps.unmet_dependencies()
    if unmet:
        name, needed = unmet[0]
        return _fail(f"{name} needs {needed}, which is not installed", "Repair it: apt-get --fix-broken install.")
    audit = commands.run(["dpkg", "--audit"])[1].strip()
    if audit:
        names = re.findall(r"^ (\S+)", audit, re.M)
        return _warn(
            f"partly installed: {', '.join(names[:5]) or audit.splitlines()[0]}",
            "The next run that installs packages tries to finish this; see dpkg --audit.",
        )
    return _ok("ready")


def _lock_holder(path):
    """Return who holds a lock of fcntl(2); an empty string if nobody does, or only root could see it."""
    import fcntl

    # struct flock: type, whence, start, length, process. F_GETLK takes no lock.
    question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with open(path, "rb") as file:
            kind, *_rest, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, question))
    except OSError:
        return ""
    if kind == fcntl.F_UNLCK:
        return ""
    name = reading.read_text(f"/proc/{pid}/comm").strip()
    return f"{name} (process {pid})" if name else "another program"


def check_rights():
    """Check whether this user may install packages."""
    if os.getuid() == 0:
        return _ok("root")
    if system.sudo_works():
        return _ok("sudo works without a password")
    if shutil.which("sudo"):
        return _warn("sudo asks for a password", "A run asks for it if packages have to be installed.")
    return _warn("an ordinary user, without sudo", "Builds from a store can be installed; packages need root.")


def check_space():
    """Check whether there is room where the roles write."""
    needed = _places()
    free = {place: shutil.disk_usage(nearest(os.path.realpath(place))).free for place in needed}
    full = [place for place, (_little, too_little) in needed.items() if free[place] < too_little]
    short = [place for place, (little, _too_little) in needed.items() if free[place] < little]
    found = f"free: {', '.join(f'{format_bytes(room)} in {place}' for place, room in free.items())}"
    if full:
        return _fail(found, f"Free some space in {', '.join(full)}: MRtrix3 takes 90 MB, its archive 20 MB.")
    if short:
        return _warn(found, f"Building from source takes up to 2 GB, which may not fit in {', '.join(short)}.")
    return _ok(found)


def _places():
    """Return where the roles write, each file system once."""
    machine = system.look_at_machine()
    asked = {
        places.default_prefix("auto", "", machine, "mrtrix3"): (_TOO_SHORT, _SMALL),
        places.cache_folder(): (_OFTEN_SHORT, _TOO_SHORT),
        machine["store"]: (_SMALL, _SMALL // 5),
        tempfile.gettempdir(): (_SMALL, _SMALL // 10),
    }
    # Places on the same file system are listed as the first of them, with the largest need.
    devices, found = {}, {}
    for place, needed in asked.items():
        first = devices.setdefault(os.stat(nearest(os.path.realpath(place))).st_dev, place)
        found[first] = max(found.get(first, (0, 0)), needed)
    return found


def check_memory():
    """Check whether there is enough memory to compile."""
    available = system.memory_available()
    if available is None:
        return _warn("unknown", "If a compiler is killed, use fewer jobs: mrtrix3_jobs=1.")
    found = f"{format_bytes(available)} available"
    if available < _COMPILER:
        return _warn(
            found, f"Building from source may need {format_bytes(_COMPILER)}; installing a saved build does not."
        )
    return _ok(found)


def check_cpu():
    """Check the number of cores and their instruction set."""
    cores, level = len(os.sched_getaffinity(0)), cpu.cpu_level()
    found = f"{cores} {'core' if cores == 1 else 'cores'}, {level or platform.machine()}"
    if level == cpu.LEVELS[0]:
        return _warn(
            found, "Builds from other machines do not run here: build from source, or use the distribution's package."
        )
    if not level:
        return _warn(found, "The roles are tested only on x86-64; here only origin=source may work.")
    return _ok(found)


CHECKS = {
    "system": check_system,
    "python": check_python,
    "apt": check_apt,
    "rights": check_rights,
    "space": check_space,
    "memory": check_memory,
    "cpu": check_cpu,
}
