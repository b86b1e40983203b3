"""Packages of the distribution: apt-get installs them, dpkg removes them, and their errors become one sentence."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time

from .commands import usual_environment
from .failures import Problem
from .look.deps import dpkg_was_interrupted, is_there, known_packages, missing_packages, unfinished_packages
from .reading import names_in

# Nobody can answer questions, and configuration files that a person has edited stay. One retry is enough for a mirror
# that stumbles; a silent server or a missing name server is noticed within a minute.
_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical", "APT_LISTCHANGES_FRONTEND": "none",
    "LC_ALL": "C.UTF-8", "LANGUAGE": "", "RES_OPTIONS": "timeout:4 attempts:1",
}  # fmt: skip
_NETWORK = ("Acquire::Retries=1", "Acquire::http::Timeout=15", "Acquire::https::Timeout=15", "Acquire::ftp::Timeout=15")
_KEEP_FILES = ("--force-confdef", "--force-confold")
_OPTIONS = (*_NETWORK, *(f"Dpkg::Options::={option}" for option in _KEEP_FILES), "APT::Cmd::Pattern-Only=true")

_LISTS = "/var/lib/apt/lists"
_FRESH_SECONDS = 300  # an earlier step of the same run may just have updated the lists

PROTECTED = "/etc/apt/apt.conf.d/01autoremove-provision"
_PROTECTED_HEAD = "// Installed by roles of provision; provision remove removes it.\n"

# Not apt's messages while it waits, nor those about a lock file on a read-only disk.
_LOCKED = re.compile(r"^(?:E|Error): Could not get lock|^dpkg: error: .*locked by another process", re.M)

# A package or an archive is missing; newer lists may have it.
_LACKS = re.compile("Unable to locate|no installation candidate|Unable to fetch|Failed to fetch")

# Messages of apt-get(8) and dpkg(1) of Debian 12 and 13 and Ubuntu 22.04 and 24.04, the sentence (apt's own if empty),
# what to do, and the code. The first match counts.
_CLOCK = "Set this machine's clock and run it again."
_LISTED = "Check the output of apt-get update, and /etc/apt/sources.list."
_KNOWN = (
    (r"No space left on device|enough free space|Disk quota exceeded", "The disk is full.",
     "Free some space and run it again: it continues from here.", "disk-full"),
    (r"Could not get lock|locked by another process", "",
     "Wait for the other package manager to finish, then run it again.", "apt-locked"),
    (r"Read-only file system", "", "Packages cannot be installed while the file system is mounted read-only.",
     "read-only"),
    (r"not valid yet", "", _CLOCK, "wrong-clock"),
    (r"Release file .* is expired", "",
     "Check this machine's clock. If it is right, the mirror is outdated: use another.", "wrong-clock"),
    (r"is not signed|couldn't be verified|NO_PUBKEY|could not be authenticated|unauthenticated|signature", "",
     "Install that source's key or remove the source, then run it again.", "unsigned-source"),
    (r"Conflicting values set for option|Malformed|list of sources could not be read|Unsupported file .* given|"
     r"Syntax error|Extra junk|The method driver|is not known on line",
     "", "Fix or remove that file until apt-get update no longer complains.", "bad-sources"),
    (r"Hash Sum mismatch|unexpected size|File has unexpected", "",
     "The mirror or a proxy serves damaged files. Try again later, or use another mirror.", "hash-mismatch"),
    (r"Temporary failure resolving|Could not resolve|Could not connect|onnection (?:failed|timed out|refused)|"
     r"Cannot initiate the connection|Unable to connect|Network is unreachable|No route to host|Something wicked|"
     r"Timeout|timed out|Undetermined Error",
     "", "Check the network and run it again.", "unreachable"),
    (r"Failed to fetch|does not have a Release file|no longer has a Release file", "", _LISTED, "no-mirror"),
    (r"has no installation candidate", "",
     "No source has it, or a pin excludes it: check apt-cache policy with its name.", "no-package"),
    (r"Unable to locate package (?P<name>\S+)|"
     r"Couldn't find any package by (?:glob|regex) '(?P<other>[^']+)'|Version '(?P<third>[^']+' for '[^']+)'",
     "The distribution has no package '{name}'.",
     f"Check the name. The package lists may also be outdated: {_LISTED[0].lower()}{_LISTED[1:]}", "no-package"),
    (r"[Hh]eld packages were changed", "",
     "Release the hold (apt-mark showhold lists held packages), or leave out the package that needs another version.",
     "held-packages"),
    (r"remove is disabled", "Installed packages would have to be removed.",
     "Run apt-get install --simulate with the same names to see which, and decide by hand.", "would-remove"),
    (r"[Uu]nmet dependencies|held broken packages|Broken packages|unable to correct problems|needs to be reinstalled",
     "", "Repair them with apt-get --fix-broken install, or find the source or pin that has the wrong version.",
     "broken-packages"),
    (r"dpkg: error processing|returned an error code|error exit status|status database", "",
     "Repair or remove the packages that dpkg --audit lists, then run it again.", "package-script"),
)  # fmt: skip


class AptError(Problem):
    """What went wrong, with apt's full output."""

    def __init__(self, message, hint="", code="apt-failed", said=""):
        super().__init__(message, hint, code)
        self.said = said


