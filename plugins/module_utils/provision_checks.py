"""What is on this machine and what has drifted: read-only checks in the standard library alone.

The probe sends this file and those named provision_look_* to the target's Python on standard input and asks it
everything in one round trip, so they must run on their own, on Python 3.9 and later, and never change anything.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import platform
import pwd
import re
import shutil
import stat
import subprocess
from contextlib import suppress
from importlib import import_module

# The instructions of each x86-64 level as /proc/cpuinfo names them: x86-64 psABI 1.0, table 3.1
# (https://gitlab.com/x86-psABIs/x86-64-ABI); `pni` is SSE3, `abm` LZCNT, and OSXSAVE shows as `xsave`.
_LEVEL_FLAGS = (
    ("x86-64-v2", {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    ("x86-64-v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)
LEVELS = ("x86-64", *(name for name, _flags in _LEVEL_FLAGS))


def run(argv, environment=None, seconds=30):
    """Return (exit code, standard output, standard error) of a command; 127 when it cannot be started."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=seconds, check=False, env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr


_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_PASSED_ON = ("PATH", "HOME", "TMPDIR", *_PROXIES, *map(str.upper, _PROXIES))


def plain_environment(**more):
    """Return the environment for a program whose result must not depend on what else its caller has exported."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, "LC_ALL": "C.UTF-8", **more}


def command_environment(folder, foreign=False):
    """Return the environment in which a command in a folder is asked what it is: without anybody's settings.

    The PATH is the one that people will have, that folder first, so that a Python command meets the ``python3`` it will
    meet later. A foreign command may be one that only runs with the library path of its user, as environment modules
    set it.
    """
    more = {name: os.environ[name] for name in ["LD_LIBRARY_PATH"] if foreign and name in os.environ}
    return plain_environment(
        PATH=os.pathsep.join([folder, os.environ.get("PATH", os.defpath)]), HOME="/nonexistent",
        MRTRIX_CONFIGFILE=os.devnull,
        # What Python keeps to start sooner would stay when the folder's package is removed.
        PYTHONDONTWRITEBYTECODE="1", **more,
    )  # fmt: skip


def read_text(path):
    """Return a file's text, or an empty string when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def names_in(folder):
    """Return the names in a folder, none when it cannot be read."""
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


def memory_available(root="/"):
    """Return the bytes of memory free for use, also inside a container with a limit; None when unknown."""
    known = []
    try:
        with open(os.path.join(root, "proc/meminfo"), encoding="ascii") as file:
            known += [int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")]
        folder = os.path.join(root, "sys/fs/cgroup")
        limit, used, parts = (read_text(os.path.join(folder, "memory." + name)) for name in ("max", "current", "stat"))
        # What of files has been read and not been asked for again counts as used, and is given up when memory is short.
        idle = re.search(r"^inactive_file (\d+)$", parts, re.M)
        known.append(max(0, int(limit) - int(used) + int(idle.group(1) if idle else 0)))
    except (OSError, ValueError):  # no such file, or the limit is the word "max"
        pass
    return min(known, default=None)


def sudo_works():
    """Tell whether sudo works here without a password."""
    return bool(shutil.which("sudo")) and run(["sudo", "-n", "true"])[0] == 0


def home():
    """Return the home folder: the one HOME names where this user can use it, else the one of the password file.

    HOME is another user's after ``sudo -E``, and what root leaves there its owner could not change; a service has one
    that does not exist.
    """
    given = os.environ.get("HOME", "")
    if _is_usable_home(given):
        return given
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # no entry, as in a container that was started with a number
        return given if given.startswith("/") else "/"


def _is_usable_home(folder):
    try:
        owner = os.stat(folder).st_uid
    except OSError:
        return False
    return folder.startswith("/") and owner in (os.getuid(), 0) and os.access(folder, os.W_OK | os.X_OK)


def state_folder():
    """Return the folder where the roles note what they put on the machine."""
    if os.getuid() == 0:
        return "/var/lib/provision"
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.join(home(), ".local/state"), "provision")


