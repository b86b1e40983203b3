"""Compiling a source tree, resuming an earlier build."""

from __future__ import annotations

import difflib
import os
from contextlib import ExitStack, contextmanager

from ..elf import is_whole_elf
from ..file_lock import locked
from ..files import write_json
from ..reading import read_json
from ..store.checkpoint import Checkpoint, age_sources
from .driver import BuildError, Clock
from .estimate import steps_ahead
from .systems import system_of

_STAMP = ".provision-build.json"
# The largest step of the build peaks at 3.4 GiB: src/registration, g++ 12, measured with GNU time on MRtrix3 3.0.8.
BYTES_PER_JOB = int(3.4 * 2**30)


def choose_jobs(asked, cores, memory):
    """Return how many compilers to run at once: as many as asked for, else one per core if memory allows."""
    if asked > 0:
        return asked
    return cores if memory is None else max(1, min(cores, memory // BYTES_PER_JOB))


def build(source, commands, cpu, jobs, tell, warn, store="", commit="", against=""):
    """Configure if needed, compile, and return the Build."""
    with tree_locked(source) as lock:
        work = system_of(source, against, cpu, jobs, tell, lock)
        check_commands(work, commands)
        stamp = os.path.join(source, _STAMP)
        settings = work.settings()
        is_fresh = not os.path.exists(stamp)
        if commit and is_fresh:
            age_sources(source)
        if store:
            work.checkpoint = Checkpoint(store, source, {**settings, "commit": commit})
            if is_fresh:
                work.checkpoint.restore()
            work.clock = Clock(source)
        if not work.configured() or read_json(stamp) != settings:
            work.configure()
            write_json(stamp, settings)
        drop_damaged(source)
        work.ahead = steps_ahead(source, commands)
        if not store:
            work.compile(commands)
            return work
        work.checkpoint.start()
        try:
            work.compile(commands)
        finally:
            work.checkpoint.stop()
            for note in work.checkpoint.notes():
                warn(note)
        return work


def check_commands(build, wanted):
    """Raise BuildError for commands that this version of MRtrix3 does not have."""
    known = build.known()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known)
        raise BuildError(
            f"This version of MRtrix3 has no command {', '.join(map(repr, unknown))}.",
            f"Did you mean {' or '.join(map(repr, near))}?" if near else f"It has: {', '.join(sorted(known))}.",
            code="no-command",
        )


def drop_damaged(source):
    """Delete objects, libraries and programs that an interrupted build left incomplete; return their names."""
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
    # A file in bin is a script or a program; a truncated program has no or half a magic number.
    return not start.startswith(b"#!") and (start == b"\x7fELF" or not start.strip(b"\0"))


@contextmanager
def tree_locked(source, seconds=15):
    """Hold the tree's lock, after waiting a little for a build that is being stopped."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(locked(os.path.join(source, ".provision-lock"), seconds))
        except BlockingIOError:
            raise BuildError(
                f"Another run is building MRtrix3 in {source}.", "Wait for it to finish, or stop it.", code="locked"
            ) from None
        yield lock
