"""What the role deps has installed, and what has drifted: a read-only part of the probe."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import namedtuple
from contextlib import suppress
from fnmatch import fnmatchcase

from ..commands import run
from ..notes import read_state
from ..places import state_folder
from ..reading import names_in, read_text
from ..system import sudo_works

_DPKG = "/var/lib/dpkg"
_JOURNAL = "/var/log/apt/history.log"

# Asks a Python which of some requirements it does not meet. pip bundles `packaging`.
_UNMET = """
import importlib.metadata as metadata, sys
try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
for line in sys.argv[1:]:
    requirement = Requirement(line)
    try:
        met = requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        met = False
    if not met:
        print(line)
"""

# A package name, perhaps with an architecture or a version. apt would remove a package whose name ends in -, and treat
# an unknown name as a pattern.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9-]+)?(=[A-Za-z0-9.+:~*-]+)?")

# db:Status-Abbrev of dpkg-query(1): the state that is wanted, the actual one, and whether to reinstall.
_GONE = ("", "n", "c")  # not installed, or only its configuration is left
_READY = ("i", "t")  # installed, perhaps with a pending trigger
_HELD = "h"
_NEEDS = ("Pre-Depends", "Depends")


def _query(fields, *names):
    """Return the fields of each package in dpkg's database, or of those named."""
    fields = ("db:Status-Abbrev", "Package", "Architecture", *fields)
    # Fields may have several lines, but never contain this byte.
    form = "".join("${" + field + "}\\t" for field in fields) + "\x1e"
    _code, out, _error = run(["dpkg-query", "-W", "-f=" + form, "--", *names])
    return [record.split("\t") for record in out.split("\x1e") if record.strip()]


def _own_architecture():
    """Return this system's architecture if it also has packages of others, else an empty string."""
    return next(iter(read_text(os.path.join(_DPKG, "arch")).split()), "")


def _full_name(name, architecture, own):
    return f"{name}:{architecture}" if own and architecture not in (own, "all") else name


def known_packages(*names):
    """Return (status, version) by name for all packages that dpkg knows, or for those named."""
    own = _own_architecture()
    records = _query(["Version"], *names)
    return {_full_name(name, arch, own): (status, version) for status, name, arch, version, *_rest in records}


def is_there(status):
    """Return whether more of a package is present than its configuration, even if only unpacked."""
    return status[1:2] not in _GONE


def is_ready(status):
    """Return whether a package is fully installed."""
    return status[1:2] in _READY and status[2:3] != "R"


def missing_packages(names):
    """Return the packages that are not installed."""
    if not names:
        return []
    own = _own_architecture()
    known = known_packages(*(name.partition("=")[0] for name in names))

    def is_missing(wanted):
        name, _equals, version = wanted.partition("=")
        status, installed = known.get(name[: -len(own) - 1] if own and name.endswith(":" + own) else name, ("", ""))
        return not (is_ready(status) and fnmatchcase(installed, version or "*"))

    missing = [name for name in names if is_missing(name)]
    # Another package may provide the name, as mawk provides awk.
    every = _query(["Provides"]) if missing else []
    provided = {name for status, _name, _arch, text, *_rest in every if is_ready(status) for name in _names_of(text)}
    return [name for name in missing if name not in provided]


def _names_of(provides):
    """Return the names in a field Provides."""
    return [part.split()[0].partition(":")[0] for part in provides.split(",") if part.strip()]


def wrong_names(names):
    """Return the names that cannot be package names."""
    return [name for name in names if not _NAME.fullmatch(name)]


def python_of(place, folder, caller):
    """Return the interpreter that `deps_python` names: the caller's, a file, or that of a virtual environment."""
    if place == "auto":
        return caller or sys.executable
    place = os.path.join(folder, os.path.expanduser(place))
    if os.path.isfile(place):
        return place
    return os.path.join(place, "bin", "python")


def managed_by_distribution(python):
    """Return whether pip refuses to install into a Python (PEP 668), as it does into the distribution's."""
    ask = (
        "import os, sys, sysconfig; print(int(sys.prefix == sys.base_prefix and os.path.exists("
        "os.path.join(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED'))))"
    )
    return run([python, "-c", ask])[1].strip() == "1"


def dpkg_was_interrupted():
    """Return whether dpkg was interrupted: apt refuses to work until that is repaired."""
    # As apt checks it (apt-pkg/deb/debsystem.cc, CheckUpdates): a journal file with a number as its name is left.
    return any(name.isdigit() for name in names_in(os.path.join(_DPKG, "updates")))


def unfinished_packages():
    """Return the packages that are only partly installed, and those that must be reinstalled."""
    return sorted(
        name
        for name, (status, _version) in known_packages().items()
        if is_there(status) and status[1:2] != "W" and not is_ready(status)
    )


