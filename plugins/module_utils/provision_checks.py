"""What is on this machine and what has drifted: read-only checks in the standard library alone.

The probe sends this file and those named provision_look_* to the target's Python on standard input and asks it
everything in one round trip, so they must run on their own, on Python 3.9 and later, and never change anything.
"""

from __future__ import annotations

import glob
import json
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
from importlib import import_module

# The instructions of each x86-64 level as /proc/cpuinfo names them: x86-64 psABI 1.0, table 3.1
# (https://gitlab.com/x86-psABIs/x86-64-ABI); `pni` is SSE3, `abm` LZCNT, and OSXSAVE shows as `xsave`.
_LEVEL_FLAGS = (
    ("x86-64-v2", {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    ("x86-64-v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)
LEVELS = ("x86-64", *(name for name, _ in _LEVEL_FLAGS))


def run(argv):
    """Return (exit code, standard output, standard error) of a command; 127 when it cannot be started."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=30, check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr


def read_text(path):
    """Return a file's text, or an empty string when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def os_release():
    """Return the fields of os-release(5) as a dict."""
    text = read_text("/etc/os-release") or read_text("/usr/lib/os-release")
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.strip().strip('"') for key, value in pairs}


def cpu_flags(cpuinfo=None):
    """Return all that /proc/cpuinfo says the first processor can do."""
    found = re.search(
        r"^(?:flags|Features)\s*:\s*(.*)$", read_text("/proc/cpuinfo") if cpuinfo is None else cpuinfo, re.M
    )
    return set(found.group(1).split()) if found else set()


def cpu_level(cpuinfo=None):
    """Return the level this machine has, such as ``x86-64-v3``, ``armv8-a`` on 64-bit ARM, empty elsewhere."""
    if platform.machine() == "aarch64":
        return "armv8-a"
    if platform.machine() != "x86_64":
        return ""
    flags = cpu_flags(cpuinfo)
    level = LEVELS[0]
    for name, needed in _LEVEL_FLAGS:
        if not needed <= flags:
            break
        level = name
    return level


def own_cpu(level):
    """Return the level that a machine compiles for by itself: v4 is left out, which the next machine may well lack."""
    return "x86-64-v3" if level == "x86-64-v4" else level


def glibc():
    """Return the version of the GNU C library, such as ``2.36``, an empty string where there is another."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    except (AttributeError, IndexError, OSError, ValueError):
        return ""


def home():
    """Return the home folder that HOME names, else the one of the password file."""
    return os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir


def state_folder():
    """Return the folder where the roles note what they put on the machine."""
    if os.getuid() == 0:
        return "/var/lib/provision"
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.join(home(), ".local/state"), "provision")


def cache_folder():
    """Return the folder for what can be made again: source trees, builds, downloads."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home(), ".cache"), "provision")


def drive_folder(root="/"):
    """Return the user's folder of a mounted Google Drive, an empty string when there is none.

    Colab mounts it where the notebook says; its own examples say /content/drive, older ones /gdrive, and My Drive has
    been spelt with and without a space.
    """
    for mount in ("content/drive", "gdrive"):
        for name in ("MyDrive", "My Drive"):
            folder = os.path.join(root, mount, name)
            if os.path.isdir(folder):
                return folder
    return ""


def default_store():
    """Return the folder of the store of builds: on Drive when that is mounted, else the cache."""
    drive = drive_folder()
    return os.path.join(drive, "provision") if drive else cache_folder()


def on_colab():
    """Tell whether this machine is one of Google Colab's: its notebooks say so, and its Python has google.colab."""
    # A login over SSH has not the notebook's environment, and the probe's Python does not look for packages.
    return bool(os.environ.get("COLAB_RELEASE_TAG") or glob.glob("/usr/local/lib/python3*/dist-packages/google/colab"))


def read_json(path):
    """Return the JSON object in a file, an empty dict when there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_state(role):
    """Return what a role noted when it last ended, an empty dict when it never did."""
    return read_json(os.path.join(state_folder(), role + ".json"))


# --- Processes that outlive what started them: provision_processes starts and stops them ---------------------------


def boot_id():
    """Return what tells this start of the kernel from all others."""
    return read_text("/proc/sys/kernel/random/boot_id").strip()


def process(pid):
    """Return the ``state``, ``session`` and ``start`` of a process, an empty dict when there is none.

    They are the fields 3, 6 and 22 of proc_pid_stat(5); ``start`` is counted in clock ticks since the kernel started,
    and is what tells a process from a later one that was given the same number.
    """
    # The second field is the command's name, in which there may be anything.
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return {"state": fields[0], "session": int(fields[3]), "start": int(fields[19])} if len(fields) > 19 else {}


def alive(found):
    """Tell whether what `process` returned is more than an entry that nobody has asked for yet (a zombie)."""
    return found.get("state", "Z") not in ("Z", "X")


def running(pid_file):
    """Return the number of the very process that a pid file names, 0 when that has ended or was never started."""
    noted = read_json(pid_file)
    if not noted or noted.get("boot") != boot_id():
        return 0
    found = process(noted.get("pid"))
    return noted["pid"] if alive(found) and found["start"] == noted.get("start") else 0


def answers(host, port, banner="", seconds=2.0):
    """Tell whether something accepts TCP connections at a port, and begins with the banner if one is given."""
    import socket  # the other checks do without, and start sooner

    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            said = b""
            while len(said) < len(banner):
                more = connection.recv(len(banner) - len(said))
                if not more:
                    return False
                said += more
            return said == banner.encode()
    except OSError:
        return False


def look_at_machine():
    """Return what every role may want to know of the machine."""
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


# --- deps -------------------------------------------------------------------------------------------------------

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
    _, out, _ = run(["dpkg-query", "-W", "-f=${db:Status-Abbrev} ${Package}\n", *names])
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


def sudo_works():
    """Tell whether sudo works here without a password."""
    return bool(shutil.which("sudo")) and run(["sudo", "-n", "true"])[0] == 0


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
    return any(name.isdigit() for name in _listdir("/var/lib/dpkg/updates"))


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


def look_at_deps(wanted, machine):
    """Return what the role `deps` would have to install."""
    known = wanted["packages"].get(machine["release"], {})
    names = [name for group in wanted["groups"] for name in known.get(group, [])] + wanted["extra"]
    missing = missing_packages(sorted(set(names)))
    python = python_of(wanted["python"], wanted["caller"])
    unmet = unmet_requirements(python, wanted["python_packages"])
    installed = read_state("deps").get("installed", {})
    result = {
        "supported": bool(known),
        "packages": sorted(set(names)),
        "missing": missing,
        "python": python,
        "unmet": unmet,
        "installed": installed.get(wanted["who"], []),
        "installed_for_others": {who: names for who, names in installed.items() if who != wanted["who"]},
    }
    if wanted["state"] == "absent":
        return dict(result, converged=not result["installed"])
    # Looked up only when something will have to be done: each look starts a program.
    if missing:
        result.update(apt_python=apt_python(), sudo=machine["root"] or sudo_works())
        result.update(interrupted=dpkg_was_interrupted())
    if missing or wanted.get("list"):
        result.update(all_packages=installed_packages())
    if unmet:
        result.update(python_managed=managed_by_distribution(python))
    return dict(result, converged=bool(known) and not missing and not unmet)


# --- mrtrix3 ----------------------------------------------------------------------------------------------------

RECEIPT = ".provision.json"  # what the role leaves in a prefix of its own


def mrtrix3_version(folder):
    """Return what ``mrinfo -version`` of a folder of commands says, or an empty string when it does not run."""
    # A subset of the commands may leave mrinfo out; any compiled command tells the same version.
    for command in ("mrinfo", *sorted(name for name in _listdir(folder) if is_elf(os.path.join(folder, name)))):
        code, out, _ = run([os.path.join(folder, command), "-version"])
        found = re.match(r"== \S+ (\S+) ==", out)
        if code == 0 and found:
            return found.group(1)
        if code != 127:
            break
    return ""


def _listdir(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _starts_with(path, start):
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def is_elf(path):
    """Tell whether a file is a program or a library."""
    return _starts_with(path, b"\x7fELF")


def is_script(path):
    """Tell whether a file starts with ``#!``."""
    return _starts_with(path, b"#!")


def satisfies(version, wanted):
    """Tell whether an installed version is the one wanted."""
    return wanted == "any" or version == wanted


def default_prefix(wanted, machine, tool="mrtrix3"):
    """Return the absolute prefix that a role's `prefix` names."""
    if wanted != "auto":
        return os.path.abspath(os.path.expanduser(wanted))
    return f"/opt/{tool}" if machine["root"] else os.path.join(machine["home"], ".local/opt", tool)


def default_link_dir(wanted, machine):
    """Return the folder that a role's `link_dir` names, an empty string for none."""
    if wanted == "none":
        return ""
    if wanted != "auto":
        return os.path.abspath(os.path.expanduser(wanted))
    return "/usr/local/bin" if machine["root"] else os.path.join(machine["home"], ".local/bin")


def absolute(path, folder, machine):
    """Return a path as the one who wrote it meant it: from the folder they were in, or their home on this machine."""
    if not path or "://" in path:
        return path
    if path == "~" or path.startswith("~/"):
        return os.path.normpath(machine["home"] + path[1:])
    return os.path.normpath(os.path.join(folder or machine["home"], path))


def store_folder(wanted, folder, machine):
    """Return the folder that `provision_store` names, an empty string for none."""
    if wanted in ("auto", "none"):
        return machine["store"] if wanted == "auto" else ""
    return absolute(wanted, folder, machine)


def prefix_problem(prefix):
    """Return why this role may not install into a prefix, an empty string when it may."""
    if not os.path.lexists(prefix):
        return ""
    if not os.path.isdir(prefix):
        return "is a file, not a folder"
    if not os.access(prefix, os.R_OK | os.X_OK):
        return "cannot be read by you"
    if os.path.exists(os.path.join(prefix, RECEIPT)) or not os.listdir(prefix):
        return ""
    return "holds files that are not this role's"


def writable(path):
    """Tell whether a path, or the nearest folder above it that exists, can be written to."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.access(path, os.W_OK | os.X_OK)


def foreign_command(name):
    """Return the real path of a command on PATH that is not in a prefix of this role, else an empty string."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.realpath(os.path.join(folder, name))
        prefix = os.path.dirname(os.path.dirname(path))
        if os.path.isfile(path) and os.access(path, os.X_OK) and not os.path.exists(os.path.join(prefix, RECEIPT)):
            return path
    return ""


def broken_links(link_dir, commands, folder):
    """Return the commands whose link in `link_dir` is not there, leaving out names that are somebody else's file."""
    missing = []
    for name in commands:
        link = os.path.join(link_dir, name)
        if not os.path.lexists(link) or (
            os.path.islink(link) and not os.path.exists(link) and os.readlink(link) != os.path.join(folder, name)
        ):
            missing.append(name)
    return missing


def mrtrix3_drift(wanted, state, machine):
    """Return in words how the installation noted in `state` differs from the one wanted; empty for not at all."""
    report = state.get("report")
    if not report:
        return "nothing is installed"
    if not satisfies(state.get("version", ""), wanted["version"]):
        return f"version {state.get('version')} is installed"
    if wanted["origin"] not in ("auto", report["origin"]):
        return f"it came from {report['origin']}"
    if report["origin"] in ("store", "archive", "source"):
        difference = _own_files_drift(wanted, state, machine)
        if difference:
            return difference
    if not mrtrix3_version(report["bin"]):
        return f"the commands in {report['bin']} do not run"
    return ""


def _own_files_drift(wanted, state, machine):
    report = state["report"]
    if report["prefix"] != default_prefix(wanted["prefix"], machine):
        return f"it is in {report['prefix']}"
    have = set(_listdir(report["bin"]))
    lost = (set(state.get("commands", [])) | set(wanted["commands"])) - have
    if lost:
        return f"commands are missing: {', '.join(sorted(lost)[:5])}"
    if not wanted["commands"] and report["origin"] != "archive" and not state.get("complete"):
        return "only some of the commands were built"
    if wanted["cpu"] not in ("auto", report["cpu"]):
        return f"it was compiled for {report['cpu']}"
    link_dir = default_link_dir(wanted["link_dir"], machine)
    if link_dir != state.get("link_dir", ""):
        return f"its links are in {state.get('link_dir') or 'no folder'}"
    if link_dir and broken_links(link_dir, state.get("commands", []), report["bin"]):
        return f"links are missing in {link_dir}"
    return ""


def look_at_mrtrix3(wanted, machine):
    """Return what is installed of MRtrix3, what has drifted, and what the origins need to know."""
    state = read_state("mrtrix3")
    prefix = default_prefix(wanted["prefix"], machine)
    result = {
        "prefix": prefix,
        "link_dir": default_link_dir(wanted["link_dir"], machine),
        "report": state.get("report", {}),
    }
    if wanted["state"] == "absent":
        return dict(result, converged=not state and not os.path.exists(os.path.join(prefix, RECEIPT)))
    drift = mrtrix3_drift(wanted, state, machine)
    if not drift:
        return dict(result, converged=True)
    found = foreign_command("mrinfo")
    store = store_folder(wanted["store"], wanted["folder"], machine)
    return dict(
        result,
        converged=False,
        drift=drift,
        store=store,
        store_there=os.path.isdir(store),
        archive=absolute(wanted["archive"], wanted["folder"], machine),
        prefix_problem=prefix_problem(prefix),
        prefix_writable=writable(prefix),
        present={"bin": os.path.dirname(found), "version": mrtrix3_version(os.path.dirname(found))} if found else {},
        sudo=machine["root"] or sudo_works(),
        git=bool(shutil.which("git")),
    )


# --- mrpeek -----------------------------------------------------------------------------------------------------


# The headers of older releases do not compile with Eigen 3.4, which all systems here have, unless a distribution has
# mended them (MRtrix3 8a420c772).
_FIRST_FOR_MODULES = [3, 0, 4]


def mrtrix3_for_modules():
    """Return the MRtrix3 that a module here belongs to.

    Returns
    -------
    dict
        ``tree``, the folder to build modules against, empty when it was installed without what that needs, as the
        distribution's package is; ``version``, empty when there is none, it is no release, or nothing can be built
        against the sources of that release; ``cpu``.
    """
    report = read_state("mrtrix3").get("report", {})
    folder = report.get("bin") or os.path.dirname(foreign_command("mrinfo"))
    version = mrtrix3_version(folder) if folder else ""
    prefix = os.path.dirname(folder)
    parts = ("build", "config", "core", "tmp/src")
    whole = bool(folder) and all(os.path.exists(os.path.join(prefix, name)) for name in parts)
    release = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    usable = release and (whole or [int(number) for number in release.groups()] >= _FIRST_FOR_MODULES)
    return {
        "version": version if usable else "",
        "tree": prefix if whole else "",
        "cpu": report.get("cpu", ""),
    }


def mrpeek_drift(wanted, state, mrtrix3, machine):
    """Return in words how the mrpeek noted in `state` differs from the one wanted; empty for not at all."""
    report = state.get("report")
    if not report:
        return "nothing is installed"
    if state.get("version") != wanted["version"]:
        return f"version {state.get('version')} is installed"
    if report["prefix"] != default_prefix(wanted["prefix"], machine, "mrpeek"):
        return f"it is in {report['prefix']}"
    if mrtrix3["version"] not in ("", report.get("mrtrix3")):
        return f"it belongs to MRtrix3 {report.get('mrtrix3')}"
    if not works("mrpeek", report["bin"]):
        return f"the command in {report['bin']} does not run"
    if not os.path.exists(report.get("decoder", "")):
        return "the decoder of its pictures is missing"
    link_dir = default_link_dir(wanted["link_dir"], machine)
    if link_dir != state.get("link_dir", ""):
        return f"its link is in {state.get('link_dir') or 'no folder'}"
    if link_dir and broken_links(link_dir, ["mrpeek"], report["bin"]):
        return f"the link is missing in {link_dir}"
    return ""


def look_at_mrpeek(wanted, machine):
    """Return what is installed of mrpeek, what has drifted, and what building it needs to know."""
    state = read_state("mrpeek")
    prefix = default_prefix(wanted["prefix"], machine, "mrpeek")
    result = {
        "prefix": prefix,
        "link_dir": default_link_dir(wanted["link_dir"], machine),
        "report": state.get("report", {}),
    }
    if wanted["state"] == "absent":
        return dict(result, converged=not state and not os.path.exists(os.path.join(prefix, RECEIPT)))
    mrtrix3 = mrtrix3_for_modules()
    drift = mrpeek_drift(wanted, state, mrtrix3, machine)
    if not drift:
        return dict(result, converged=True)
    store = store_folder(wanted["store"], wanted["folder"], machine)
    return dict(
        result,
        converged=False,
        drift=drift,
        mrtrix3=mrtrix3,
        store=store,
        store_there=os.path.isdir(store),
        prefix_problem=prefix_problem(prefix),
        prefix_writable=writable(prefix),
        git=bool(shutil.which("git")),
    )


def works(tool, folder):
    """Tell whether the commands of a tool still run."""
    if tool == "mrpeek":  # it calls its version a preview
        return run([os.path.join(folder, "mrpeek"), "-version"])[0] == 0
    return bool(mrtrix3_version(folder))


_LOOKS = {"deps": look_at_deps, "mrtrix3": look_at_mrtrix3, "mrpeek": look_at_mrpeek}


def look_of(role):
    """Return the function that looks at the machine for a role: it is given what is wanted, and the machine."""
    # Read when they are asked for: those who look for other roles need not wait for them.
    return _LOOKS.get(role) or import_module(f".provision_look_{role}", __package__).look_at


def now(role, report):
    """Return whether what a role has put here works at this moment.

    A dict with ``works``; of what outlives the play also with ``state``, started or stopped, and with ``problem``, what
    is wrong with it in a few words, where it does not work.
    """
    look = None if role in _LOOKS else import_module(f".provision_look_{role}", __package__)
    if hasattr(look, "now"):
        return look.now(report)
    return {"works": not report.get("bin") or works(role, report["bin"])}


def look(roles):
    """Return ``{"machine": {...}, "roles": {name: {"converged": bool, ...}}}`` for the roles asked about."""
    machine = look_at_machine()
    answers = {name: dict(look_of(name)(wanted, machine), wanted=wanted) for name, wanted in roles.items()}
    return {"machine": machine, "roles": answers}
