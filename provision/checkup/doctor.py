"""Whether this machine has what the roles need: each thing is looked at, nothing is changed."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import struct
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from provision import paths
from provision.actions.status import status
from provision.checkup import reach
from provision.checkup.diagnosis import Diagnosis, Finding
from provision.engine import catalog, content, launch, lock, logbook
from provision.machine import alive, apt, commands, cpu, notes, places, reading, system
from provision.machine.look import deps, ngrok
from provision.machine.store.names import BAD, NEW
from provision.words import format_bytes, format_seconds

SECONDS = 2.5
"""How long all checks together may take: a mounted folder that is dead can keep one waiting for ever."""

TESTED = {
    "ubuntu-22.04": "Ubuntu 22.04", "ubuntu-24.04": "Ubuntu 24.04", "debian-12": "Debian 12", "debian-13": "Debian 13",
}  # fmt: skip
"""The systems that the roles are tested on, as os-release(5) calls them and as people do."""

_APT_LOCK = "/var/lib/dpkg/lock-frontend"  # what apt locks while it works
_OFTEN_SHORT, _TOO_SHORT = 2_000_000_000, 300_000_000  # a tree that is built, and all commands when they are done
_SMALL = 100_000_000  # a few builds as archives; what Ansible writes
_COMPILER = 3_600_000_000  # what the largest files of MRtrix3 take to compile, as the role mrtrix3 reckons
_SLOW_CLOCK, _WRONG_CLOCK = 60, 3600


def doctor() -> Diagnosis:
    """Look whether this machine has what the roles need, and change nothing.

    Returns
    -------
    Diagnosis
        A `Finding` for each check; ``ok`` says whether none has failed.

    Examples
    --------
    >>> doctor().ok  # doctest: +SKIP
    True
    """
    begin = time.monotonic()
    end = begin + SECONDS
    servers = {name: _begun(ask) for name, ask in _questions().items()}
    looked = {name: _begun(check) for name, check in _CHECKS.items()}
    findings = {name: _ended(future, end) for name, future in looked.items()}
    answers = {name: _answer(future, end) for name, future in servers.items()}
    findings.update({f"network: {name}": check_server(name, answer) for name, answer in answers.items()})
    told = next((answer.time for answer in answers.values() if answer and answer.time), 0.0)
    findings["clock"] = check_clock(time.time(), told)
    shown = {name: finding for name, finding in findings.items() if finding}
    return Diagnosis(shown, round(time.monotonic() - begin, 1))


# How they are asked all at once


def _begun(function: Callable[[], Any]) -> Future:
    """Call a function in a thread that nobody has to wait for, not even the end of this process."""
    future: Future = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # what is odd on this machine shall not keep the other checks from being told
            future.set_exception(error)

    threading.Thread(target=work, name="provision-doctor", daemon=True).start()
    return future


def _ended(future: Future, end: float) -> Finding | None:
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except NotInTime:
        return _warn(f"no answer within {format_seconds(SECONDS)}", "Something that it looks at may be dead or slow.")
    except Exception as error:
        return _warn(f"could not be looked at: {type(error).__name__}: {error}", "Look at it by hand.")


def _answer(future: Future, end: float) -> reach.Answer | None:
    """Return what a server has answered; None when there is no server to be asked."""
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except NotInTime:  # looking a name up knows no time limit; apt and pip are given up, too
        return reach.Answer("", "no answer in time")
    except Exception as error:
        return reach.Answer("", f"it could not be asked: {error}")


# The machine


def _ok(found: str) -> Finding:
    return Finding("ok", found)


def _warn(found: str, advice: str) -> Finding:
    return Finding("warn", found, advice)


def _fail(found: str, advice: str) -> Finding:
    return Finding("fail", found, advice)


def check_system() -> Finding:
    """Return which system this is, and whether the roles are tested on it."""
    release = system.os_release()
    name = release.get("PRETTY_NAME") or platform.system()
    tested = ", ".join(TESTED.values())
    if not release:
        return _fail(name, f"The roles need Linux: they are tested on {tested}.")
    if f"{release.get('ID')}-{release.get('VERSION_ID')}" in TESTED:
        return _ok(f"{name}, {platform.machine()}")
    return _warn(
        f"{name}, {platform.machine()}, which is not tested",
        f"Packages are known for {tested}; elsewhere only a build from a store or an archive can be installed.",
    )


def check_python() -> Finding:
    """Return whether this Python and what it has installed are what the package wants."""
    told = platform.python_version()
    wrong = [problem for problem in map(_unmet, _requirements()) if problem]
    if wrong:
        return _fail(
            f"Python {told}; {'; '.join(wrong)}", f"Install them: {sys.executable} -m pip install mrtrix-provision."
        )
    if not shutil.which("ansible-playbook", path=launch.search_path()):
        return _fail(f"Python {told}; ansible-playbook is missing", 'Install it: pip install "ansible-core>=2.19".')
    for name in ("ansible.release", "ansible_runner"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            return _fail(
                f"Python {told}; {name} cannot be imported: {error}", "Install ansible-core and ansible-runner anew."
            )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ansible-core", "ansible-runner"))
    return _ok(f"Python {told}, {versions}")


def _requirements() -> list[Requirement]:
    """Return what this package needs: what its metadata says, in a clone its pyproject.toml."""
    project = content.root() / "pyproject.toml"
    if project.is_file():
        lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        lines = importlib.metadata.requires("mrtrix-provision") or []
    wanted = map(Requirement, lines)
    return [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]


def _unmet(requirement: Requirement) -> str:
    """Return what is wrong with a requirement in words, an empty string when it is met."""
    try:
        there = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    met = requirement.specifier.contains(there, prereleases=True)
    return "" if met else f"{requirement.name} is {there}, not {requirement.specifier}"


def check_apt() -> Finding:
    """Return whether packages could be installed now."""
    if not (shutil.which("dpkg") and shutil.which("apt-get")):
        return _warn("there is none", "No packages can be installed; a build from a store or an archive can.")
    holder = _lock_holder(_APT_LOCK)
    if holder:
        return _warn(f"{holder} is at work", "A run waits for it, up to five minutes.")
    if deps.dpkg_was_interrupted():
        return _warn("dpkg was interrupted", "The next run that installs packages finishes that.")
    # What apt-get stops at before all else. It fetches nothing so, and takes no lock, which only root could.
    asked = ["apt-get", "update", "--print-uris", "-qq", "-o", "Debug::NoLocking=true"]
    code, _out, said = commands.run(["env", "LC_ALL=C.UTF-8", "LANGUAGE=", *asked])
    if code:
        error = apt.explained("read its sources", said)
        return _fail(error.message.rstrip("."), error.hint)
    unmet = deps.unmet_dependencies()
    if unmet:
        name, needed = unmet[0]
        return _fail(f"{name} needs {needed}, which is not there", "Mend it: apt-get --fix-broken install.")
    audit = commands.run(["dpkg", "--audit"])[1].strip()
    if audit:
        names = re.findall(r"^ (\S+)", audit, re.M)
        return _warn(
            f"not wholly installed: {', '.join(names[:5]) or audit.splitlines()[0]}",
            "The next run that installs packages tries to finish that; dpkg --audit says more.",
        )
    return _ok("ready")


def _lock_holder(path: str) -> str:
    """Return who holds a lock of fcntl(2), an empty string when nobody does or only root could tell."""
    import fcntl

    # struct flock: type, whence, start, length, process. To be told of a lock, none is taken.
    question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with Path(path).open("rb") as file:
            kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, question))
    except OSError:
        return ""
    if kind == fcntl.F_UNLCK:
        return ""
    name = reading.read_text(f"/proc/{pid}/comm").strip()
    return f"{name} (process {pid})" if name else "another program"


def check_rights() -> Finding:
    """Return whether packages may be installed."""
    if os.getuid() == 0:
        return _ok("root")
    if system.sudo_works():
        return _ok("sudo works without a password")
    if shutil.which("sudo"):
        return _warn("sudo asks for a password", "A run asks for it when packages have to be installed.")
    return _warn("an ordinary user, without sudo", "A build from a store can be installed; packages only by root.")


def check_space() -> Finding:
    """Return whether there is room where the roles write."""
    needed = _places()
    free = {place: shutil.disk_usage(paths.nearest(place)).free for place in needed}
    full = [place for place, (_little, too_little) in needed.items() if free[place] < too_little]
    short = [place for place, (little, _too_little) in needed.items() if free[place] < little]
    found = f"free: {', '.join(f'{format_bytes(room)} for {place}' for place, room in free.items())}"
    if full:
        return _fail(found, f"Free some space for {', '.join(full)}: MRtrix3 takes 90 MB, its archive 20 MB.")
    if short:
        return _warn(found, f"Building from source may not fit into {', '.join(short)}: it takes up to 2 GB.")
    return _ok(found)


def _places() -> dict[str, tuple[int, int]]:
    """Return where the roles write, each file system once."""
    machine = system.look_at_machine()
    asked = {
        places.default_prefix("auto", machine, "mrtrix3"): (_TOO_SHORT, _SMALL),
        places.cache_folder(): (_OFTEN_SHORT, _TOO_SHORT),
        machine["store"]: (_SMALL, _SMALL // 5),
        tempfile.gettempdir(): (_SMALL, _SMALL // 10),
    }
    # A later place on the same file system is told by the first; what it needs is the most of them.
    devices: dict[int, str] = {}
    found: dict[str, tuple[int, int]] = {}
    for place, needed in asked.items():
        first = devices.setdefault(paths.nearest(place).stat().st_dev, place)
        found[first] = max(found.get(first, (0, 0)), needed)
    return found


def check_memory() -> Finding:
    """Return whether there is the memory that compiling takes."""
    available = system.memory_available()
    if available is None:
        return _warn("not known", "If a compiler is killed, use fewer jobs: mrtrix3_jobs=1.")
    found = f"{format_bytes(available)} can be used"
    if available < _COMPILER:
        return _warn(found, f"Building from source may take {format_bytes(_COMPILER)}; a build from a store does not.")
    return _ok(found)


def check_cpu() -> Finding:
    """Return how many cores there are, and which instructions they have."""
    cores, level = len(os.sched_getaffinity(0)), cpu.cpu_level()
    found = f"{cores} {'core' if cores == 1 else 'cores'}, {level or platform.machine()}"
    if level == cpu.LEVELS[0]:
        return _warn(found, "Builds from other machines do not run here: build from source, or take the package.")
    if not level:
        return _warn(found, "The roles are tested on x86-64; only origin=source may work.")
    return _ok(found)


def check_drive() -> Finding | None:
    """Return whether Google Drive is there, on Colab or where it is mounted; None elsewhere."""
    mounts = reading.read_text("/proc/mounts")
    # Looked for among the mounts, because of one that is dead nothing else can be told.
    place = next((line.split()[1] for line in mounts.splitlines() if re.match(r"\S+ \S*/g?drive fuse", line)), "")
    if place:
        try:
            next(Path(place).iterdir(), None)
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            return _fail(f"{place} is dead: {problem}", "Mount it again: provision.drive().")
        return _ok(f"mounted at {place}")
    if not system.on_colab():
        return None
    return _warn(
        "not mounted: what is built is lost with this machine",
        "Mount it first: provision.drive().",
    )


# The network


def _questions() -> dict[str, Callable[[], reach.Answer | None]]:
    """Return what to ask, by the names under which it is told."""
    questions = {"apt": _ask_apt, "pip": _ask_pip, "git": _ask_git}
    return {**questions, "ngrok": lambda: reach.connect(*reach.NGROK)} if "ngrok" in catalog.roles() else questions


def _ask_apt() -> reach.Answer | None:
    page = reach.apt_page()
    return reach.ask(page, reach.apt_proxies()) if page else None


def _ask_pip() -> reach.Answer | None:
    page = reach.pip_page()
    return reach.ask(page) if page else None


def _ask_git() -> reach.Answer | None:
    return reach.ask(catalog.role("mrtrix3").options["mrtrix3_repo"].default)


_NEEDED_FOR = {
    "apt": "Packages cannot be installed: only what is in a store or an archive can.",
    "pip": "Python packages cannot be installed; the roles mrtrix3 and mrpeek do without.",
    "git": "MRtrix3 cannot be built from source, unless mrtrix3_repo names a clone.",
    "ngrok": "No tunnel through ngrok can be opened.",
}


def check_server(name: str, answer: reach.Answer | None) -> Finding | None:
    """Return whether a server that a run may need can be reached; None when none is needed."""
    if answer is None:
        return None
    if answer.problem:
        return _warn(": ".join(filter(None, (answer.host, answer.problem))), _NEEDED_FOR[name])
    return _ok(answer.host)


def check_clock(here: float, there: float) -> Finding:
    """Compare this machine's clock with a server's, in seconds since 1970; 0 when none gave its time."""
    now = f"{datetime.fromtimestamp(here, UTC):%Y-%m-%d %H:%M} UTC"
    advice = "Set it: certificates, tokens and apt's lists are refused by a wrong clock."
    if not there:
        # No file of this package can have been written in the future.
        there = max(here, Path(__file__).stat().st_mtime)
        wrong = there > here + _WRONG_CLOCK
        return _fail(f"{now}, and files are newer", advice) if wrong else _ok(f"{now}, compared with no server")
    off = abs(here - there)
    if off < _SLOW_CLOCK:
        return _ok(f"{now}, as servers say")
    found = f"{now}, {format_seconds(off)} {'behind' if here < there else 'ahead'}"
    return _fail(found, advice) if off >= _WRONG_CLOCK else _warn(found, advice)


# Tunnels


def check_token() -> Finding | None:
    """Return whether there is a token of ngrok, never which; None without a role that needs it."""
    if "ngrok" not in catalog.roles():
        return None
    given = os.environ.get(launch.TOKEN_VARIABLE, "").strip()
    if given and not re.fullmatch(r"[\w-]+", given, re.ASCII):
        return _warn(
            f"what {launch.TOKEN_VARIABLE} has is none of ngrok's, which are letters, digits and _ alone",
            "Copy it again, without quotes and without the command around it.",
        )
    if given:
        return _ok(f"given in {launch.TOKEN_VARIABLE}")
    if ngrok.has_token():
        return _ok("kept from an earlier run")
    if notes.read_state("ngrok"):
        return _warn(
            "none is given or kept", f"ngrok, which is set up, needs it: {launch.TOKEN_VARIABLE}, or when asked."
        )
    return _ok("none, and none is needed unless ngrok is to open a tunnel")


def check_agent() -> Finding | None:
    """Return which agent of ngrok there is; None until a tunnel is opened."""
    if "ngrok" not in catalog.roles():
        return None
    agent = ngrok.find_agent({"agent_path": ""}, str(Path(places.state_folder(), "ngrok")))
    if not agent["version"]:
        return None
    found = f"{agent['path']}, version {agent['version']}"
    if ngrok.numbers(agent["version"]) < ngrok.OLDEST:
        return _warn(found, "It is too old for the service: the next run of the role ngrok takes a newer one.")
    return _ok(found)


# What is there of earlier runs


def check_leftovers() -> Finding:
    """Return what killed runs have left."""
    state = places.state_folder()
    kinds = {
        "files that were never finished, in the store": _matching(places.default_store(), f"{NEW}*", f"*{BAD}"),
        "folders of killed runs": launch.left_behind(launch.temporary_folder()),
        "folders of interrupted installations": [
            left for prefix in _prefixes(state) for left in _matching(prefix.parent, f".{prefix.name}.provision-*")
        ],
        "pid files of processes that have ended": [
            path for path in _matching(state, "*/*.pid") if not alive.running(str(path))
        ],
    }
    found = [f"{kind}: {len(left)}, such as {left[0]}" for kind, left in kinds.items() if left]
    if not found:
        return _ok("nothing was left by killed runs")
    return _warn("; ".join(found), "The next run clears up; in the store, provision store prune does.")


def _matching(folder: str | Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(Path(folder).glob(pattern))]


def _prefixes(state: str) -> list[Path]:
    """Return the prefixes in which something was installed."""
    reports = (reading.read_json(str(path)).get("report", {}) for path in _matching(state, "*.json"))
    return [Path(report["prefix"]) for report in reports if report.get("prefix")]


def check_logs() -> Finding | None:
    """Return why no log of a run can be kept; None where they can."""
    problem = logbook.problem()
    if not problem:
        return None
    return _warn(f"logs of runs are not kept: {problem}", "Name a folder of your own: XDG_STATE_HOME.")


def check_lock() -> Finding | None:
    """Return who changes this machine; None while nobody does."""
    found = lock.holder()
    return None if found is None else _warn(lock.in_words(found), "What it changes may not work until it has finished.")


def check_installed() -> Finding:
    """Return what is installed and running, and whether it works."""
    reports = status()["hosts"]["localhost"]
    broken = [role for role, report in reports.items() if not _works(report)]
    told = ", ".join(_told(role, report) for role, report in reports.items())
    if broken:
        return _fail(told, f"This repairs it: provision run {' '.join(broken)}.")
    return _ok(told or "nothing yet")


def check_path() -> Finding | None:
    """Return whether a shell finds the commands that are installed; None without any."""
    reports = status()["hosts"]["localhost"]
    told = {role: report.get("notes", []) for role, report in reports.items() if report.get("bin")}
    problem = next((note for notes in told.values() for note in notes), "")
    if problem:
        found, _, line = problem.partition(" Type: ")
        return _warn(found.rstrip("."), f"Type: {line}")
    return _ok(f"a shell finds the commands of {', '.join(told)}") if told else None


def _works(report: Mapping[str, Any]) -> bool:
    return bool(report.get("works", True)) or report.get("state") == "stopped"


def _told(role: str, report: Mapping[str, Any]) -> str:
    if not _works(report):
        return f"{role} {report.get('problem') or 'does not run'}"
    return " ".join(filter(None, (role, str(report.get("version") or report.get("state") or ""))))


_CHECKS: dict[str, Callable[[], Finding | None]] = {
    "system": check_system,
    "python": check_python,
    "apt": check_apt,
    "rights": check_rights,
    "space": check_space,
    "memory": check_memory,
    "cpu": check_cpu,
    "drive": check_drive,
    "token": check_token,
    "agent": check_agent,
    "lock": check_lock,
    "leftovers": check_leftovers,
    "logs": check_logs,
    "installed": check_installed,
    "path": check_path,
}
