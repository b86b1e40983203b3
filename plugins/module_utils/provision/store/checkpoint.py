"""What an unfinished build has made so far, kept in the store so that another machine can go on from there."""

# unfinished/<name> has pieces 0001.tar.zst and so on, each with the files finished since the one before; what was in a
# piece that turns out broken is compiled again.

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

# What is wrong with the folder that is built in, and not with a piece.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_LARGEST = 1 << 34  # of what all files of a piece may be together
SECONDS = 20  # between two pieces; a step takes 6 s on average
_PIECE = re.compile(r"\d{4}\.tar\.zst")
# Where a build system keeps what it has made; of the rest of the tree, what it wrote there itself.
_MADE = ("tmp", "lib", "bin", "build")
SPENT = ".provision-spent.json"  # how long the build has taken so far, which is no reason for a piece
_WRITTEN = ("config", ".provision-build.json", SPENT, "core/version.cpp", "src/exec_version.cpp")


def name_of(settings):
    """Return the name of a build's folder: builds with the same settings make the same files."""
    text = json.dumps(settings, sort_keys=True)
    return f"mrtrix3-{settings['commit'][:12]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def age_sources(source):
    """Give all files of a fresh clone the time of its commit, older than anything that was ever made from them."""
    # Build systems compare times: what was compiled before this clone was made must be the newer.
    git = ["git", "-c", "safe.directory=*", "-C", source]
    how = {"capture_output": True, "env": plain_environment()}  # without a GIT_DIR of another repository
    names = subprocess.run([*git, "ls-files", "-z"], check=True, **how).stdout.split(b"\0")
    committed = subprocess.run([*git, "log", "-1", "--format=%ct"], check=True, **how).stdout
    for name in filter(None, names):
        os.utime(os.path.join(os.fsencode(source), name), (int(committed), int(committed)), follow_symlinks=False)


class Checkpoint:
    """The kept pieces of one build: of its source tree, made with `settings`."""

    def __init__(self, store, source, settings):
        self.folder = os.path.join(store, "unfinished", name_of(settings))
        self.source, self._kept = source, {}
        self.problem = self.unkept = ""  # why not all of it could be used, and why no more is kept
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def restore(self):
        """Put the files of all pieces that can be read into the source tree; return how many there were."""
        count = 0
        try:
            pieces = self._pieces()
        except OSError as error:
            self.problem = f"{self.folder} could not be read: {error.strerror}"
            return 0
        for path in pieces:
            try:
                self._check(path)  # to its end, before anything of it is written: half an object looks finished
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
        """Raise an error for a piece that is not whole, or has more in it than files of the tree with their times."""
        members, size = Members(), 0
        with stream_of(path) as tar:
            for member in tar:
                members.check(member)
                size += member.size
                if size > _LARGEST:
                    raise ValueError("it holds more than any build")
                if not member.isfile() or not member.pax_headers.get("provision.mtime", "").isdigit():
                    raise ValueError(f"its member {member.name!r} is no file with a time")

    def _take(self, tar, member):
        extract_member(tar, member, self.source)
        # To the nanosecond, which the number in the archive's own field is not.
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
        """Keep what is finished from now on, in a thread of its own: a slow store holds up no compiler."""
        self._thread.start()

    def stop(self):
        """Keep no more; wait a little for the piece that is being written."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def _work(self):
        while not self._stopped.wait(SECONDS):
            try:
                self.keep()
                self.unkept = ""
            except (StoreError, OSError, tarfile.TarError, ValueError) as error:
                # An unfinished build is no worse off without: compiling goes on, and so may the store.
                self.unkept = getattr(error, "message", str(error)).rstrip(".")

    def notes(self):
        """Return what somebody should know who counts on the pieces, as sentences."""
        told = (("Not all that an earlier run had built was used", self.problem.rstrip(".")),
                (f"What is built is not kept in {self.folder} any more", self.unkept))  # fmt: skip
        return [f"{what}: {why}." for what, why in told if why]

    def keep(self):
        """Write one piece with what was finished since the last; return how many files it has."""
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
        """Return {name: time of change in nanoseconds} of the files that are finished and not kept yet."""
        found = {}
        for path in self._files():
            name = os.path.relpath(path, self.source)
            with suppress(FileNotFoundError):
                nanoseconds = os.stat(path).st_mtime_ns
                # What was changed this very moment may change again.
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
