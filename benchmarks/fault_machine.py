"""The machines that benchmarks/faults.py breaks: light material, what is on them, and what a command left there.

Nothing is compiled or downloaded while faults are tried. MRtrix3 is a handful of programs of 200 bytes that answer
`-version` as its commands do, packed into a store; the packages that the roles ask apt for are empty ones, in a
repository of the machine's own. Ansible, apt, dpkg, git and sshd are the real ones.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import functools
import hashlib
import json
import os
import random
import re
import signal
import stat
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests" / "machine")]

from box import Box, Machines, local_indexes  # noqa: E402
from layers import with_ssh  # noqa: E402

from plugins.module_utils.provision.store import pack as packing  # noqa: E402

PROVISION = "/root/project/.venv/bin/provision"
COMMANDS = ("dwi2fod", "mrcat", "mrconvert", "mrinfo", "tckgen")
SCRIPT = "dwi2response"
SHARED = tuple(f"{number:02}.bin" for number in range(60))
VERSIONS = ("3.0.7", "3.0.8")
NEW, OLD = VERSIONS[1], VERSIONS[0]
STORE, REPO, DEBS, KEY = "/srv/store", "/srv/mrtrix3", "/srv/debs", "/root/.ssh/id_ed25519.pub"
# What the role deps asks for on Debian 12, and what each brings along.
PACKAGES = {
    "libtiff6": "libfake-deflate",
    "libpng16-16": "",
    "libfftw3-double3": "libfake-gomp",
    "python3-distutils": "",
    "libfake-deflate": "",
    "libfake-gomp": "",
    "g++": "libfake-compiler",
    "libfake-compiler": "",
    "libeigen3-dev": "",
    "zlib1g-dev": "",
    "libtiff-dev": "libtiff6",
    "libpng-dev": "libpng16-16",
    "libfftw3-dev": "libfftw3-double3",
    "python3-zstandard": "",
    "fake-held": "",
    "fake-broken": "",
}

# --- Material ---------------------------------------------------------------------------------------------------------


def program(said: str) -> bytes:
    """Return an x86-64 program for Linux that prints a line, as small as ELF allows (System V ABI, chapter 4)."""
    text = said.encode() + b"\n"
    code = b"\xb8\1\0\0\0\xbf\1\0\0\0\x48\x8d\x35\x10\0\0\0\xba" + struct.pack("<I", len(text))
    code += b"\x0f\x05\xb8\x3c\0\0\0\x31\xff\x0f\x05" + text
    ident, base, begin = b"\x7fELF\2\1\1", 0x400000, 120
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 62, 1, base + begin, 64, 64, 0, 64, 56, 1, 0, 0, 0)
    size = begin + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096) + code


def write(path: Path, data: bytes | str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)


def write_tree(folder: Path, version: str) -> None:
    """Write what runs of an MRtrix3."""
    for name in COMMANDS:
        write(folder / "bin" / name, program(f"== {name} {version} =="), 0o755)
    write(folder / "bin" / SCRIPT, f"#!/usr/bin/env python3\nprint('== {SCRIPT} {version} ==')\n", 0o755)
    write(folder / "lib/mrtrix3/__init__.py", f"__version__ = '{version}'\n")
    noise = random.Random(version)
    for name in SHARED:
        write(folder / "share/mrtrix3" / name, noise.randbytes(60_000))


def pack_tree(folder: Path, store: Path, version: str) -> None:
    manifest = {
        "tool": "mrtrix3", "version": version, "release": "debian-12", "arch": "x86_64", "cpu": "x86-64",
        "glibc": "2.0", "asked": [], "commands": sorted([*COMMANDS, SCRIPT]), "complete": True, "repo": REPO,
        "unpacked": 0, "created": 1.0,
    }  # fmt: skip
    packing.pack(str(folder), str(store), manifest)


# Like MRtrix3's own two scripts, as far as the role looks at them: steps are counted, and a program is there or not.
CONFIGURE = """#!/usr/bin/env python3
open("config", "w").write("cpp = ld = ld_lib = ['c++']\\ncpp_flags, eigen_cflags, ld_flags = [], [], []\\n")
"""
BUILD = """#!/usr/bin/env python3
import os, shutil, time
names = sorted(os.listdir("programs"))
os.makedirs("tmp/src", exist_ok=True), os.makedirs("tmp/core", exist_ok=True)
for number, name in enumerate(names, 1):
    print(f"( {number}/{len(names)}) [CC] {name}", flush=True)
    time.sleep(0.05)
    shutil.copy(f"programs/{name}", f"tmp/core/{name}.new")
    if name == "version.o":
        os.replace(f"tmp/core/{name}.new", f"tmp/core/{name}")
    else:
        os.replace(f"tmp/core/{name}.new", f"bin/{name}")