def complaints(said):
    """Return the errors and the warnings in apt's output, without their marks."""
    found = {"E": [], "W": []}
    for mark, text in re.findall(r"^(E|W|Error|Warning): +(.*)$", said, re.M):
        found[mark[0]].append(text.strip())
    return found["E"], found["W"]


def explained(what, said, update=""):
    """Return the error for the output of apt-get or dpkg (`said`), and of the update before, for `what` was tried."""
    errors, warnings = complaints(said)
    listed = [text for texts in complaints(update) for text in texts]
    first = next(iter([*errors, *warnings, *_last_line(said)]), "apt-get failed and printed nothing.")
    # If a package or an archive is missing, the reason is what apt printed about the lists; if apt has lists, the name
    # may be wrong as well.
    if listed and _LACKS.search(first):
        of_lists = next((text for text in listed if not text.startswith("Some index files")), first)
        if re.search("Unable to locate|no installation candidate", first) and _has_lists():
            found = explained(what, said)
            found.message = f"{found.message} apt reports about its sources: {of_lists.rstrip('.')}."
            return found
        first = of_lists
    elif "returned an error code" in first or not errors:
        first = _of_dpkg(said) or first
    elif re.search("nmet dependencies|nable to correct problems", first):
        first = " ".join(filter(None, (first, _of_dependencies(said))))
    for pattern, sentence, hint, code in _KNOWN:
        # A full disk shows in many errors, and the cause may be in any line.
        found = re.search(pattern, said if code == "disk-full" else first)
        if found:
            name = next(filter(None, found.groupdict().values()), "")
            hint += _proxy() if code == "unreachable" else ""
            return AptError(sentence.format(name=name) or _sentence(what, first), hint, code, said)
    return AptError(_sentence(what, first), "Try apt-get by hand, then run it again.", "apt-failed", said)


def _proxy():
    """Return a sentence about the proxy that apt uses, an empty string if it uses none."""
    found = re.search(r'^Acquire::https?::Proxy\S* "(?!DIRECT|")([^"]+)";$', run(["apt-config", "dump"])[1], re.M)
    return f" apt uses the proxy {found[1]}." if found else ""


def _last_line(said):
    return [line.strip() for line in said.splitlines() if line.strip()][-1:]


def _of_dpkg(said):
    """Return dpkg's message about the first package that failed."""
    found = re.search(r"^dpkg: error processing (?:package|archive) (\S+)[^\n]*:\n +(.+)$", said, re.M)
    if found:
        return f"{os.path.basename(found[1])}: {found[2]}"
    found = re.search(r"^(dpkg(?:-\w+)?: (?:unrecoverable fatal )?error:?.*(?:\n .*)?)$", said, re.M)
    return " ".join(found[1].split()) if found else ""


