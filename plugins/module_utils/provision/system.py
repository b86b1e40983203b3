"""Facts about this machine: its distribution, memory and rights, and whether it is on Google Colab."""

from __future__ import annotations

import glob
import os
import platform
import re
import shutil

from .commands import run
from .cpu import cpu_level, own_cpu
from .places import cache_folder, default_store, home, state_folder
from .reading import read_text


def os_release():
    """Return the fields of os-release(5) as a dict."""
    text = read_text("/etc/os-release") or read_text("/usr/lib/os-release")
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip().strip('"') for key, value in pairs}


def glibc():
    """Return the version of the GNU C library, such as ``2.36``, an empty string for another C library."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    except (AttributeError, IndexError, OSError, ValueError):
        return ""


def memory_available(root="/"):
    """Return the bytes of free memory, also in a container with a limit; None if unknown."""
    known = []
    try:
        with open(os.path.join(root, "proc/meminfo"), encoding="ascii") as file:
            known += [int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")]
        folder = os.path.join(root, "sys/fs/cgroup")
        limit, used, parts = (read_text(os.path.join(folder, "memory." + name)) for name in ("max", "current", "stat"))
        # Cached file pages that are not in use count as used, but are freed when memory is short.
        idle = re.search(r"^inactive_file (\d+)$", parts, re.M)
        known.append(max(0, int(limit) - int(used) + int(idle.group(1) if idle else 0)))
    except (OSError, ValueError):  # no such file, or the limit is the word "max"
        pass
    return min(known, default=None)


def sudo_works():
    """Return whether sudo works here without a password."""
    return bool(shutil.which("sudo")) and run(["sudo", "-n", "true"])[0] == 0


def on_colab():
    """Return whether this machine is on Google Colab."""
    # A login over SSH does not have the notebook's environment, and the probe's Python ignores site packages.
    return bool(os.environ.get("COLAB_RELEASE_TAG") or glob.glob("/usr/local/lib/python3*/dist-packages/google/colab"))


def look_at_machine():
    """Return the facts about the machine that all roles share."""
    release = os_release()
    return {
        "release": release.get("ID", "") + "-" + release.get("VERSION_ID", ""),
        "name": release.get("PRETTY_NAME", platform.system()),
        "arch": platform.machine(),
        "cpu": cpu_level(),
        "own_cpu": own_cpu(cpu_level()),
        "glibc": glibc(),
        "root": os.getuid() == 0,
        "home": home(),
        "state": state_folder(),
        "cache": cache_folder(),
        "store": default_store(),
    }
