"""Packages of the distribution: installed with apt-get, taken away with dpkg, and what these say in a sentence."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time

from .failures import Problem
from .look.deps import dpkg_was_interrupted, is_there, known_packages, missing_packages, unfinished_packages
from .reading import names_in

# Nobody is there to answer, and what a person has written into a configuration file stays. One try more is enough for
# a mirror that stumbles; a server that says nothing, or no name server, is found out within a minute.
_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical", "APT_LISTCHANGES_FRONTEND": "none",
    "LC_ALL": "C.UTF-8", "LANGUAGE": "", "RES_OPTIONS": "timeout:4 attempts:1",
}  # fmt: skip
_NETWORK = ("Acquire::Retries=1", "Acquire::http::Timeout=15", "Acquire::https::Timeout=15", "Acquire::ftp::Timeout=15")
_KEEP_FILES = ("--force-confdef", "--force-confold")
_OPTIONS = (*_NETWORK, *(f"Dpkg::Options::={option}" for option in _KEEP_FILES), "APT::Cmd::Pattern-Only=true")

_LISTS = "/var/lib/apt/lists"
_FRESH_SECONDS = 300  # another step of the same run may just have brought the lists up to date

PROTECTED = "/etc/apt/apt.conf.d/01autoremove-provision"
_PROTECTED_HEAD = "// What roles of provision have installed; provision remove takes it away.\n"

# Not what apt says while it waits, nor what a lock file on a disk that cannot be written to is about.
_LOCKED = re.compile(r"^(?:E|Error): Could not get lock|^dpkg: error: .*locked by another process", re.M)

# A package or an archive is lacking, which newer lists may mend.
_LACKS = re.compile("Unable to locate|no installation candidate|Unable to fetch|Failed to fetch")

# What apt-get(8) and dpkg(1) of Debian 12 and 13 and Ubuntu 22.04 and 24.04 say, what to do then, and its code. The
# sentence is apt's own where none is given. The first that fits holds.
_CLOCK = "Set this machine's clock, and run it again."
_LISTED = "See what apt-get update says, and /etc/apt/sources.list."
_KNOWN = (
    (r"No space left on device|enough free space|Disk quota exceeded", "The disk is full.",
     "Free some space and run it again: it continues from here.", "disk-full"),
    (r"Could not get lock|locked by another process", "",
     "Wait for the other package manager to end, and run it again.", "apt-locked"),
    (r"Read-only file system", "", "Packages cannot be installed while it is mounted read-only.", "read-only"),
    (r"not valid yet", "", _CLOCK, "wrong-clock"),
    (r"Release file .* is expired", "",
     "Check this machine's clock; if it is right, the mirror is outdated: choose another.", "wrong-clock"),
    (r"is not signed|couldn't be verified|NO_PUBKEY|could not be authenticated|unauthenticated|signature", "",
     "Install the key of that source or remove the source, and run it again.", "unsigned-source"),
    (r"Conflicting values set for option|Malformed|list of sources could not be read|Unsupported file .* given|"
     r"Syntax error|Extra junk|The method driver|is not known on line",
     "", "Mend that file or remove it; apt-get update then says no more of it.", "bad-sources"),
    (r"Hash Sum mismatch|unexpected size|File has unexpected", "",
     "The mirror or a proxy hands out damaged files: run it again later, or choose another mirror.", "hash-mismatch"),
    (r"Temporary failure resolving|Could not resolve|Could not connect|onnection (?:failed|timed out|refused)|"
     r"Cannot initiate the connection|Unable to connect|Network is unreachable|No route to host|Something wicked|"
     r"Timeout|timed out|Undetermined Error",
     "", "Check the network and run it again.", "unreachable"),
    (r"Failed to fetch|does not have a Release file|no longer has a Release file", "", _LISTED, "no-mirror"),
    (r"has no installation candidate", "",
     "No source has it, or a pin forbids it: see apt-cache policy with its name.", "no-package"),
    (r"Unable to locate package (?P<name>\S+)|"
     r"Couldn't find any package by (?:glob|regex) '(?P<other>[^']+)'|Version '(?P<third>[^']+' for '[^']+)'",
     "The distribution has no package '{name}'.",
     f"Check the name; or the package lists are old or cut down: {_LISTED[0].lower()}{_LISTED[1:]}", "no-package"),
    (r"[Hh]eld packages were changed", "",
     "Release the hold (apt-mark showhold lists them), or leave out what needs another version.", "held-packages"),
    (r"remove is disabled", "Packages that are here would have to be removed for it.",
     "See apt-get install --simulate with the same names, and decide by hand.", "would-remove"),
    (r"[Uu]nmet dependencies|held broken packages|Broken packages|unable to correct problems|needs to be reinstalled",
     "", "Mend them with apt-get --fix-broken install, or see which source or pin holds the wrong version.",
     "broken-packages"),
    (r"dpkg: error processing|returned an error code|error exit status|status database", "",
     "See what dpkg --audit says, mend that package or remove it, and run it again.", "package-script"),
)  # fmt: skip


class AptError(Problem):
    """What went wrong, and all that apt said of it."""

    def __init__(self, message, hint="", code="apt-failed", said=""):
        super().__init__(message, hint, code)
        self.said = said


def complaints(said):
    """Return what apt complains of in its output: errors, then warnings, without their marks."""
    found = {"E": [], "W": []}
    for mark, text in re.findall(r"^(E|W|Error|Warning): +(.*)$", said, re.M):
        found[mark[0]].append(text.strip())
    return found["E"], found["W"]


def explained(what, said, update=""):
    """Return the error for what apt-get or dpkg `said`, and `update` before, when it was to "install git", say."""
    errors, warnings = complaints(said)
    listed = [text for texts in complaints(update) for text in texts]
    first = next(iter([*errors, *warnings, *_last_line(said)]), "apt-get failed and said nothing.")
    # Where a package or an archive is lacking, the reason is what apt said of the lists; or the name is wrong as well,
    # where it has some.
    if listed and _LACKS.search(first):
        of_lists = next((text for text in listed if not text.startswith("Some index files")), first)
        if re.search("Unable to locate|no installation candidate", first) and _has_lists():
            found = explained(what, said)
            found.message = f"{found.message} Of its sources apt says: {of_lists.rstrip('.')}."
            return found
        first = of_lists
    elif "returned an error code" in first or not errors:
        first = _of_dpkg(said) or first
    elif re.search("nmet dependencies|nable to correct problems", first):
        first = " ".join(filter(None, (first, _of_dependencies(said))))
    for pattern, sentence, hint, code in _KNOWN:
        # What a full disk breaks has many names, and the cause may be in any line.
        found = re.search(pattern, said if code == "disk-full" else first)
        if found:
            name = next(filter(None, found.groupdict().values()), "")
            hint += _proxy() if code == "unreachable" else ""
            return AptError(sentence.format(name=name) or _sentence(what, first), hint, code, said)
    return AptError(_sentence(what, first), "See what apt-get says by hand, and run it again.", "apt-failed", said)


def _proxy():
    """Return a sentence on the proxy that apt is to go through, an empty string where there is none."""
    found = re.search(r'^Acquire::https?::Proxy\S* "(?!DIRECT|")([^"]+)";$', run(["apt-config", "dump"])[1], re.M)
    return f" apt goes through the proxy {found[1]}." if found else ""


def _last_line(said):
    return [line.strip() for line in said.splitlines() if line.strip()][-1:]


def _of_dpkg(said):
    """Return what dpkg says of the first package that it could not do."""
    found = re.search(r"^dpkg: error processing (?:package|archive) (\S+)[^\n]*:\n +(.+)$", said, re.M)
    if found:
        return f"{os.path.basename(found[1])}: {found[2]}"
    found = re.search(r"^(dpkg(?:-\w+)?: (?:unrecoverable fatal )?error:?.*(?:\n .*)?)$", said, re.M)
    return " ".join(found[1].split()) if found else ""


def _of_dependencies(said):
    """Return the first line in which apt says which package lacks what."""
    found = re.search(r"have unmet dependencies:\n +(\S+ : .*)$", said, re.M)
    return " ".join(found[1].split()) if found else ""


def _sentence(what, text):
    return f"apt cannot {what}: {' '.join(text.split()).rstrip('.')}."


def _listed(names):
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _left_alone():
    """Tell whether nobody reads any more what this module will say: the run was stopped."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _fd, event in poll.poll(0))