def cache_folder():
    """Return the folder for what can be made again: source trees, builds, downloads."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home(), ".cache"), "provision")


# Colab mounts Drive where the notebook says: its own examples, older ones, and many people's.
_DRIVE_MOUNTS = ("content/drive", "gdrive", "content/gdrive")


def drive_folder(root="/"):
    """Return the user's folder of a mounted Google Drive, an empty string when there is none.

    My Drive has been spelt with and without a space. One that has dropped is still where the builds are: whoever looks
    into it is told so, instead of finding nothing in another place.
    """
    folders = [os.path.join(root, mount, name) for mount in _DRIVE_MOUNTS for name in ("MyDrive", "My Drive")]
    return next(filter(os.path.isdir, folders), "") or next(filter(has_dropped, folders), "")


def has_dropped(folder):
    """Tell whether a folder is of a drive that is still mounted while the program behind it has ended."""
    try:
        os.stat(folder)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


# What is in a mounted Drive, beside the user's folder in both spellings.
_DRIVE_FOLDERS = ("MyDrive", "My Drive", "Shareddrives", "Shared drives")


def unmounted_drive(path, root="/"):
    """Return the mount point of the Google Drive that a path is on while no Drive is mounted there, else nothing.

    What is written there would be on the machine's own disk, be lost with it, and keep Drive from being mounted.
    """
    for mount in (os.path.join(root, mount) for mount in _DRIVE_MOUNTS):
        for folder in (os.path.join(mount, name) for name in _DRIVE_FOLDERS):
            on_it = os.path.join(os.path.abspath(path), "").startswith(os.path.join(folder, ""))
            if on_it and not os.path.isdir(folder) and not has_dropped(folder):
                return mount
    return ""


def left_mount(root="/"):
    """Return the empty mount point of a Google Drive that was mounted and is no more, else nothing."""
    mounts = (os.path.join(root, mount) for mount in _DRIVE_MOUNTS)
    return "" if drive_folder(root) else next(filter(os.path.isdir, mounts), "")


def on_drive(path):
    """Tell whether a path is on a mounted Google Drive, in the user's folder or in one that is shared."""
    drive = drive_folder()
    return bool(drive) and os.path.realpath(path).startswith(os.path.realpath(os.path.dirname(drive)) + os.sep)


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
    except (OSError, OverflowError, ValueError):  # the latter where there is no such port or name
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


# --- A tool in a prefix of its own: provision_look_tool looks, provision_install puts it there -----------------------

RECEIPT = ".provision.json"  # what the role leaves in a prefix of its own


def is_ours(prefix):
    """Tell whether a role has filled a prefix."""
    return bool(prefix) and os.path.exists(os.path.join(prefix, RECEIPT))


def staged(prefix):
    """Return how the names begin of the folders beside a prefix in which it is made ready, or deleted."""
    return f".{os.path.basename(prefix)}.provision-"


def leftovers(prefix):
    """Return the folders that runs which were killed have left beside a prefix; whoever deletes them holds the lock."""
    parent = os.path.dirname(prefix)
    return [os.path.join(parent, name) for name in names_in(parent) if name.startswith(staged(prefix))]


def default_prefix(wanted, machine, tool):
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


_SHORT_OF_SPACE = 50_000_000  # a build takes 17 MB, and as much again while it is written


def unmounted_problem(store):
    """Return that a store is on a Google Drive that is not mounted, in words; an empty string when it is not."""
    mount = unmounted_drive(store)
    return f"No Google Drive is mounted at {mount}, where the store {store} is" if mount else ""


def store_problem(store):
    """Return why a build could not be kept in a store, in words; an empty string when nothing speaks against it."""
    if has_dropped(store):
        return f"The store {store} is no longer mounted"
    problem = unmounted_problem(store)
    if problem:
        return problem
    problem = store_owner_problem(store)
    if problem:
        return problem
    if not writable(store):
        return f"The store {store} cannot be written to"
    free = free_bytes(store)
    if free is not None and free < _SHORT_OF_SPACE:
        return f"The store {store} has {free // 1_000_000} MB free"
    return ""


def others_write(found):
    """Return in words why root must not run what is in a file or folder, given as `os.stat` tells of it.

    It is an empty string when nobody can change it but root and who called sudo, and for anybody else than root: they
    have no rights to lose to whom they take a build from.
    """
    if os.geteuid() != 0:
        return ""
    if found.st_uid not in _trusted():
        return f"belongs to {_user(found.st_uid)}, who would decide what root runs"
    sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & 0o022 and not sticky:
        return "can be written to by other users, who would decide what root runs"
    return ""


