"""Checkpoints of an unfinished build, saved in the store so that another machine can resume it."""

# unfinished/<name> has pieces 0001.tar.zst and so on, each with the files finished since the one before. The files of a
# broken piece are compiled again.

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import subprocess
import tarfile
import threading
import time
from contextlib import suppress

from ..commands import plain_environment
from ..elf import is_whole_elf
from ..reading import is_elf
from .errors import NotTrusted, StoreError, Unreadable
from .members import Members, extract_member
from .names import set_aside
from .pack import written_whole
from .read import stream_of

# Errors of the folder that is built in, rather than of a piece.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_LARGEST = 1 << 34  # bytes of all files in a piece
SECONDS = 20  # between two pieces; a step takes 6 s on average
_PIECE = re.compile(r"\d{4}\.tar\.zst")
# The folders of a build system's output, and the files that it writes elsewhere in the tree.
_MADE = ("tmp", "lib", "bin", "build")
SPENT = ".provision-spent.json"  # the time spent so far, which alone does not justify a piece
_WRITTEN = ("config", ".provision-build.json", SPENT, "core/version.cpp", "src/exec_version.cpp")


def name_of(settings):
    """Return the name of a build's folder; builds with the same settings share one."""
    text = json.dumps(settings, sort_keys=True)
    return f"mrtrix3-{settings['commit'][:12]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def age_sources(source):
    """Set the times of all files in a fresh clone to that of its commit, so that any compiled file is newer."""
    # Build systems compare times, and restored objects may be older than this clone.
    git = ["git", "-c", "safe.directory=*", "-C", source]
    how = {"capture_output": True, "env": plain_environment()}  # without a GIT_DIR of another repository
    names = subprocess.run([*git, "ls-files", "-z"], check=True, **how).stdout.split(b"\0")
    committed = subprocess.run([*git, "log", "-1", "--format=%ct"], check=True, **how).stdout
    for name in filter(None, names):
        os.utime(os.path.join(os.fsencode(source), name), (int(committed), int(committed)), follow_symlinks=False)


class Checkpoint:
    """The saved pieces of one build of a source tree with given settings."""

    def __init__(self, store, source, settings):
        self.folder = os.path.join(store, "unfinished", name_of(settings))
        self.source, self._kept = source, {}
        self.problem = self.unkept = ""  # why not all pieces could be used, and why no more are saved
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def restore(self):
        """Restore the files of all readable pieces to the source tree; return how many there were."""
        count = 0
        try:
            pieces = self._pieces()
        except OSError as error:
            self.problem = f"{self.folder} could not be read: {error.strerror}"
            return 0
        for path in pieces:
            try:
                self._check(path)  # completely, before any file is written: half an object looks finished
                with stream_of(path) as tar:
                    for member in tar:
                        self._take(tar, member)
                        count += 1
            except (NotTrusted, Unreadable) as error:
                self.problem = error.message
                break
            except (StoreError, ValueError, OSError) as error:
                self.problem = f"{path} could not be used: {getattr(error, 'message', error)}"
                if getattr(error, "errno", 0) in _OF_THE_DISK:
                    break
                set_aside(path)
        return count

    def _check(self, path):
        """Raise an error for a piece that is incomplete, or holds anything but files of the tree with their times."""
        members, size = Members(), 0
        with stream_of(path) as tar:
            for member in tar:
                members.check(member)
                size += member.size
                if size > _LARGEST:
                    raise ValueError("it is larger than any build")
                if not member.isfile() or not member.pax_headers.get("provision.mtime", "").isdigit():
                    raise ValueError(f"its member {member.name!r} is not a file with a time")

    def _take(self, tar, member):
        extract_member(tar, member, self.source)
        # To the nanosecond, unlike the archive's own field.
        nanoseconds = int(member.pax_headers["provision.mtime"])
        path = os.path.join(self.source, member.name)
        os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)
        self._kept[member.name] = nanoseconds

    def _pieces(self):
        try:
            names = sorted(name for name in os.listdir(self.folder) if _PIECE.fullmatch(name))
        except FileNotFoundError:
            return []
        return [os.path.join(self.folder, name) for name in names]

    def start(self):
        """Start to save finished files, in a thread: a slow store must not delay the compilers."""
        self._thread.start()

    def stop(self):
        """Stop saving; wait a little for the piece that is being written."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def _work(self):
        while not self._stopped.wait(SECONDS):
            try:
                self.keep()
                self.unkept = ""
            except (StoreError, OSError, tarfile.TarError, ValueError) as error:
                # The build does not depend on its checkpoints; the store may recover.
                self.unkept = getattr(error, "message", str(error)).rstrip(".")

    def notes(self):
        """Return the problems with the pieces, as sentences."""
        problems = (("Some files from an earlier build could not be reused", self.problem.rstrip(".")),
                    (f"The unfinished build is no longer saved in {self.folder}", self.unkept))  # fmt: skip
        return [f"{what}: {why}." for what, why in problems if why]

    def keep(self):
        """Write a piece with the files finished since the last one; return how many."""
        new = self._finished()
        if set(new) <= {SPENT}:
            return 0
        last = self._pieces()[-1:]
        number = int(os.path.basename(last[0])[:4]) + 1 if last else 1
        with written_whole(os.path.join(self.folder, f"{number:04d}.tar.zst")) as tar:
            for name, nanoseconds in new.items():
                path = os.path.join(self.source, name)
                member = tarfile.TarInfo(name)
                member.pax_headers["provision.mtime"] = str(nanoseconds)
                member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                member.size = os.path.getsize(path)
                with open(path, "rb") as file:
                    tar.addfile(member, file)
        self._kept.update(new)
        return len(new)

    def _finished(self):
        """Return {name: time in nanoseconds} of the files that are finished and not saved yet."""
        found = {}
        for path in self._files():
            name = os.path.relpath(path, self.source)
            with suppress(FileNotFoundError):
                nanoseconds = os.stat(path).st_mtime_ns
                # A file that was changed just now may change again.
                if self._kept.get(name) != nanoseconds and time.time_ns() - nanoseconds > 2 * 10**9:
                    found[name] = nanoseconds
        return found

    def _files(self):
        for name in _WRITTEN:
            if os.path.isfile(os.path.join(self.source, name)):
                yield os.path.join(self.source, name)
        for top in _MADE:
            for folder, _folders, names in os.walk(os.path.join(self.source, top)):
                for name in names:
                    path = os.path.join(folder, name)
                    if not os.path.islink(path) and self._is_made(top, path):
                        yield path

    def _is_made(self, top, path):
        with suppress(OSError):
            if is_elf(path):
                return is_whole_elf(path)
            return top == "build" and not path.endswith((".o", ".so"))
        return False