def unmet_requirements(python, requirements):
    """Return the requirements that this Python does not meet; all of them if it does not run."""
    if not requirements:
        return []
    code, out, _error = run([python, "-c", _UNMET, *requirements], seconds=60)
    return list(requirements) if code else out.split("\n")[:-1]


# --- What was installed for which role -------------------------------------------------------------------------------


def noted():
    """Return the note of what was installed for which role, and of an interrupted installation ({} for none)."""
    # A new package belongs to that installation if it was requested by it or came as a dependency, not if a person
    # installed it.
    state = read_state("deps")
    note = {"installed": dict(_checked(state.get("installed"), dict))}
    if "configured" in state:
        note["configured"] = _checked(state["configured"], list)
    begun = _checked(state.get("begun"), dict)
    if not {"who", "names", "packages"} <= set(begun):
        return note, {}
    there = {name for name, (status, _version) in known_packages().items() if is_there(status)}
    begun = dict(begun, names=sorted({*begun["names"], *(there & _came_along(begun.get("time", 0)))}))
    automatic = set(run(["apt-mark", "showauto"])[1].split())
    new = (there - set(begun["packages"])) & {*_plain(begun["names"]), *automatic}
    if not new | (there & _ours(note) & set(_plain(begun["names"]))):
        return note, {}
    before = there & set(note["installed"].get(begun["who"], []))
    note["installed"][begun["who"]] = sorted(before | new)
    if "configured" in begun:
        kept = new & {*begun["configured"], *_with_older_files(new, begun.get("time", 0))}
        note["configured"] = sorted({*note.get("configured", []), *kept})
    return note, begun


def _ours(note):
    """Return all packages that were installed for any role."""
    return {name for names in note["installed"].values() for name in names}


def _checked(value, kind):
    return value if isinstance(value, kind) else kind()


def _plain(names):
    return [name.partition("=")[0] for name in names]


def _with_older_files(names, since):
    """Return the packages that have a configuration file older than a time."""
    own = _own_architecture()
    found = []
    for _status, name, arch, conffiles, *_rest in _query(["Conffiles"], *names) if names else []:
        paths = [line.split()[0] for line in conffiles.splitlines() if line.strip()]
        if any(os.path.lexists(path) and os.lstat(path).st_ctime < since for path in paths):
            found.append(_full_name(name, arch, own))
    return found


def removable(names, by_hand=(), spared=("required", "important")):
    """Return the packages that may be removed: not needed by the system, a person (`by_hand`) or another package."""
    every = _there()
    going = {name for name in names if name in every and not every[name].vital} - set(by_hand)
    going -= {name for name in going if every[name].priority in spared}
    clauses = list(_clauses(every))
    while True:
        needed = {
            met_by[0] for name, _clause, met_by in clauses
            if name not in going and met_by and all(other in going for other in met_by)
        }  # fmt: skip
        if not needed:
            return sorted(going)
        going -= needed


def unmet_dependencies():
    """Return (package, dependency) for each unmet dependency of an installed package, regardless of versions."""
    every = _there()
    return [(name, clause.strip()) for name, clause, met_by in _clauses(every) if every[name].ready and not met_by]


_Package = namedtuple("_Package", "arch multi provides needs vital priority ready")


def _there():
    """Return by name what is known of the present packages and matters for their removal."""
    own = _own_architecture()
    every = {}
    for record in _query(("Essential", "Protected", "Important", "Priority", "Multi-Arch", "Provides", *_NEEDS)):
        status, name, arch, essential, protected, important, priority, multi, provides, *needs = record[:11]
        vital = "yes" in (essential, protected, important) or status[0] == _HELD
        if is_there(status):
            needs = ", ".join(filter(str.strip, needs))
            package = _Package(arch, multi, provides, needs, vital, priority, is_ready(status))
            every[_full_name(name, arch, own)] = package
    return every


def _clauses(every):
    """Yield for each clause of each dependency the package, the clause, and the packages that meet it."""
    own, satisfiers = _own_architecture(), _satisfiers(every)
    for name, package in every.items():
        for clause in filter(str.strip, package.needs.split(",")):
            yield name, clause, list(_met_by(clause, package.arch, own, every, satisfiers))


def _satisfiers(every):
    """Return by name which packages are or provide it, each with whether it has a version."""
    found = {}
    for full, package in every.items():
        found.setdefault(full.partition(":")[0], []).append((full, True))
        for part in filter(str.strip, package.provides.split(",")):
            found.setdefault(part.split()[0].partition(":")[0], []).append((full, "(" in part))
    return found


