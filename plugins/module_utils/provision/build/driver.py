"""What MRtrix3's build systems have in common: running, watching and stopping their commands."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time

from ..commands import plain_environment, run
from ..failures import Problem
from ..files import write_json
from ..interrupts import command
from ..reading import read_json, read_text
from ..store.checkpoint import SPENT
from ..store.portable import LINK_FLAGS
from ..system import os_release
from .estimate import seconds_left, share_done, step_cost, step_name

_STEP = re.compile(r"^[(\[]\s*(\d+)/(\d+)[)\]]\s*(.*)")
_OUT_OF_MEMORY = re.compile(
    r"Killed signal terminated program|: Killed\b|out of memory allocating|virtual memory exhausted|std::bad_alloc"
    r"|Cannot allocate memory"
)


class BuildError(Problem):
    """A build that cannot continue."""

    def __init__(self, message, hint="", log="", lines=(), code="build-failed"):
        super().__init__(message, hint, code)
        self.log, self.lines = log, list(lines)


class Clock:
    """The time spent compiling a tree over all runs, in a file of the tree."""

    def __init__(self, source):
        self._path = os.path.join(source, SPENT)
        self._before, self._start, self._noted = read_json(self._path).get("seconds", 0), time.monotonic(), 0.0

    def seconds(self):
        """Return the seconds so far."""
        return round(self._before + time.monotonic() - self._start, 1)

    def note(self, now=False):
        """Save them, at most every ten seconds unless `now`: the time of a run that is killed counts too."""
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
        self.begun, self.ahead = [], []

    def settings(self):
        """Return what this tree's objects depend on besides the sources."""
        code, out, _error = run(["c++", "--version"], plain_environment())
        if code:
            hint = "Install one with the role deps: provision run deps."
            raise BuildError("There is no working C++ compiler.", hint, code="no-compiler")
        return {
            "cpu": self.cpu,
            "compiler": out.partition("\n")[0],
            "system": type(self).__name__,
            "links": LINK_FLAGS,
            # Library headers, such as Eigen's, come with the distribution's release.
            "release": os_release().get("PRETTY_NAME", ""),
        }

    def _path(self, *names):
        return os.path.join(self.source, *names)

    def call(self, argv, environment=None, watch=False, folder=None):
        """Run a command in the tree or another folder, with its output in the log; stop it if this run is stopped."""
        # Flags, compilers and paths from the caller's environment would change the build.
        environment = plain_environment(**(environment or {}))
        with open(self.log, "ab") as log:
            log.write((" ".join(argv) + "\n").encode())
            options = {
                "cwd": folder or self.source,
                "env": environment,
                "stdout": subprocess.PIPE,
                # If this process is killed, the lock is held until the last compiler has ended.
                "pass_fds": [self.lock.fileno()],
            }
            try:
                with command(argv, _stop, **options) as process:
                    tail = self._follow(process, log, watch)
                    _stop(process)
            finally:
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
        errors = [line for line in said if re.search(r"\berror\b", line, re.I)] or said[-1:] or ["no output"]
        problem = errors[-1]
        if problem.endswith(":"):  # CMake says what is wrong on the next line
            problem = " ".join([problem, *said[said.index(problem) + 1 :][:1]])
        hint = f"The full output is in {self.log}."
        return BuildError(f"{self.title} could not be built: {problem}", hint, self.log, tail)

    def _out_of_memory(self, tail):
        if self.jobs > 1:
            hint = f"Use fewer jobs: {self.option}={self.jobs // 2}."
        else:
            hint = (
                "One compiler alone needs up to 3.4 GiB: close other programs, add swap, or use a saved build or an "
                "archive. What has been compiled is kept."
            )
        return BuildError("The compiler ran out of memory.", hint, self.log, tail, code="out-of-memory")

    def _follow(self, process, log, watch):
        """Copy the output to the log, report the steps, and return the last lines."""
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN | select.POLLHUP)
        # Our own output is a pipe to the run that started us: it hangs up when that run, or its ssh, has ended.
        poll.register(1, 0)
        parents = _parents()
        rest, tail = b"", []
        while True:
            if _parents() != parents:
                raise BuildError("The run that started this build has ended.")
            self.clock.note()
            for descriptor, _event in poll.poll(1000):
                if descriptor == 1:
                    raise BuildError("The run that started this build has ended.")
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
                self.steps, total = int(step.group(1)), int(step.group(2))
                self.begun.append(step_name(step.group(3)))
                self.tell(self.steps, total, step.group(3), self._share(total - self.steps))

    def _share(self, steps):
        """Return the share of the work that is done when so many steps have not begun."""
        left = seconds_left(set(self.ahead) - set(self.begun), steps)
        return round(share_done(list(map(step_cost, self.begun)), left, self.jobs), 5)


def _parents():
    """Return our parent, its parent, and that one's: a shell, Ansible's worker, and ansible-playbook."""
    # If ansible-playbook is killed, its worker survives and gets another parent.
    pids = [os.getpid()]
    for _turn in range(3):
        status = read_text(f"/proc/{pids[-1]}/status")
        found = re.search(r"^PPid:\s*(\d+)", status, re.M)
        pids.append(int(found.group(1)) if found else 0)
    return pids


def _stop(process):
    """Stop a process and all that it started, in a process group of its own."""
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
            time.sleep(0.1)  # its compilers end after it
    process.wait()


def stop_on_signals():
    """Make the signals that end this process stop its build too, which has its own session."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number, frame):
    # An exception, so that `finally` blocks run.
    raise SystemExit(1)