"""


def write_source(folder: Path, version: str) -> None:
    """Write a source tree that MRtrix3's role builds in a second, without a compiler."""
    write_tree(folder, version)
    for name in COMMANDS:
        (folder / "bin" / name).rename(write_parent(folder / "programs" / name))
        write(folder / "cmd" / f"{name}.cpp", "")
    write(folder / "programs/version.o", program("version"))
    for name in ("core/version.cpp", "src/file.h"):
        write(folder / name, "")
    write(folder / "configure", CONFIGURE, 0o755)
    write(folder / "build", BUILD, 0o755)


def write_parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_packages(folder: Path) -> None:
    """Write what dpkg-deb makes packages from."""
    for name, needs in PACKAGES.items():
        text = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
        text += (f"Depends: {needs}\n" if needs else "") + "Description: stands for the real one\n"
        write(folder / name / "DEBIAN/control", text)
        script = "sleep 0.03\n" if name != "fake-broken" else "test ! -e /srv/break-packages\n"
        write(folder / name / "DEBIAN/postinst", f"#!/bin/sh\nset -e\n{script}", 0o755)
        write(folder / name / "usr/share/doc" / name / "copyright", f"{name}\n" * 2000)
    for name in ("c++", "g++"):
        write(folder / "g++/usr/bin" / name, "#!/bin/sh\necho 'stand-in for g++ 12'\n", 0o755)


AGENT = """#!/bin/sh
# Says what ngrok's agent says when all is well, or that it does not like the token.
case $1 in
  version) echo 'ngrok version 3.30.0' ;;
  *) token=$(sed -n 's/.*"authtoken": "\\([^"]*\\)".*/\\1/p' "$4")
     [ ! -e /srv/refuse-token ] || { echo "lvl=eror msg=\\"refused: $token\\" err=ERR_NGROK_105"; exit 1; }
     echo 'lvl=info msg="started tunnel" url=tcp://127.0.0.1:2222'; exec sleep 600 ;;
esac
"""

# Real packages are fetched once, when the layer is made; afterwards apt has nothing but this folder.
PREPARE = f"""
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends git > /dev/null
apt-get clean
apt-get install -y -qq --no-install-recommends --download-only python3-apt > /dev/null
mv /var/cache/apt/archives/*.deb {DEBS}/
cd /srv; apt-get download -qq libfaketime; dpkg-deb -x libfaketime_*.deb /srv/faketime; rm *.deb
for folder in {DEBS}/sources/*/; do
    dpkg-deb --root-owner-group -Znone -b "$folder" {DEBS} > /dev/null
done
rm -r {DEBS}/sources
cd {DEBS}
for deb in *.deb; do
    dpkg-deb -f "$deb"
    printf 'Filename: ./%s\\nSize: %s\\n' "$deb" "$(stat -c %s "$deb")"
    printf 'SHA256: %s\\n\\n' "$(sha256sum < "$deb" | cut -c -64)"
done > Packages
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*
echo 'deb [trusted=yes] file:{DEBS} ./' > /etc/apt/sources.list
apt-get update -qq
cd {REPO}
git init -q && git add -A -f && git -c user.name=t -c user.email=t@example.org commit -q -m source && git tag {NEW}
for name in eve mallory; do useradd -m -s /bin/bash $name; done
chmod 755 /srv/ngrok
rm /usr/local/bin/mrinfo  # of the layer below: it would be taken for an installed MRtrix3
"""


# --- A machine --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command in a machine came to."""

    command: str
    code: int
    out: str
    err: str
    seconds: float

    @property
    def tracebacks(self) -> int:
        return (self.out + self.err).count("Traceback (most recent call last)")

    @functools.cached_property
    def json(self) -> dict:
        """Return what it printed, {} where that is not one JSON object."""
        try:
            found = json.loads(self.out)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def message(self) -> str:
        """Return the sentence of its error."""
        return self.json.get("error", {}).get("message", "")

    def short(self) -> str:
        said = self.message or (self.err or self.out).strip().splitlines()[-1:] or ""
        return f"`{self.command[-160:]}` ended with {self.code}: {str(said)[:300]}"