def run(argv, stoppable=False):
    """Return the exit code and the output of a program; what only fetches ends when the run is stopped."""
    # dpkg refuses to work without what is in these folders, and root's PATH may lack them.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]).lstrip(os.pathsep)
    if not shutil.which(argv[0], path=path):
        return 127, f"There is no {argv[0]} on this machine."
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env={**os.environ, **_ENVIRONMENT, "PATH": path},
    ) as process:  # fmt: skip
        while True:
            try:
                out, _nothing = process.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                if stoppable and _left_alone():
                    process.terminate()
                continue
            # Addresses of sources may carry a password.
            return process.returncode, re.sub(r"(?<=//)[^\s/@]+@", "", out)


def _locking(argv, seconds, stoppable=False):
    """Run a program as soon as no other holds its lock, and at most after a time: apt waits for one lock only."""
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
    """Bring the package lists up to date; return what apt said of it."""
    return _apt_get("update", lock_timeout=lock_timeout)[1]


def install(names, lock_timeout=0):
    """Install packages, after finishing what an earlier installation left undone; AptError unless all are there."""
    # A source that cannot be read is no reason to stop as long as the others have what is wanted.
    if not shutil.which("apt-get"):
        raise AptError("There is no apt-get on this machine.", "Use a build from a store or an archive.", code="no-apt")
    _repair(lock_timeout)
    if not missing_packages(names):
        return
    lists = "" if _has_fresh_lists() else update(lock_timeout)
    said = _fetch_and_install(names, lists, lock_timeout)
    if missing_packages(names) and not lists and _LACKS.search(said):
        lists = update(lock_timeout)
        said = _fetch_and_install(names, lists, lock_timeout)
    if missing_packages(names):
        # Another package that cannot be set up may have kept dpkg from those that can.
        run(["dpkg", *_KEEP_FILES, "--configure", "-a"])
    if missing_packages(names):
        raise explained(f"install {_listed(missing_packages(names))}", said, lists)


