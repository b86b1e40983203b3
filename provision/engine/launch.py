"""What a run of Ansible gets: a private folder, a clean environment, and variables as plain text."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from provision.engine import content, launcher
from provision.errors import ProvisionError
from provision.machine import commands
from provision.machine.places import is_text

# Where a person gives the token of an ngrok account.
TOKEN_VARIABLE = "NGROK_AUTHTOKEN"

# The variables of Ansible's own that reach a run on other machines; none reaches one on this machine. All others could
# change what a run does. `docs/howto/fleet.md` lists them.
KEPT = ("ANSIBLE_FORKS", "ANSIBLE_PRIVATE_KEY_FILE", "ANSIBLE_REMOTE_USER", "ANSIBLE_VAULT_PASSWORD_FILE")
# What ansible-runner sets in each run, on top of whatever the caller has; those of `environment` that are empty make it
# forget the caller's.
_RUNNERS = (
    "ANSIBLE_CACHE_PLUGIN", "ANSIBLE_CACHE_PLUGIN_CONNECTION", "ANSIBLE_CALLBACK_PLUGINS",
    "ANSIBLE_RETRY_FILES_ENABLED", "ANSIBLE_STDOUT_CALLBACK",
)  # fmt: skip
# What else would change a run, and a token that this process was given for itself: its children need not carry it where
# others can read it.
_DROPPED = commands.CHANGING | {
    "AD_HOC_COMMAND_ID", "ORIGINAL_STDOUT_CALLBACK", "PYTHONDONTWRITEBYTECODE", TOKEN_VARIABLE
}  # fmt: skip
_LEAST_SPACE = 100_000  # bytes, for what a run writes there before Ansible starts
# Ansible makes a socket in the folder, and all of its path may have 107 bytes (unix(7)); it also takes `$` and `~` in
# it for something else.
_TEMPORARY = re.compile(r"[\w/.+-]{1,40}", re.ASCII)
_PREFIX = "provision-"


def temporary_folder() -> Path:
    """Return the folder for temporary files: the caller's, or the system's if Ansible could not use that."""
    # As tempfile.gettempdir chooses, but without the file that it writes to find out: a run that is killed leaves that.
    named = (os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP"))
    given = next(filter(_takes_files, (*named, "/tmp", "/var/tmp")), "")
    if not given:
        raise ProvisionError(
            "No folder for temporary files is writable.",
            hint="Free some space in /tmp, or set TMPDIR to another folder.",
            code="temporary",
        )
    return Path(given if _TEMPORARY.fullmatch(given) else "/tmp")


def _takes_files(folder: str) -> bool:
    """Return whether a folder exists, is writable and is not full."""
    usable = bool(folder) and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return usable and shutil.disk_usage(folder).free > _LEAST_SPACE


def left_behind(temporary: Path) -> list[Path]:
    """Return the folders that killed runs of this user left among the temporary files."""
    return [path for path in sorted(temporary.glob(f"{_PREFIX}*")) if _is_left(path)]


def _is_left(folder: Path) -> bool:
    """Return whether a folder is of a dead run of this user: the kernel drops the lock of one that was killed."""
    # Others can make what they like in a folder for temporary files: nothing of theirs is opened, followed or deleted.
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        if {path.name for path in folder.iterdir()} <= {"new"}:  # killed before it had begun
            return time.time() - found.st_mtime > 60
        alive = os.open(folder / "alive", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(alive)
    except OSError:
        return False
    return True


def clear_up(temporary: Path) -> None:
    """Delete the folders that killed runs of this user left among the temporary files."""
    for left in left_behind(temporary):
        shutil.rmtree(left, ignore_errors=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(0o700)
    except OSError as error:
        why = error.strerror or str(error)
        hint = "Free some space there, or set TMPDIR to another folder."
        message = f"Cannot create a folder in {folder.parent}: {why}."
        raise ProvisionError(message, hint=hint, code="temporary") from error


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder for this run, deleted at the end, and delete those that killed runs left."""
    # In it are runner, for ansible-runner alone; content, a link to the roles and playbooks; and tmp, for temporary
    # files. Of root's all may use that: apt starts programs with fewer rights.
    temporary = temporary_folder()
    clear_up(temporary)
    # Named before it is made: an interrupt in between leaves nothing.
    folder = temporary / f"{_PREFIX}{secrets.token_hex(4)}"
    try:
        _make(folder)
        lock = os.open(folder / "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "new").rename(folder / "alive")  # locked before anybody can find it
            for name, mode in (("runner", 0o700), ("progress", 0o700), ("tmp", 0o1777)):
                (folder / name).mkdir()
                (folder / name).chmod(mode)
            # Ansible takes the paths in ansible.cfg for templates: a folder's name must not be one.
            (folder / "content").symlink_to(content.root())
            folder.chmod(0o711 if os.getuid() == 0 else 0o700)
            yield folder
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_text(value: Any) -> Any:
    """Return a variable's value marked so that Ansible never reads text in it as a template."""
    if isinstance(value, str):  # as Ansible reads a JSON file of variables: ansible._internal._json._profiles._legacy
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {str(name): as_text(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(item) for item in value]
    return value


@contextlib.contextmanager
def variables_file(private: Path, variables: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a path from which Ansible reads the variables, once: a pipe, so that a killed run leaves none behind."""
    path = private / "runner" / "variables"
    os.mkfifo(path, 0o600)
    text = json.dumps({name: as_text(value) for name, value in variables.items()})
    writer = threading.Thread(target=_hand_over, args=(path, text), daemon=True)
    writer.start()
    try:
        yield path
    finally:
        while writer.is_alive():  # Ansible has not come to read it: do so ourselves
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            writer.join(0.01)


def _hand_over(path: Path, text: str) -> None:
    """Write a text into a pipe as soon as it is being read."""
    with contextlib.suppress(BrokenPipeError):
        path.write_text(text, encoding="utf-8")


def command(arguments: list[str]) -> list[str]:
    """Return the command that starts ansible-playbook and ends it with this process."""
    start = [sys.executable, "-IS", str(Path(launcher.__file__).resolve()), str(os.getpid())]
    return [*start, program("ansible-playbook"), *arguments]


def program(name: str) -> str:
    """Return the path of a program of Ansible's."""
    found = shutil.which(name, path=search_path())
    if found is None:
        hint = 'Install it: pip install "ansible-core>=2.19".'
        raise ProvisionError(f"{name} is not installed for this Python.", hint=hint, code="no-ansible")
    return found


def search_path() -> str:
    """Return the PATH of a run: this Python's programs come first."""
    path = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return os.pathsep.join(filter(is_text, os.pathsep.join(path).split(os.pathsep)))


def _sockets(private: Path) -> dict[str, str]:
    """Return where ssh's sockets are if they cannot be where ansible.cfg has them, for the next run to use."""
    folder = os.environ.get("HOME", "")
    usable = not folder or (Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK))
    return {} if usable else {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(private / "cp")}


def environment(private: Path, *, local: bool) -> dict[str, str]:
    """Return what a run sets in its environment, so that it neither reads nor leaves anything in the user's home."""
    return {
        "PATH": search_path(),
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(private / "tmp"),
        "ANSIBLE_CONFIG": str(private / "content" / "ansible.cfg"),
        "ANSIBLE_HOME": str(private / "home"),
        "ANSIBLE_LOCAL_TEMP": str(private / "local"),
        **({"ANSIBLE_REMOTE_TEMP": str(private / "modules")} if local else {}),
        **_sockets(private),
        # A host whose key is unknown or another is refused, as ssh refuses it; ansible-runner would switch that off.
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        # An interrupted worker has five seconds to tell its module; by default it is killed at once, if it is slow.
        "ANSIBLE_WORKER_SHUTDOWN_POLL_COUNT": "50",
        "ANSIBLE_CALLBACK_PLUGINS": "",
        "ANSIBLE_STDOUT_CALLBACK": "",
        "AWX_LIB_DIRECTORY": "",
        # Plain lines for the log, whatever is installed here; from 3.13 on Python colours its tracebacks, too.
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "PYTHON_COLORS": "0",
    }


def cleaned(variables: Mapping[str, str], ours: Mapping[str, str], *, local: bool) -> dict[str, str]:
    """Return an environment without the caller's settings for Ansible, so that runs are reproducible."""
    kept = {*ours, *_RUNNERS, *(() if local else KEPT)}
    return {
        name: value
        for name, value in variables.items()
        if name not in _DROPPED and (name in kept or not name.startswith("ANSIBLE_")) and is_text(name + value)
    }
