#!/usr/bin/python
"""Compile MRtrix3, or a module of it, in its source tree, going on from where an earlier build stopped."""

from __future__ import annotations

DOCUMENTATION = """
module: mrtrix3_build
short_description: Compile MRtrix3, or a module of it, in its source tree
description:
  - Configures without the graphical programs and compiles all commands or those named, with either of MRtrix3's build
    systems (C(configure) and C(build), or CMake with Ninja).
  - What an earlier, interrupted build finished is kept; what it left half written is made again.
  - When the run that started it goes away, the build stops; two builds never work in one tree.
author: The provision founders (!UNKNOWN)
options:
  source:
    type: path
    required: true
    description: The source tree.
  against:
    type: path
    description:
      - The MRtrix3 that C(source) is an external module of. Either an installation by this collection, which has what
        modules need, or a source tree, which is configured when it is not, and of which only that is compiled that the
        module needs.
  commands:
    type: list
    elements: str
    default: []
    description: The commands to build; none means all.
  cpu:
    type: str
    default: ""
    description: The processor to compile for, as the compiler's C(-march) takes it; empty for the compiler's default.
  jobs:
    type: int
    default: 0
    description: Compiler processes at once; C(0) is one per core, fewer where memory is short.
  progress:
    type: path
    description: A file that is told how far the build is, as one JSON object.
  store:
    type: path
    description:
      - A folder, on a disk that outlives this machine, that keeps what is finished as the build goes, and from which a
        build on a fresh machine goes on. Needs C(commit).
  commit:
    type: str
    default: ""
    description: The commit that the source tree is at.
"""

EXAMPLES = """
- name: Compile two commands of MRtrix3
  provision_founders.provision.mrtrix3_build:
    source: /usr/local/src/mrtrix3
    commands: [mrinfo, mrconvert]
    cpu: x86-64-v3
"""

RETURN = """
steps:
  description: How many steps the build has done; 0 when all of it was there.
  type: int
  returned: success
jobs:
  description: How many compilers worked at once.
  type: int
  returned: success
system:
  description: The build system, V(Configure) or V(CMake), or V(Module) for an external module.
  type: str
  returned: success
log:
  description: All that the build printed.
  type: str
  returned: success
seconds:
  description: How long this took.
  type: float
  returned: success
spent:
  description: How long compiling has taken in all, with the builds that were interrupted and gone on with.
  type: float
  returned: success
unfinished:
  description: The folder that keeps what is finished while the rest is not; empty without O(store).
  type: str
  returned: success
notes:
  description: What went wrong with the pieces that the store keeps while the build is unfinished, as sentences.
  type: list
  elements: str
  returned: success
build_log:
  description: The log, where the build failed.
  type: str
  returned: failure
"""

import difflib
import hashlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.commands import plain_environment, run
from ..module_utils.provision.failures import failure
from ..module_utils.provision.file_lock import locked
from ..module_utils.provision.files import write_json
from ..module_utils.provision.progress import teller
from ..module_utils.provision.reading import is_script, read_json, read_text
from ..module_utils.provision.store.checkpoint import SPENT, Checkpoint, age_sources
from ..module_utils.provision.store.portable import HERE_ALONE, LINK_FLAGS
from ..module_utils.provision.system import memory_available, os_release

_STAMP = ".provision-build.json"
# One step of the build peaks at 3.4 GiB: src/registration, g++ 12, measured with GNU time on MRtrix3 3.0.8.
BYTES_PER_JOB = int(3.4 * 2**30)
_STEP = re.compile(r"^[(\[]\s*(\d+)/(\d+)[)\]]\s*(.*)")
_OUT_OF_MEMORY = re.compile(
    r"Killed signal terminated program|: Killed\b|out of memory allocating|virtual memory exhausted|std::bad_alloc"
    r"|Cannot allocate memory"
)


class BuildError(Exception):
    """A build that cannot go on; the message and the hint are for people."""

    def __init__(self, message, hint="", log="", lines=(), code="build-failed"):
        super().__init__(message)
        self.message, self.hint, self.log, self.lines, self.code = message, hint, log, list(lines), code


