"""Running other programs, and their environment."""

from __future__ import annotations

import os
import subprocess

# What would change which system, repository or Python a program acts on, or the messages that are read. What people set
# on purpose stays: proxies, indexes, certificates, GIT_CONFIG_*.
CHANGING = frozenset((
    "APT_CONFIG", "DPKG_ADMINDIR", "DPKG_FORCE", "DPKG_ROOT",
    # As `git rev-parse --local-env-vars` lists them: set where a hook of git starts the run.
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
    "LANGUAGE", "PIP_DRY_RUN", "PIP_NO_DEPS", "PIP_PREFIX", "PIP_PYTHON", "PIP_ROOT", "PIP_TARGET", "PIP_USER",
    "PYTHONINSPECT", "PYTHONWARNINGS",
))  # fmt: skip


def usual_environment():
    """Return this process's environment without what would change what a program acts on or says."""
    kept = {name: value for name, value in os.environ.items() if name not in CHANGING}
    return {**kept, "LC_ALL": "C.UTF-8"}


def run(argv, environment=None, seconds=30, folder=None):
    """Return (exit code, standard output, standard error) of a command; 127 if it cannot be started."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=usual_environment() if environment is None else environment,
            cwd=folder,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr


_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
_PASSED_ON = ("PATH", "HOME", "TMPDIR", *_PROXIES, *map(str.upper, _PROXIES))


def plain_environment(**more):
    """Return an environment for programs whose result must not depend on what the caller has exported."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed_on, "LC_ALL": "C.UTF-8", **more}


def command_environment(folder, foreign=False):
    """Return the environment in which the commands of a folder are tested, without personal settings."""
    # With the user's PATH behind that folder, so that a Python command meets the python3 that it will meet later.
    # A foreign command may depend on its user's library path, as environment modules set it.
    more = {name: os.environ[name] for name in ["LD_LIBRARY_PATH"] if foreign and name in os.environ}
    return plain_environment(
        PATH=os.pathsep.join([folder, os.environ.get("PATH", os.defpath)]), HOME="/nonexistent",
        MRTRIX_CONFIGFILE=os.devnull,
        # Python's cached bytecode would stay behind when the folder's package is removed.
        PYTHONDONTWRITEBYTECODE="1", **more,
    )  # fmt: skip