def _trusted():
    """Return the numbers of root and of who called sudo."""
    caller = os.environ.get("SUDO_UID", "")
    return {0, int(caller)} if caller.isdecimal() else {0}


def _user(number):
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user with the number {number}"


def store_owner_problem(store):
    """Return why root must not use a store, in words; an empty string when it may.

    Who can rename a folder above it can put another in its place.
    """
    if os.geteuid() != 0:
        return ""
    for path in dict.fromkeys((store, os.path.realpath(store))):
        with suppress(OSError):
            problem = others_write(os.stat(path))
            if problem:
                return f"The store {store} {problem}"
        for folder in _above(path):
            if _may_rename(folder):
                return f"The store {store} is in the folder {folder}, where other users decide what root runs"
    return ""


def _above(path):
    """Return the folders above a path, the nearest first, and itself where it is a link."""
    found = [path] if os.path.islink(path) else []
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        found.append(path)
    return found


def _may_rename(folder):
    """Tell whether others than root and who called sudo could put another thing in the place of one in a folder."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    if found.st_uid not in _trusted():
        # What belongs to nobody of this container's users is the system's outside of it (user_namespaces(7)).
        return found.st_uid != 65534 or read_text("/proc/self/uid_map").split() == ["0", "0", "4294967295"]
    # A group of the owner's own name has no other members, on Debian and Ubuntu.
    others = 0o002 if found.st_gid in (0, found.st_uid) else 0o022
    return stat.S_ISDIR(found.st_mode) and bool(found.st_mode & others) and not found.st_mode & stat.S_ISVTX


def store_warning(wanted, store, problem):
    """Return what somebody should know of the store before a long build is begun; an empty string for nothing.

    ``problem`` is what `store_problem` says of the store.
    """
    if not store:
        return ""
    if problem:
        return (
            f"{problem}: this build will not be kept for the next machine. To have it kept, stop this run, mend that "
            "or name another store (provision_store), and run it again."
        )
    mount = left_mount() if wanted == "auto" and on_colab() else ""
    if mount:
        return (
            f"No Google Drive is mounted at {mount} any more: this build is kept in {store}, and lost with this "
            "machine. To have it on Drive, stop this run, call provision.drive() in a cell, and run it again."
        )
    return ""


def free_bytes(path):
    """Return the bytes that are free for a path that may not be there yet, None when that is not known."""
    try:
        return shutil.disk_usage(_nearest(path)).free
    except OSError:
        return None


def prefix_problem(prefix):
    """Return why this role may not install into a prefix, an empty string when it may."""
    prefix = os.path.realpath(prefix)
    if os.path.lexists(prefix):
        if not os.path.isdir(prefix):
            return "is a file, not a folder"
        if os.path.ismount(prefix):
            return "is where a file system is mounted, and cannot be replaced"
        if not os.access(prefix, os.R_OK | os.X_OK):
            return "cannot be read by you"
        if not is_ours(prefix) and os.listdir(prefix):
            return "holds files that are not this role's"
    return disk_problem(os.path.dirname(prefix))


_FULL = 20_000_000  # less than any build takes


def disk_problem(path):
    """Return why the disk of a path, which may not be there yet, takes no programs; an empty string when it does."""
    try:
        disk = os.statvfs(_nearest(path))
    except OSError:
        return ""
    if disk.f_flag & os.ST_RDONLY:
        return "is on a file system that is mounted read-only"
    if disk.f_flag & os.ST_NOEXEC:
        return "is on a file system that is mounted with noexec: no program can run there"
    free = (disk.f_bavail if os.getuid() else disk.f_bfree) * disk.f_frsize
    if disk.f_blocks and free < _FULL:
        return f"is on a disk that is full: {free // 1_000_000} MB are free"
    if disk.f_files and not disk.f_favail:
        return "is on a disk that is full: it can hold no more files"
    return ""


def writable(path):
    """Tell whether a path, or the nearest folder above it that exists, can be written to."""
    return os.access(_nearest(path), os.W_OK | os.X_OK)


def _nearest(path):
    """Return a path, or the nearest folder above it that exists."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def foreign_command(name):
    """Return the real path of a command on PATH that is not in a prefix of this role, else an empty string."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.realpath(os.path.join(folder, name))
        prefix = os.path.dirname(os.path.dirname(path))
        if os.path.isfile(path) and os.access(path, os.X_OK) and not is_ours(prefix):
            return path
    return ""


def path_problem(report, state):
    """Return what keeps a shell from finding the commands of an installation, with the line to type; else nothing.

    ``report`` is the role's, and ``state`` all that it noted.
    """
    folder, link_dir = report.get("bin", ""), state.get("link_dir", "")
    names = state.get("commands") or [name for name in ("mrinfo",) if os.path.exists(os.path.join(folder, name))]
    found = _first_on_path(names)
    other = {name: found.get(name, "") for name in sorted(names) if not _is_that(found.get(name, ""), folder)}
    if not other:
        return ""
    # The links serve all tools at once, where nobody else's files are among them.
    place = link_dir if link_dir and all(links_to(folder, os.path.join(link_dir, name)) for name in other) else folder
    line = f"fish_add_path --path {place}" if os.environ.get("SHELL", "").endswith("fish") else (
        f'export PATH="{place}:$PATH"'
    )
    if not any(other.values()):
        return f"{place} is not on the PATH: a shell does not find the commands there. Type: {line}"
    name, path = next((name, path) for name, path in other.items() if path)
    return f"In a shell, {name} is {path}, not the one in {folder}. Type: {line}"


def _is_that(path, folder):
    """Tell whether a path on PATH is the command of its name in a folder."""
    own = os.path.join(folder, os.path.basename(path))
    return bool(path) and (path == own or links_to(folder, path) or os.path.realpath(path) == os.path.realpath(own))


def links_to(folder, path):
    """Tell whether a path is a link to the command of its name in a folder."""
    return os.path.islink(path) and os.readlink(path) == os.path.join(folder, os.path.basename(path))


def _first_on_path(names):
    """Return {name: path} of the commands that a shell finds, as execvp(3) looks for them."""
    found = {}
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for name in set(names).intersection(names_in(folder or ".")) - set(found):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                found[name] = path
    return found


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


# --- What the roles want to know ------------------------------------------------------------------------------------


def _part_of(role):
    """Return the module that looks for a role."""
    # Read when it is asked for: those who look for other roles need not wait for it.
    return import_module(f".provision_look_{role}", __package__)


def look_of(role):
    """Return the function that looks at the machine for a role: it is given what is wanted, and the machine."""
    return _part_of(role).look_at


def now(role, report):
    """Return whether what a role has put here works at this moment.

    A dict with ``works``; of what outlives the play also with ``state``, started or stopped, and with ``problem``, what
    is wrong with it in a few words, where it does not work.
    """
    part = _part_of(role)
    if hasattr(part, "now"):
        return part.now(report)
    return {"works": not report.get("bin") or part.works(report["bin"])}


def read_here(roles):
    """Return what is wanted of the roles, with what only the place where the play is run from can read.

    That is what people name by the path of a file there, such as keys. What is wrong with it is in ``given_problem``.
    """
    return {role: getattr(_part_of(role), "read_here", dict)(wanted) if wanted.get("state") == "started" else wanted
            for role, wanted in roles.items()}


def look(roles):
    """Return what there is of the roles asked about, given as ``{name: wanted}`` in the order in which they run.

    Returns
    -------
    dict
        ``machine``; ``roles``, ``{name: {"converged": bool, "report": {...}, ...}}``; ``due``, the first role that has
        something to do and all after it, which may build on it; ``ready``, the reports of those before.
    """
    machine = look_at_machine()
    answers = {name: dict(look_of(name)(wanted, machine), wanted=wanted) for name, wanted in roles.items()}
    names = list(answers)
    done = [_nothing_to_do(answer) for answer in answers.values()]
    first = done.index(False) if False in done else len(names)
    ready = {name: answers[name]["report"] for name in names[:first]}
    return {"machine": machine, "roles": answers, "due": names[first:], "ready": ready}


def _nothing_to_do(answer):
    # A role checks its options when it runs. As long as all is as wanted, they are those that it was set up with; but
    # for the state, and a misspelt one must not pass for being there.
    return answer["converged"] and answer["wanted"]["state"] in ("present", "started")
