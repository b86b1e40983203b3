"""Testing programs from elsewhere without root's rights."""

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

NOBODY = 65534  # the user nobody on Debian and Ubuntu, who should own no files
SECONDS = 300
_BEGUN = b"begun\n"
_LIMIT = 1 << 20
# The only variables passed on: root's environment may contain secrets.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h


def without_rights(function, folder, error):
    """Return the result of a function that runs programs of a folder; root calls it in a process of user nobody."""
    # Root runs them itself if nobody cannot reach them, or if it cannot become nobody, as in some containers.
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
            os.killpg(child, signal.SIGKILL)  # with anything it has left running
        os.waitpid(child, 0)
    if not said.startswith(_BEGUN):
        return function()
    try:
        answer = json.loads(said[len(_BEGUN) :])
        words = [str(word) for word in answer.get("error", ())]
    except (ValueError, AttributeError, RecursionError) as problem:
        raise error("The commands did not finish when they were tested.", "", "does-not-run") from problem
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
                answer = {"error": [f"The commands cannot be tested: {problem}.", "", "does-not-run"]}
            # Import nothing from here on: nobody cannot read root's own Python.
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
    # A home that does not exist: to MRtrix3, an unreadable one is an error.
    os.environ.update(kept, HOME="/nonexistent", MRTRIX_CONFIGFILE=os.devnull, PYTHONDONTWRITEBYTECODE="1")
    tempfile.tempdir = None
    return True


def _all_of(reading):
    """Return what is written to a pipe until its end, or until the time limit."""
    said, end = b"", time.monotonic() + SECONDS
    while len(said) < _LIMIT and select.select([reading], [], [], max(0, end - time.monotonic()))[0]:
        more = os.read(reading, 1 << 16)
        if not more:
            break
        said += more
    return said