def choose_jobs(asked, cores, memory):
    """Return how many compilers to run at once: those asked for, else one per core as far as the free memory allows."""
    if asked > 0:
        return asked
    return cores if memory is None else max(1, min(cores, memory // BYTES_PER_JOB))


def is_whole_elf(path):
    """Tell whether an ELF file has everything its header promises: a killed assembler or linker leaves less.

    The section headers are written last and stand at the end (System V ABI, chapter 4), so they must lie in the file.
    """
    with open(path, "rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:4] != b"\x7fELF" or header[4] != 2:
        return False
    offset = int.from_bytes(header[40:48], sys.byteorder)
    size, count = (int.from_bytes(header[at : at + 2], sys.byteorder) for at in (58, 60))
    return offset > 0 and offset + size * count <= os.path.getsize(path)


def drop_damaged(source):
    """Delete objects, libraries and programs that an interrupted build left half written; return their names."""
    damaged = []
    for top in ("tmp", "lib", "bin", "build"):
        for folder, _folders, names in os.walk(os.path.join(source, top)):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.islink(path) or not _should_be_elf(top, name, path):
                    continue
                if not is_whole_elf(path):
                    os.unlink(path)
                    damaged.append(os.path.relpath(path, source))
    return damaged


def _should_be_elf(top, name, path):
    if name.endswith((".o", ".so")):
        return True
    if top != "bin" or "." in name:
        return False
    with open(path, "rb") as file:
        start = file.read(4)
    # What stands in bin is a script or a program; a program that is cut off has no or half a magic number.
    return not start.startswith(b"#!") and (start == b"\x7fELF" or not start.strip(b"\0"))


class Clock:
    """How long a tree has been compiled for, over all runs that were at it, in a file of the tree."""

    def __init__(self, source):
        self._path = os.path.join(source, SPENT)
        self._before, self._start, self._noted = read_json(self._path).get("seconds", 0), time.monotonic(), 0.0

    def seconds(self):
        """Return the seconds so far."""
        return round(self._before + time.monotonic() - self._start, 1)

    def note(self, now=False):
        """Write them down, at most every ten seconds unless told: a run that is killed has spent them too."""
        if now or time.monotonic() - self._noted > 10:
            self._noted = time.monotonic()
            write_json(self._path, {"seconds": self.seconds()})


class Build:
    """One of the build systems, driven in a source tree."""

    title, option = "MRtrix3", "mrtrix3_jobs"

    def __init__(self, source, cpu, jobs, tell, lock):
        self.source, self.cpu, self.jobs, self.tell, self.lock = source, cpu, jobs, tell, lock
        self.checkpoint, self.clock = None, Clock(source)
        self.log = os.path.join(source, "provision-build.log")
        self.steps = 0

    def settings(self):
        """Return what the objects of this tree depend on besides the sources."""
        code, out, _error = run(["c++", "--version"], plain_environment())
        if code:
            raise BuildError(
                "There is no C++ compiler that works.",
                "The role deps installs one: provision run deps.",
                code="no-compiler",
            )
        return {
            "cpu": self.cpu,
            "compiler": out.partition("\n")[0],
            "system": type(self).__name__,
            "links": LINK_FLAGS,
            # The headers of libraries, such as Eigen's, are those of the release.
            "release": os_release().get("PRETTY_NAME", ""),
        }

    def call(self, argv, environment=None, watch=False, folder=None):
        """Run a command in the tree or another folder, its output to the log; stop it when nobody waits for it."""
        # Flags, compilers and paths that somebody has exported would make another build than the one it is named.
        environment = plain_environment(**(environment or {}))
        with open(self.log, "ab") as log:
            log.write((" ".join(argv) + "\n").encode())
            process = subprocess.Popen(
                argv,
                cwd=folder or self.source,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # If this process is killed, the build keeps the lock until its last compiler has ended.
                pass_fds=[self.lock.fileno()],
            )
            try:
                tail = self._follow(process, log, watch)
            finally:
                _stop(process)
                self.clock.note(now=True)
        if process.returncode:
            raise self._failure(tail, process.returncode)

    def _failure(self, tail, code):
        """Return the error for a build that ended with this code and these last lines."""
        text = "\n".join(tail)
        if "No space left on device" in text:
            hint = "Free some space (a full build needs 0.3 GB) and run it again."
            return BuildError("The disk is full.", hint, self.log, tail, code="disk-full")
        if _OUT_OF_MEMORY.search(text) or code == -signal.SIGKILL:
            return self._out_of_memory(tail)
        said = [line.strip() for line in tail if line.strip()]
        errors = [line for line in said if re.search(r"\berror\b", line, re.I)] or said[-1:] or ["it said nothing"]
        problem = errors[-1]
        if problem.endswith(":"):  # CMake says what is wrong on the next line
            problem = " ".join([problem, *said[said.index(problem) + 1 :][:1]])
        hint = f"All of its output is in {self.log}."
        return BuildError(f"{self.title} could not be built: {problem}", hint, self.log, tail)

    def _out_of_memory(self, tail):
        if self.jobs > 1:
            hint = f"Use fewer jobs: {self.option}={self.jobs // 2}."
        else:
            hint = (
                "One compiler alone needs up to 3.4 GiB: close other programs, add swap, or take a build from a store "
                "or an archive. What is compiled is kept."
            )
        return BuildError("The compiler was killed: memory ran out.", hint, self.log, tail, code="out-of-memory")

    def _follow(self, process, log, watch):
        """Copy the output to the log, tell the steps seen, and return the last lines."""
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN | select.POLLHUP)
        # Our own output is a pipe to the run that started us: it hangs up when that run, or its ssh, is gone.
        poll.register(1, 0)
        parents = _parents()
        rest, tail = b"", []
        while True:
            if _parents() != parents:
                raise BuildError("The run that started this build is gone.")
            self.clock.note()
            for descriptor, _event in poll.poll(1000):
                if descriptor == 1:
                    raise BuildError("The run that started this build is gone.")
                block = os.read(process.stdout.fileno(), 65536)
                if not block:
                    process.wait()
                    return tail
                log.write(block)
                log.flush()
                *lines, rest = (rest + block).split(b"\n")
                tail = (tail + [line.decode(errors="replace") for line in lines])[-400:]
                if watch:
                    self._count(lines)

    def _count(self, lines):
        for line in lines:
            step = _STEP.match(line.decode(errors="replace"))
            if step:
                self.steps = int(step.group(1))
                self.tell(self.steps, int(step.group(2)), step.group(3))


# What makes g++ quicker and leaves what it makes as it is. Almost every file begins with reading these headers, 1.2 s
# of 2 to 60; and a compiler that may fill 1 GB before it first looks for garbage is quicker by a tenth.
_PRECOMPILED = "provision-precompiled.h"
_HEADERS = ("app.h", "image.h", "algo/threaded_loop.h")
_QUICKER = f"""
{HERE_ALONE}
cpp_flags = [ '--param', 'ggc-min-heapsize=1000000', '-include', '{_PRECOMPILED}' ] + cpp_flags
"""


class Configure(Build):
    """MRtrix3 up to 3.0.x: ``./configure`` and ``./build``."""

    def configure(self):
        """Write the file `config`."""
        environment = {"ARCH": self.cpu} if self.cpu else {}
        self.call([sys.executable, "./configure", "-nogui"], {"LINKFLAGS": LINK_FLAGS, **environment})
        if self._is_gcc() and all(os.path.exists(self._path("core", name)) for name in _HEADERS):
            with open(self._path("config"), "a", encoding="utf-8") as file:
                file.write(_QUICKER)

    def _path(self, *names):
        return os.path.join(self.source, *names)

    def _config(self):
        """Return the variables that `config` sets, read as MRtrix3's own script reads it."""
        found = {"os": os, "shutil": shutil}
        with open(self._path("config"), encoding="utf-8") as file:
            exec(file.read(), found)
        return found

    def _is_gcc(self):
        compiler = os.path.basename(self._config()["cpp"][0])
        said = run([compiler, "--version"], plain_environment())[1]
        return compiler.startswith(("g++", "c++")) and "Free Software Foundation" in said

    def _precompile(self):
        """Read the headers once for all files, where they were not yet or one has changed since.

        Without it, or when it does not work out, the compiler reads them each time, as always.
        """
        config = self._config()
        if _PRECOMPILED not in config["cpp_flags"]:
            return
        # On a machine that goes on with another's build, `config` is there and this is not.
        with open(self._path(_PRECOMPILED), "w", encoding="utf-8") as file:
            file.writelines(f'#include "{name}"\n' for name in _HEADERS)
        made = self._path(f"{_PRECOMPILED}.gch")
        headers = [
            os.path.join(folder, name) for folder, _folders, names in os.walk(self._path("core")) for name in names
        ]
        newest = max((os.path.getmtime(path) for path in headers if path.endswith(".h")), default=0)
        if os.path.exists(made) and os.path.getmtime(made) >= newest:
            return
        at = config["cpp_flags"].index("-include")
        flags = config["cpp_flags"][:at] + config["cpp_flags"][at + 2 :] + config["eigen_cflags"]
        argv = [config["cpp"][0], *flags, "-Isrc", "-Icore", "-Icmd", "-x", "c++-header", _PRECOMPILED, "-o", made]
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                argv,
                cwd=self.source,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=300,
                check=False,
                env=plain_environment(),
            )

    def configured(self):
        """Tell whether `config` is there."""
        return os.path.exists(os.path.join(self.source, "config"))

    def compile(self, commands):
        """Compile the commands named, or all."""
        scripts = self._scripts()
        targets = [name for name in (f"bin/{command}" for command in commands) if name not in scripts]
        if commands and not targets:
            return
        self._precompile()
        self.call(
            [sys.executable, "./build", "-nopaginate", *targets], {"NUMBER_OF_PROCESSORS": str(self.jobs)}, watch=True
        )

    def known(self):
        """Return the names of all commands that this tree can build."""
        compiled = [name[:-4] for name in os.listdir(os.path.join(self.source, "cmd")) if name.endswith(".cpp")]
        return compiled + [os.path.basename(name) for name in self._scripts()]

    def _scripts(self):
        names = [f"bin/{name}" for name in os.listdir(os.path.join(self.source, "bin"))]
        return [name for name in names if is_script(os.path.join(self.source, name))]


class CMake(Build):
    """MRtrix3 from 3.1 on and the branch `dev`: CMake with Ninja."""

    def configure(self):
        """Make the folder `build`."""
        flags = [f"-DCMAKE_CXX_FLAGS=-march={self.cpu}"] if self.cpu else []
        # Ninja hands each link to a shell, which must not take $ORIGIN for a variable of its own.
        link = LINK_FLAGS.replace("$ORIGIN", "'$ORIGIN'")
        flags += [f"-DCMAKE_{kind}_LINKER_FLAGS={link}" for kind in ("EXE", "SHARED")]
        self.call(
            [
                "cmake",
                "-S",
                ".",
                "-B",
                "build",
                "-G",
                "Ninja",
                "-DCMAKE_BUILD_TYPE=Release",
                "-DMRTRIX_BUILD_GUI=OFF",
                "-DMRTRIX_ENABLE_GPU=OFF",
                "-DMRTRIX_USE_SYSTEM_EIGEN=ON",
                "-DMRTRIX_PYTHON_SOFTLINK=OFF",
                # The programs of the build folder find their library where they will when they are installed.
                "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
                # What the user has built elsewhere is noted in their home.
                "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF",
                *flags,
            ]
        )

    def configured(self):
        """Tell whether CMake came to its end."""
        return os.path.exists(os.path.join(self.source, "build", "build.ninja"))

    def compile(self, commands):
        """Compile the commands named, or all; a Python command has all compiled ones made, as MRtrix3 has it."""
        targets = ["--target", *commands] if commands else []
        self.call(
            ["cmake", "--build", "build", "-j", str(self.jobs), *targets], {"NINJA_STATUS": "[%f/%t] "}, watch=True
        )

    def known(self):
        """Return the names of all commands that this tree can build."""
        compiled = os.listdir(os.path.join(self.source, "cpp", "cmd"))
        scripts = os.listdir(os.path.join(self.source, "python", "mrtrix3", "commands"))
        names = {os.path.splitext(name)[0] for name in compiled + scripts}
        return sorted(names - {"CMakeLists", "__init__"})


class Module(Build):
    """An external module of MRtrix3: the script `build` of that MRtrix3, called in the module's folder.

    https://mrtrix.readthedocs.io/en/latest/tips_and_tricks/external_modules.html
    """

    def __init__(self, against, *given):
        super().__init__(*given)
        self.against = against
        self.title, self.option = f"The module {os.path.basename(self.source)}", "mrpeek_jobs"

    def settings(self):
        """Return what the objects depend on: among it how MRtrix3 is configured, which is done first if need be."""
        config = os.path.join(self.against, "config")
        if not os.path.exists(config):
            environment = {"ARCH": self.cpu} if self.cpu else {}
            self.call(
                [sys.executable, "./configure", "-nogui"], {"LINKFLAGS": LINK_FLAGS, **environment}, folder=self.against
            )
        with open(config, "rb") as file:
            return {**super().settings(), "against": self.against, "config": hashlib.sha256(file.read()).hexdigest()}

    def configure(self):
        """Drop what was made with other settings."""
        for name in ("tmp", "bin", "lib"):
            shutil.rmtree(os.path.join(self.source, name), ignore_errors=True)

    def configured(self):
        """Tell that there is nothing to configure."""
        return True

    def compile(self, commands):
        """Compile all commands of the module, or those named."""
        argv = [sys.executable, os.path.join(self.against, "build"), "-nopaginate"]
        argv += [f"bin/{command}" for command in commands]
        self.call(argv, {"NUMBER_OF_PROCESSORS": str(self.jobs)}, watch=True)

    def known(self):
        """Return the names of the module's commands."""
        return [name[:-4] for name in os.listdir(os.path.join(self.source, "cmd")) if name.endswith(".cpp")]


def _parents():
    """Return our parent, its parent, and that one's: on this machine a shell, Ansible's worker, and ansible-playbook.

    A worker outlives an ansible-playbook that is killed, and is then somebody else's child.
    """
    pids = [os.getpid()]
    for _turn in range(3):
        status = read_text(f"/proc/{pids[-1]}/status")
        found = re.search(r"^PPid:\s*(\d+)", status, re.M)
        pids.append(int(found.group(1)) if found else 0)
    return pids


def _stop(process):
    """Stop a process and all it started; its group is its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            time.sleep(0.1)  # the compilers below it end after it does
    process.wait()


def check_commands(build, wanted):
    """Raise BuildError for a command that this version of MRtrix3 does not have."""
    known = build.known()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, 3, 0.5)
        raise BuildError(
            f"This version of MRtrix3 has no command {', '.join(map(repr, unknown))}.",
            f"Did you mean {' or '.join(map(repr, near))}?" if near else f"It has: {', '.join(sorted(known))}.",
            code="no-command",
        )


def build(source, commands, cpu, jobs, tell, warn, lock, store="", commit="", against=""):
    """Configure where needed, compile, and return the Build that did it."""
    work = system_of(source, against, cpu, jobs, tell, lock)
    check_commands(work, commands)
    stamp = os.path.join(source, _STAMP)
    settings = work.settings()
    if commit and not os.path.exists(stamp):
        age_sources(source)
    if store:
        work.checkpoint = go_on_from(store, source, {**settings, "commit": commit})
        work.clock = Clock(source)
    if not work.configured() or read_json(stamp) != settings:
        work.configure()
        write_json(stamp, settings)
    drop_damaged(source)
    with kept(work.checkpoint, warn):
        work.compile(commands)
    return work


def system_of(source, against, *given):
    """Return the Build that a tree is for."""
    if against:
        return Module(against, source, *given)
    system = CMake if os.path.exists(os.path.join(source, "CMakeLists.txt")) else Configure
    return system(source, *given)


def go_on_from(store, source, settings):
    """Return the build's checkpoint, after putting what it has kept into a tree that has nothing yet."""
    checkpoint = Checkpoint(store, source, settings, is_whole_elf)
    if not os.path.exists(os.path.join(source, _STAMP)):
        checkpoint.restore()
    return checkpoint


@contextmanager
def kept(checkpoint, warn):
    """Keep what is finished while the block runs, where there is a checkpoint, and tell what went wrong with that."""
    if checkpoint is None:
        yield
        return
    checkpoint.start()
    try:
        yield
    finally:
        checkpoint.stop()
        for note in checkpoint.notes():
            warn(note)


@contextmanager
def tree_locked(source, seconds=15):
    """Hold the tree's lock, after waiting a little for a build that is just being stopped."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(locked(os.path.join(source, ".provision-lock"), seconds))
        except BlockingIOError:
            raise BuildError(
                f"Another run is building MRtrix3 in {source}.", "Wait for it to end, or stop it.", code="locked"
            ) from None
        yield lock


def stop_on_signals():
    """Make the signals that end this process end its build too, which is in a session of its own."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number, frame):
    # Not at once: what is being done is left as its `finally` leaves it.
    raise SystemExit(1)


def main():
    """Run as an Ansible module."""
    stop_on_signals()
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "against": {"type": "path"},
            "commands": {"type": "list", "elements": "str", "default": []},
            "cpu": {"type": "str", "default": ""},
            "jobs": {"type": "int", "default": 0},
            "progress": {"type": "path"},
            "store": {"type": "path"},
            "commit": {"type": "str", "default": ""},
        },
        supports_check_mode=False,
        required_by={"store": ["commit"]},
    )
    given = module.params
    start = time.monotonic()
    jobs = choose_jobs(given["jobs"], len(os.sched_getaffinity(0)), memory_available())
    try:
        with tree_locked(given["source"]) as lock:
            tell = teller(given["progress"], "steps")
            names = ("source", "against", "commands", "cpu", "store", "commit")
            work = build(jobs=jobs, tell=tell, warn=module.warn, lock=lock, **{name: given[name] for name in names})
    except BuildError as error:
        module.fail_json(msg=error.message, hint=error.hint, code=error.code, build_log=error.log, lines=error.lines)
    except OSError as error:
        module.fail_json(**failure(error))
    module.exit_json(
        changed=work.steps > 0,
        steps=work.steps,
        jobs=jobs,
        log=work.log,
        system=type(work).__name__,
        seconds=round(time.monotonic() - start, 1),
        spent=work.clock.seconds(),
        unfinished=work.checkpoint.folder if work.checkpoint else "",
        notes=work.checkpoint.notes() if work.checkpoint else [],
    )


if __name__ == "__main__":
    main()