def _met_by(clause, arch, own, every, satisfiers):
    """Yield the packages that meet one clause of a dependency, in the order of the clause."""
    for alternative in clause.split("|"):
        name, _space, version = alternative.strip().partition(" ")
        for full, has_version in satisfiers.get(name.partition(":")[0], []):
            same = not own or every[full].arch in ("all", own if arch == "all" else arch)
            if (same or every[full].multi in ("foreign", "allowed")) and (has_version or not version):
                yield full


def _came_along(since):
    """Return the dependencies that apt has begun to install since, in runs that did not succeed."""
    # apt marks them as automatic only when a run succeeds, but its journal already lists them.
    found = set()
    for entry in read_text(_JOURNAL).split("Start-Date: ")[1:]:
        with suppress(ValueError):
            begin = time.mktime(time.strptime(" ".join(entry.split()[:2]), "%Y-%m-%d %H:%M:%S"))
            if begin >= int(since) and ("End-Date: " not in entry or "\nError: " in entry):
                for line in re.findall(r"^Install: (.*)$", entry, re.M):
                    found |= set(re.findall(r"([^\s:,]+):\S+ \([^()]*, automatic\)", line))
    return found


def installed_for(who):
    """Return the packages that were installed for a role, perhaps by an interrupted run."""
    return noted()[0]["installed"].get(who, [])


def _going(who, wanted, note, begun):
    """Return the packages to remove with a role, as if those of the `leaving` roles were already gone."""
    own = note["installed"].get(who, [])
    leaving = (who, *wanted.get("leaving", ())) if own else ()
    names = {name for one in leaving for name in note["installed"].get(one, [])}
    if not names:
        return []
    # Notes of earlier versions may list packages that were already partly installed, and apt's marks do not show that.
    # Newer notes rely on the marks: what came with a role is marked as automatic, what a person requests is not.
    if "configured" not in note:
        return [name for name in removable(names) if name in own]
    by_hand = set(run(["apt-mark", "showmanual"])[1].split())
    # Whatever their priority: packages in such a note were not there before.
    going = removable(names, by_hand - set(_plain(begun.get("names", []))), spared=())
    return [name for name in going if name in own]


def now(role, report):
    """Return that the packages work; `look_at` checks whether they are all there."""
    return {"works": True}


def look_at(wanted, machine):
    """Return what the role `deps` has to install, or would remove."""
    note, begun = noted()
    who = wanted["who"]
    # Packages that dpkg did not reach do not count: a person may have installed them by hand since.
    asked = {*_plain(begun.get("names", []))} & _ours(note)
    result = {
        "begun": bool(begun), "brought": sorted(asked), "installed": note["installed"].get(who, []), "note": note,
        "unfinished": dict(note, begun=dict(begun, names=sorted(asked))) if begun else note,
    }  # fmt: skip
    if wanted["state"] == "absent":  # the other options, which may be wrong, do not matter
        going = _going(who, wanted, note, begun)
        kept = sorted({*going} & {*note.get("configured", [])})
        others = {other: names for other, names in note["installed"].items() if other != who and names}
        return dict(
            result,
            going=going,
            configured=kept,
            rest=dict(note, installed=others),
            converged=not result["installed"] and not begun,
            report=absent_report(who, wanted),
        )
    known = wanted["packages"].get(machine["release"], {})
    names = [name for group in wanted["groups"] for name in known.get(group, [])] + wanted["extra"]
    missing = missing_packages(sorted(set(names)))
    python = python_of(wanted["python"], wanted.get("folder", ""), wanted["caller"])
    unmet = unmet_requirements(python, wanted["python_packages"])
    result.update(
        needs={"groups": wanted["groups"], "extra": wanted["extra"]},
        supported=bool(known),
        report={"packages": sorted(set(names)), "python": python},
        missing=missing,
        python=python,
        unmet=unmet,
    )
    # Only if something has to be done: each of these starts a program.
    if missing or begun:
        result.update(sudo=machine["root"] or sudo_works(), wrong=wrong_names(missing))
        result.update(begin=_begin(who, sorted({*missing, *asked}), note))
    if unmet:
        result.update(python_managed=managed_by_distribution(python))
    return dict(result, converged=bool(known) and not missing and not unmet and not begun)


def _begin(who, names, note):
    """Return the note that is written before an installation, in case it is interrupted."""
    known = known_packages()
    there = sorted(name for name, (status, _version) in known.items() if is_there(status))
    left = sorted(name for name, (status, _version) in known.items() if status[1:2] == "c")
    return dict(note, begun={"who": who, "names": names, "packages": there, "configured": left, "time": time.time()})


def absent_report(role, wanted, **gone):
    """Return the report of a removed role: what is removed, by kind."""
    note = os.path.join(state_folder(), role + ".json")
    gone["packages"] = _going(role, wanted, *noted())
    gone["notes_in"] = note if role != "deps" and os.path.exists(note) else ""
    return {"state": "absent", **{name: value for name, value in gone.items() if value}}
