"""What is there of what the role deps installs, and what has drifted: a part of the probe, read-only.

It is sent to the target with provision_checks; see there.
"""

from __future__ import annotations

import os
import subprocess
import sys

from .provision_checks import names_in, read_state, run, sudo_works

# Where a distribution's own Python may be when `python3` is somebody else's, as in Google Colab.
_PYTHONS = ("/usr/bin/python3", *("/usr/bin/python3." + minor for minor in ("12", "10", "11", "13", "14", "9")))

# Asks a Python which of the requirements on its standard input it does not meet. pip carries `packaging`.
_UNMET = """
import importlib.metadata as metadata, sys
try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
for line in sys.stdin.read().splitlines():
    requirement = Requirement(line)
    try:
        met = requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        met = False
    if not met:
        print(line)
"""


def installed_packages(*names):
    """Return which of the distribution's packages are installed, of all or of those named, asking dpkg-query once."""
    _code, out, _error = run(["dpkg-query", "-W", "-f=${db:Status-Abbrev} ${Package}\n", *names])
    return [line.split()[-1] for line in out.splitlines() if line.startswith("ii")]


def missing_packages(names):
    """Return those of the distribution's packages that are not installed."""
    installed = set(installed_packages(*names)) if names else set()
    return [name for name in names if name not in installed]


def apt_python():
    """Return the first Python that can import apt_pkg, empty when there is none."""
    for python in _PYTHONS:
        if os.access(python, os.X_OK) and run([python, "-c", "import apt, apt_pkg"])[0] == 0:
            return python
    return ""


def python_of(place, caller):
    """Return the interpreter that a `deps_python` names: the caller's, an interpreter, or the one of a folder."""
    if place == "auto":
        return caller or sys.executable
    place = os.path.expanduser(place)
    if os.path.isfile(place):
        return place
    return os.path.join(place, "bin", "python")


def managed_by_distribution(python):
    """Tell whether pip refuses to install into a Python (PEP 668): the distribution's, outside any environment."""
    ask = "import os, sys, sysconfig; print(int(sys.prefix == sys.base_prefix and os.path.exists(" \
        "os.path.join(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED'))))"
    return run([python, "-c", ask])[1].strip() == "1"


def dpkg_was_interrupted():
    """Tell whether dpkg was stopped in the middle of its work: apt refuses any other until that is finished.

    Like apt's own test (apt-pkg/deb/debsystem.cc, CheckUpdates): a journal with a number for a name is left.
    """
    return any(name.isdigit() for name in names_in("/var/lib/dpkg/updates"))


def unmet_requirements(python, requirements):
    """Return the requirements that this Python does not meet; all of them when it cannot be asked."""
    if not requirements:
        return []
    try:
        done = subprocess.run(
            [python, "-c", _UNMET], input="\n".join(requirements),
            capture_output=True, text=True, check=True, timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return list(requirements)
    return done.stdout.split("\n")[:-1]


def noted():
    """Return what was installed for whom, and whether an installation was cut off before it could note that.

    Before packages are installed it is noted for whom which `names` are asked of apt, and the `packages` that there
    are. Where that is still there, what is new and was asked for or came with that was installed for them. What a
    person has asked apt for meanwhile is none of it.
    """
    state = read_state("deps")
    installed, begun = state.get("installed", {}), state.get("begun")
    if not begun:
        return installed, False
    there = set(installed_packages())
    new = (there - set(begun["packages"])) & {*begun["names"], *run(["apt-mark", "showauto"])[1].split()}
    before = there & set(installed.get(begun["who"], []))
    return dict(installed, **{begun["who"]: sorted(before | new)}), True


def look_at(wanted, machine):
    """Return what the role `deps` would have to install, or has installed and would remove."""
    installed, begun = noted()
    result = {
        "begun": begun,
        "installed": installed.get(wanted["who"], []),
        "installed_for_others": {who: names for who, names in installed.items() if who != wanted["who"]},
    }
    if wanted["state"] == "absent":  # what was asked for once, and may have been wrong, does not matter
        return dict(result, converged=not result["installed"] and not begun, report={"state": "absent"})
    known = wanted["packages"].get(machine["release"], {})
    names = [name for group in wanted["groups"] for name in known.get(group, [])] + wanted["extra"]
    missing = missing_packages(sorted(set(names)))
    python = python_of(wanted["python"], wanted["caller"])
    unmet = unmet_requirements(python, wanted["python_packages"])
    result.update(
        supported=bool(known),
        report={"packages": sorted(set(names)), "python": python},
        missing=missing,
        python=python,
        unmet=unmet,
    )
    # Looked up only when something will have to be done: each look starts a program.
    if missing:
        result.update(apt_python=apt_python(), sudo=machine["root"] or sudo_works())
        result.update(interrupted=dpkg_was_interrupted())
    if missing or begun or wanted.get("list"):
        result.update(all_packages=installed_packages())
    if unmet:
        result.update(python_managed=managed_by_distribution(python))
    return dict(result, converged=bool(known) and not missing and not unmet and not begun)
