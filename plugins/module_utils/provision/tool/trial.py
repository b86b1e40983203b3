"""Trying programs that came from elsewhere without root's rights."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import tempfile
import time
from contextlib import suppress

NOBODY = 65534  # by the name of nobody on Debian and Ubuntu, and the one whom no file should belong to
SECONDS = 300
_BEGUN = b"begun\n"
_LIMIT = 1 << 20
# What a program may know of root's environment, in which there may be secrets.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h


def without_rights(function, folder, error):
    """Return what a function returns that runs programs of a folder; root calls it in a process of nobody's."""
    # Root runs what nobody cannot reach, and everything where it cannot become nobody, as in some containers.
    if os.geteuid() != 0:
        return function()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(function, folder, error, writing)
    os.close(writing)
    try:
        said = _all_of(reading)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # with what it has left running
        os.waitpid(child, 0)
    if not said.startswith(_BEGUN):
        return function()
    try:
        answer = json.loads(said[len(_BEGUN) :])
        words = [str(word) for word in answer.get("error", ())]
    except (ValueError, AttributeError, RecursionError) as problem:
        raise error("Its commands did not come to an end when they were tried.", "", "does-not-run") from problem
    if words:
        raise error(*words[:3])
    return answer.get("result")


def _be_the_child(function, folder, error, writing):
    """Call the function as nobody, write its answer, and end this process."""
    try:
        os.setsid()
        has_python = shutil.which("python3")
        if _became_nobody() and os.access(folder, os.R_OK | os.X_OK) and (shutil.which("python3") or not has_python):
            os.write(writing, _BEGUN)
            try:
                answer = {"result": function()}
            except error as problem:
                answer = {"error": [problem.message, problem.hint, *filter(None, [getattr(problem, "code", "")])]}
            except Exception as problem:
                answer = {"error": [f"Its commands cannot be tried: {problem}.", "", "does-not-run"]}
            # Nothing is imported from here on: nobody may not look into root's own Python.
            said = json.dumps(answer).encode()
            while said:
                said = said[os.write(writing, said) :]
    finally:
        os._exit(0)


def _became_nobody():
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.chdir("/")
    except OSError:
        return False
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    os.environ.clear()
    # A home that is not there: to MRtrix3, one that may not be looked into is an error.
    os.environ.update(kept, HOME="/nonexistent", MRTRIX_CONFIGFILE=os.devnull, PYTHONDONTWRITEBYTECODE="1")
    tempfile.tempdir = None
    return True


def _all_of(reading):
    """Return what is written to a pipe until its end, or as much as there is in time."""
    said, end = b"", time.monotonic() + SECONDS
    while len(said) < _LIMIT and select.select([reading], [], [], max(0, end - time.monotonic()))[0]:
        more = os.read(reading, 1 << 16)
        if not more:
            break
        said += more
    return said