# What may differ between two machines on which the same was done.
PASSED_OVER = (
    "/etc/ld.so.cache", "/etc/*-", "/etc/.pwd.lock", "*/__pycache__*", "/root/project/*", "/root/.local/*",
    "/home/*/.local/state/provision/logs*", "/srv/*.log", "/var/tmp/look-*", "/root/.cache/provision/source/*/*",
    "/run/lock*", "/var/lib/provision/*.lock", "/home/*/.cache/provision/source/*/*", "*/.provision-lock",
)  # fmt: skip
LOOKED_AT = ("etc", "home", "opt", "root", "run", "srv", "tmp", "usr/bin", "usr/local", "var/lib/provision", "var/tmp")
_PASSED_OVER = re.compile("|".join(map(fnmatch.translate, (*PASSED_OVER, *local_indexes()))))


class Machine:
    """A box, seen from outside: its files and its processes, whatever goes on in it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.init = box._pid
        self.root = Path(f"/proc/{self.init}/root")
        self._namespace = str(Path(f"/proc/{self.init}/ns/pid").readlink())

    # Commands

    def start(
        self, command: str, *, env: Mapping[str, str] | None = None, cwd: str | None = None, plain: bool = False
    ) -> Running:
        """Start a shell line. `provision` means the project's; `plain` leaves the line as it is."""
        return Running(self, command if plain else spelled(command), env, cwd)

    def run(self, command: str, *, limit: float = 120, **options) -> Done:
        return self.start(command, **options).wait(limit)

    def sh(self, lines: str) -> str:
        """Prepare something: lines that succeed."""
        return self.box.run(lines, cwd="/").stdout

    # Processes

    def processes(self) -> dict[int, list[str]]:
        """Return the command lines of all that runs here, by number; those of the harness's own are left out."""
        found = {}
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and int(entry.name) != self.init:
                with contextlib.suppress(OSError):
                    if str(Path(f"/proc/{entry.name}/ns/pid").readlink()) == self._namespace:
                        text = Path(f"/proc/{entry.name}/cmdline").read_bytes().rstrip(b"\0")
                        if text:
                            found[int(entry.name)] = text.decode(errors="replace").split("\0")
        return found

    def targets(self, kind: str, choice: random.Random) -> list[int]:
        """Return the processes of a run that a kill is meant for; none where there is none of that kind."""
        found = {pid: words for pid, words in self.processes().items() if not is_daemon(words)}
        mains = [pid for pid, words in found.items() if any(word.endswith("bin/provision") for word in words[:3])]
        plays = [pid for pid, words in found.items() if any(word.endswith("/ansible-playbook") for word in words[:3])]
        main_plays = [pid for pid in plays if parent(pid) not in plays]
        below = [pid for pid in found if any(up in main_plays for up in ancestors(pid))]
        return {
            "provision": mains,
            "ansible-playbook": main_plays,
            "everything": list(found),
            "worker": [choice.choice(sorted(below))] if below else [],
        }[kind]

    def wait_for_end(self, seconds: float = 20) -> list[str]:
        """Return what still runs after some time, daemons left out."""
        end = time.monotonic() + seconds
        while True:
            left = [" ".join(words)[:120] for words in self.processes().values() if not is_daemon(words)]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.02)

    # Files

    def look(self) -> dict[str, set[str]]:
        """Return all that tells this machine from another, as lines."""
        return {
            "files": set(self._files()),
            "packages": set(self._packages()),
            "noted": set(self._noted()),
            "running": set(self._running()),
        }

    def _files(self) -> Iterator[str]:
        for top in LOOKED_AT:
            for folder, folders, names in os.walk(self.root / top):
                inside = "/" + os.path.relpath(folder, self.root)
                folders[:] = [name for name in folders if not _PASSED_OVER.match(f"{inside}/{name}")]
                for name in [*folders, *names]:
                    path = f"{inside}/{name}"
                    if not _PASSED_OVER.match(path):
                        with contextlib.suppress(FileNotFoundError):
                            yield f"{path} {stat.filemode(os.lstat(self.root / path[1:]).st_mode)}"

    def _packages(self) -> Iterator[str]:
        text = (self.root / "var/lib/dpkg/status").read_text(errors="replace")
        for name, status in re.findall(r"^Package: (\S+)\nStatus: \S+ (.*)$", text, re.M):
            if "not-installed" not in status and "config-files" not in status:
                yield f"{name} {status}"

    def noted(self) -> dict:
        return read_json(self.root / "var/lib/provision/deps.json").get("installed", {})

    def _noted(self) -> Iterator[str]:
        for who, names in self.noted().items():
            yield from (f"{name} for {who}" for name in names)
        report = read_json(self.root / "var/lib/provision/mrtrix3.json").get("report", {})
        if report:
            yield f"mrtrix3 {report.get('version')} in {report.get('prefix')}, from {report.get('origin')}"

    def _running(self) -> Iterator[str]:
        for pid, words in self.processes().items():
            yield f"{' '.join(words)[:80]} at {sorted(listening(pid))}"

    def unwhole(self, prefix: str = "opt/mrtrix3") -> str:
        """Say what is wrong with the prefix at this moment; nothing when it is whole or not there."""
        try:
            here = os.open(self.root / prefix, os.O_DIRECTORY | os.O_PATH)
        except FileNotFoundError:
            return ""
        try:
            lacking = {f"bin/{name}" for name in (*COMMANDS, SCRIPT)} | {f"share/mrtrix3/{name}" for name in SHARED}
            lacking |= {".provision.json", "manifest.json"}
            lacking -= set(names_below(here))
            moved = os.fstat(here).st_ino != (self.root / prefix).stat().st_ino
            return "" if moved or not lacking else f"/{prefix} lacks {len(lacking)} files, such as {min(lacking)}"
        except FileNotFoundError:  # it was exchanged for another meanwhile
            return ""
        finally:
            os.close(here)

    def signature(self, pattern: str) -> tuple:
        """Return what changes when a file of that pattern comes, goes or is replaced."""
        found = []
        for path in sorted(self.root.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                found.append((path.name, status.st_ino, status.st_mtime_ns))
        return tuple(found)


class Running:
    """A command that was started in a machine."""

    def __init__(self, machine: Machine, command: str, env: Mapping[str, str] | None, cwd: str | None) -> None:
        self.command, self._machine, self._begin = command, machine, time.monotonic()
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115 (closed by wait)
        self.process = machine.box.popen(command, env=env, cwd=cwd or "/root", stdout=self._out, stderr=self._err)

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, limit: float) -> Done:
        """Return what came of it; -1 for a command that had to be killed after so many seconds."""
        try:
            code = self.process.wait(timeout=limit)
        except Exception:  # subprocess.TimeoutExpired
            for pid in self._machine.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(timeout=20)
            code = -1
        seconds = time.monotonic() - self._begin
        said = []
        for file in (self._out, self._err):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
            file.close()
        return Done(self.command, code, *said, round(seconds, 2))