def _of_dependencies(said):
    """Return the first line in which apt names an unmet dependency."""
    found = re.search(r"have unmet dependencies:\n +(\S+ : .*)$", said, re.M)
    return " ".join(found[1].split()) if found else ""


def _sentence(what, text):
    return f"apt cannot {what}: {' '.join(text.split()).rstrip('.')}."


def _listed(names):
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _left_alone():
    """Return whether nobody reads this module's output any more: the run was stopped."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _fd, event in poll.poll(0))


def run(argv, stoppable=False):
    """Return the exit code and the output of a program; a `stoppable` one ends when the run is stopped."""
    # dpkg refuses to work without the programs in these folders, and root's PATH may lack them.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]).lstrip(os.pathsep)
    if not shutil.which(argv[0], path=path):
        return 127, f"There is no {argv[0]} on this machine."
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env={**usual_environment(), **_ENVIRONMENT, "PATH": path},
    ) as process:  # fmt: skip
        while True:
            try:
                out, _nothing = process.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                if stoppable and _left_alone():
                    process.terminate()
                continue
            # The URLs of sources may contain a password.
            return process.returncode, re.sub(r"(?<=//)[^\s/@]+@", "", out)


def _locking(argv, seconds, stoppable=False):
    """Run a program once its locks are free, waiting at most so many seconds: apt itself waits for one lock only."""
    end = time.monotonic() + seconds
    while True:
        code, said = run(argv, stoppable)
        if not code or not _LOCKED.search(said) or time.monotonic() > end:
            return code, said
        time.sleep(1)


def _apt_get(command, *words, lock_timeout=0):
    options = [word for option in (*_OPTIONS, f"DPkg::Lock::Timeout={lock_timeout}") for word in ("-o", option)]
    fetches = command == "update" or "--download-only" in words
    return _locking(["apt-get", "-q", "-y", *options, command, *words], lock_timeout, fetches)


def _has_lists():
    return any("_Packages" in name for name in names_in(_LISTS))


def _has_fresh_lists():
    return _has_lists() and 0 <= time.time() - os.stat(_LISTS).st_mtime < _FRESH_SECONDS


def update(lock_timeout=0):
    """Update the package lists; return apt's output."""
    return _apt_get("update", lock_timeout=lock_timeout)[1]


def install(names, lock_timeout=0):
    """Install packages after finishing any interrupted installation; AptError unless all are installed."""
    # An unreadable source does not matter as long as the others have the packages.
    if not shutil.which("apt-get"):
        raise AptError("There is no apt-get on this machine.", "Use a saved build or an archive.", code="no-apt")
    _repair(lock_timeout)
    if not missing_packages(names):
        return
    lists = "" if _has_fresh_lists() else update(lock_timeout)
    said = _fetch_and_install(names, lists, lock_timeout)
    if missing_packages(names) and not lists and _LACKS.search(said):
        lists = update(lock_timeout)
        said = _fetch_and_install(names, lists, lock_timeout)
    if missing_packages(names):
        # A package that cannot be configured may have kept dpkg from those that can.
        run(["dpkg", *_KEEP_FILES, "--configure", "-a"])
    if missing_packages(names):
        raise explained(f"install {_listed(missing_packages(names))}", said, lists)


def _fetch_and_install(names, lists, lock_timeout):
    """Return apt's output. Fetching can be stopped, installing cannot."""
    words = ["--no-install-recommends", "--no-remove"]
    dead = _dead_hosts(lists)
    if dead:
        _code, files = _apt_get("install", *words, "--print-uris", "--", *names, lock_timeout=lock_timeout)
        dead = dead & set(re.findall(r"^'\w+://([^/'\s]+)", files, re.M))
    # apt would wait for a dead server once per package. Packages fetched earlier are already there.
    said = ""
    if not dead:
        code, said = _apt_get("install", *words, "--download-only", "--", *names, lock_timeout=lock_timeout)
        if code:
            return said
    # Not if all have been fetched: packages from a source on a disk stay there, and --no-download would miss them.
    words += ["--no-download"] if dead else []
    return _apt_get("install", *words, "--", *names, lock_timeout=lock_timeout)[1]