def _fetch_and_install(names, lists, lock_timeout):
    """Return what apt said: fetching can be stopped, installing cannot."""
    words = ["--no-install-recommends", "--no-remove"]
    dead = _dead_hosts(lists)
    if dead:
        _code, files = _apt_get("install", *words, "--print-uris", "--", *names, lock_timeout=lock_timeout)
        dead = dead & set(re.findall(r"^'\w+://([^/'\s]+)", files, re.M))
    # A server that has just not answered would be waited for once for each package. What was fetched before is there.
    said = ""
    if not dead:
        code, said = _apt_get("install", *words, "--download-only", "--", *names, lock_timeout=lock_timeout)
        if code:
            return said
    # Not where all has been fetched: of a source on a disk, apt leaves the packages where they are and then needs them.
    words += ["--no-download"] if dead else []
    return _apt_get("install", *words, "--", *names, lock_timeout=lock_timeout)[1]


def _dead_hosts(said):
    """Return the hosts of which apt-get update got nothing."""
    answers = re.findall(r"^(Hit|Get|Err):\d+ \w+://([^/\s]+)", said, re.M)
    return {host for mark, host in answers if mark == "Err"} - {host for mark, host in answers if mark != "Err"}


def _repair(lock_timeout):
    """Finish what was begun: apt refuses all else before that. What it cannot mend is found out by what follows."""
    if dpkg_was_interrupted():
        _locking(["dpkg", *_KEEP_FILES, "--configure", "-a"], lock_timeout)
    half = {name: status for name, (status, _version) in known_packages().items() if "H" in status or "R" in status}
    for name, status in half.items():
        if status[0] in "rp":  # apt takes it for installed
            how = "--purge" if status[0] == "p" else "--remove"
            _locking(["dpkg", "--force-remove-reinstreq", how, name], lock_timeout)
    # Nothing of a person's is removed for it.
    words = ["--fix-broken", "--no-remove", "--no-install-recommends"]
    coming = [name for name, status in half.items() if status[0] not in "rp"]
    if coming:  # by itself apt sets up what depends on it first, which fails
        _apt_get("install", "--reinstall", *words, "--", *coming, lock_timeout=lock_timeout)
    if unfinished_packages():
        _apt_get("install", *words, lock_timeout=lock_timeout)


def remove(names, keeping=(), lock_timeout=0):
    """Take packages away, with their configuration but for those in `keeping`."""
    # dpkg needs no lists or sources, and purges each package at once, while what its script needs is still there.
    there = {name for name, (status, _version) in known_packages().items() if is_there(status)}
    names = [name for name in names if name in there]
    purged = [name for name in names if name not in keeping]
    force = ["--force-remove-reinstreq"]
    # One call, so that their order is dpkg's to find.
    calls = [["--remove", *names], ["--purge", *purged]] if len(purged) < len(names) else [["--purge", *purged]]
    for call in calls if names else []:
        if len(call) > 1:
            code, said = _locking(["dpkg", *force, *call], lock_timeout)
            if code:
                raise explained(f"remove {_listed(names)}", said)
    return names


def protect(names):
    """Mark packages as nobody's own wish, and keep apt from removing them as long as they are noted as a role's."""
    if names:
        run(["apt-mark", "auto", *names])
        _write_protected({*_protected(), *_plain(names)})


def unprotect(names):
    """Leave packages to apt again."""
    if _plain(names) & _protected():
        _write_protected(_protected() - _plain(names))


def _plain(names):
    """Return names without their architecture: apt compares its list with these."""
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
    with open(PROTECTED + ".new", "w", encoding="utf-8") as file:  # apt reads no file with such an ending
        os.fchmod(file.fileno(), 0o644)
        file.write(_PROTECTED_HEAD + lines)
    os.replace(PROTECTED + ".new", PROTECTED)


def candidate(name, lock_timeout=0):
    """Return the version that apt would install, and, where there is none, what speaks against it in a sentence."""
    known, said = _policy(name), ""
    if not known:
        said = update(lock_timeout)
        known = _policy(name)
    if known or not any(complaints(said)):
        return known, ""
    return "", explained(f"install {name}", f"E: Unable to locate package {name}", said).message


def upstream_version(version):
    """Return the numbers of a package's version, without an epoch and what the distribution adds to them."""
    found = re.match(r"(?:[0-9]+:)?([0-9][0-9.]*[0-9])", version)
    return found[1] if found else ""


def _policy(name):
    found = re.search(r"^  Candidate: (?!\(none\))(\S+)$", run(["apt-cache", "policy", "--", name])[1], re.M)
    return found[1] if found else ""