class Looker(threading.Thread):
    """Looks at a prefix all the time while something goes on."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self._machine, self._over, self.looks, self.seen = machine, threading.Event(), 0, ""

    def run(self) -> None:
        while not self._over.wait(0.01):
            self.looks += 1
            self.seen = self.seen or self._machine.unwhole()

    def __enter__(self) -> Looker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def spelled(command: str) -> str:
    """Return a line of the tables as a shell takes it: with the whole path of the command."""
    whole = re.sub(r"(?<![\w/.-])provision (?=[a-z])", f"{PROVISION} ", command)
    whole = whole.replace("./bootstrap " + PROVISION, "./bootstrap provision").replace(
        f"-m {PROVISION}", "-m provision"
    )
    return f"exec {whole}" if whole.startswith(PROVISION) else whole


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def names_below(folder: int) -> Iterator[str]:
    here = Path(f"/proc/self/fd/{folder}")
    for part in (".", "bin", "share/mrtrix3"):
        with contextlib.suppress(FileNotFoundError):
            yield from (str(Path(part, path.name)) for path in (here / part).iterdir())


def parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = parent(pid)
        yield pid


def is_daemon(words: list[str]) -> bool:
    """Tell whether a process is meant to go on: a server of sshd, an agent of ngrok, or what the harness has."""
    text = " ".join(words)
    return (
        "sshd" in words[0]
        or "ngrok.yml" in text
        or "redact.sed" in text
        or "/srv/servers.py" in text
        or text.startswith(("sleep 600", "python3 /srv/hold", "timeout --kill-after=10"))
    )


def listening(pid: int) -> set[int]:
    """Return the TCP ports that a process itself listens at."""
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                inodes.update(re.findall(r"socket:\[(\d+)\]", str(Path(entry.path).readlink())))
    ports = set()
    for name in ("tcp", "tcp6") if inodes else ():
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and words[9] in inodes:
                    ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


def difference(found: dict[str, set[str]], expected: list[dict[str, set[str]]]) -> list[str]:
    """Return in words how a machine differs from the nearest of those it may be like; nothing when it is like one."""

    def apart(one: dict[str, set[str]]) -> list[str]:
        words = []
        for part, lines in one.items():
            for what, which in (("too much", found[part] - lines), ("lacking", lines - found[part])):
                if which:
                    shown = ", ".join(sorted(which)[:4]) + (f" and {len(which) - 4} more" if len(which) > 4 else "")
                    words.append(f"{part} {what}: {shown}")
        return words

    return min(map(apart, expected), key=len)


# --- The world --------------------------------------------------------------------------------------------------------


class World:
    """The roots that machines stand on, and what they come to when nothing is done to them."""

    def __init__(self, machines: Machines, suite: str, starts: Mapping[str, str]) -> None:
        self._machines, self._starts = machines, starts
        self._outcomes: dict[tuple, tuple] = {}
        self._making: dict[tuple, threading.Lock] = {}
        self._lock = threading.Lock()
        ours = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (__file__, packing.__file__)]
        self._roots = {"bare": machines.layer(with_ssh(machines, suite), "faults", self._prepare, key=ours)}

    def _prepare(self, box: Box) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name, "srv")
            for version in VERSIONS:
                write_tree(Path(name, version), version)
                pack_tree(Path(name, version), folder / "store", version)
            planted = Path(name, "planted")
            write_tree(planted, NEW)
            script = (planted / "bin" / SCRIPT).read_text()
            write(planted / "bin" / SCRIPT, f"{script}import os\nos.system('touch /srv/pwned-$(id -u)')\n", 0o755)
            pack_tree(planted, folder / "planted", NEW)
            write_source(folder / "mrtrix3", NEW)
            write_packages(folder / "debs/sources")
            write(folder / "ngrok", AGENT, 0o755)
            box.copy_in(folder, "/srv")
        box.run(PREPARE, cwd="/")

    def _start(self, name: str) -> Path:
        """Return the root that machines begin on, made by a command when it is first asked for."""
        with self._lock:
            if name not in self._roots:
                self._roots[name] = self._machines.layer(self._roots["bare"], f"faults-{name}", self._after(name))
        return self._roots[name]

    def _after(self, name: str) -> Callable[[Box], object]:
        def prepare(box: Box) -> None:
            box.cut_network()
            box.run(spelled(self._starts[name]), cwd="/root")

        return prepare

    @contextlib.contextmanager
    def machine(self, start: str = "bare") -> Iterator[Machine]:
        with self._machines.box(self._start(start), offline=True) as box:
            box.run("chmod 755 /root", cwd="/")  # for other users; the project comes with a closed one
            yield Machine(box)

    def outcome(self, start: str, *commands: str) -> tuple[dict[str, set[str]], list[float]]:
        """Return what such a machine is like after some commands one after the other, and the seconds of each."""
        key = (start, *commands)
        with self._lock:
            lock = self._making.setdefault(key, threading.Lock())
        with lock:
            if key not in self._outcomes:
                self._outcomes[key] = self._find_outcome(start, commands)
        return self._outcomes[key]

    def _find_outcome(self, start: str, commands: tuple[str, ...]) -> tuple[dict[str, set[str]], list[float]]:
        with self.machine(start) as machine:
            done = [machine.run(command) for command in commands]
            for one in done:
                if one.code:
                    raise RuntimeError(f"not even undisturbed: {one.short()}\n{one.err[-2000:]}")
            machine.wait_for_end()
            return machine.look(), [one.seconds for one in done]