def _dead_hosts(said):
    """Return the hosts that did not answer apt-get update."""
    answers = re.findall(r"^(Hit|Get|Err):\d+ \w+://([^/\s]+)", said, re.M)
    return {host for mark, host in answers if mark == "Err"} - {host for mark, host in answers if mark != "Err"}


def _repair(lock_timeout):
    """Finish an interrupted installation, as apt demands; what cannot be repaired shows in the next step."""
    if dpkg_was_interrupted():
        _locking(["dpkg", *_KEEP_FILES, "--configure", "-a"], lock_timeout)
    half = {name: status for name, (status, _version) in known_packages().items() if "H" in status or "R" in status}
    for name, status in half.items():
        if status[0] in "rp":  # apt considers it installed
            how = "--purge" if status[0] == "p" else "--remove"
            _locking(["dpkg", "--force-remove-reinstreq", how, name], lock_timeout)
    # No package that a person installed is removed.
    words = ["--fix-broken", "--no-remove", "--no-install-recommends"]
    coming = [name for name, status in half.items() if status[0] not in "rp"]
    if coming:  # otherwise apt configures its dependants first, which fails
        _apt_get("install", "--reinstall", *words, "--", *coming, lock_timeout=lock_timeout)
    if unfinished_packages():
        _apt_get("install", *words, lock_timeout=lock_timeout)


def remove(names, keeping=(), lock_timeout=0):
    """Remove packages, with their configuration except for those in `keeping`."""
    # dpkg needs no lists or sources, and purges each package at once, while its script still has what it needs.
    there = {name for name, (status, _version) in known_packages().items() if is_there(status)}
    names = [name for name in names if name in there]
    purged = [name for name in names if name not in keeping]
    force = ["--force-remove-reinstreq"]
    # One call, so that dpkg finds their order.
    calls = [["--remove", *names], ["--purge", *purged]] if len(purged) < len(names) else [["--purge", *purged]]
    for call in calls if names else []:
        if len(call) > 1:
            code, said = _locking(["dpkg", *force, *call], lock_timeout)
            if code:
                raise explained(f"remove {_listed(names)}", said)
    return names


def protect(names):
    """Mark packages as automatically installed, and keep apt from removing them while a role needs them."""
    if names:
        run(["apt-mark", "auto", *names])
        _write_protected({*_protected(), *_plain(names)})


def unprotect(names):
    """Let apt remove packages again."""
    if _plain(names) & _protected():
        _write_protected(_protected() - _plain(names))


def _plain(names):
    """Return names without their architecture, as apt compares them."""
    return {name.partition(":")[0] for name in names}


def _protected():
    try:
        with open(PROTECTED, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return set()
    return {name.replace("\\", "") for name in re.findall(r'"\^(.+)\$";', text)}


def _write_protected(names):
    if not names:
        os.unlink(PROTECTED)
        return
    lines = "".join(f'APT::NeverAutoRemove:: "^{re.escape(name)}$";\n' for name in sorted(names))
    with open(PROTECTED + ".new", "w", encoding="utf-8") as file:  # apt ignores files with this ending
        os.fchmod(file.fileno(), 0o644)
        file.write(_PROTECTED_HEAD + lines)
    os.replace(PROTECTED + ".new", PROTECTED)


def candidate(name, lock_timeout=0):
    """Return the version that apt would install, and a sentence on why there is none."""
    known, said = _policy(name), ""
    if not known:
        said = update(lock_timeout)
        known = _policy(name)
    if known or not any(complaints(said)):
        return known, ""
    return "", explained(f"install {name}", f"E: Unable to locate package {name}", said).message


def upstream_version(version):
    """Return the upstream part of a package's version, without the epoch and the distribution's suffix."""
    found = re.match(r"(?:[0-9]+:)?([0-9][0-9.]*[0-9])", version)
    return found[1] if found else ""


def _policy(name):
    found = re.search(r"^  Candidate: (?!\(none\))(\S+)$", run(["apt-cache", "policy", "--", name])[1], re.M)
    return found[1] if found else ""
