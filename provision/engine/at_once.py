"""A run in which nothing is due, answered by this process: Ansible is not started.

What the roles wanted is kept from the last run that ended well, under a digest of all that it was made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import provision
from provision import notebook, paths
from provision.engine import content, kept, launch
from provision.engine.runner import Outcome
from provision.machine import look, places

_KIND = "wanted"
_TURN = threading.Lock()


def digest(roles: Sequence[str], variables: Mapping[str, Any]) -> str:
    """Return a digest of everything that the roles' wishes are made from; empty if this process runs older code."""
    seen = [(entry.path, entry.stat()) for entry in content.files()]
    machine = f"{os.sep}module_utils{os.sep}"
    if any(stat.st_ctime > provision._IMPORTED_AT for path, stat in seen if machine in path):
        return ""
    stamps = sorted((path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in seen)
    place = (sys.executable, paths.working_folder(), os.getuid(), places.home(), notebook.in_notebook())
    asked = [provision.__version__, place, list(roles), dict(variables), stamps]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def keep(question: str, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep what the roles wanted in a run that has just ended well, if it was to be there."""
    if not question or not wanted or any(one.get("state") not in look.KEPT_UP for one in wanted.values()):
        return
    kept.write(_KIND, question, wanted)


def forget() -> None:
    """Delete all that was kept."""
    kept.forget(_KIND)


def outcome(question: str) -> Outcome | None:
    """Return the outcome of a run in which nothing is due; None if something is, or nothing is known about it."""
    begin = time.monotonic()
    # Whatever is wrong, a run meets it, too, and says so.
    with contextlib.suppress(Exception):
        wanted = _kept(question)
        if not wanted:
            return None
        with _environment_of_a_run():
            found = look.look(look.read_here(wanted))
        if not found["due"]:
            ready = json.loads(json.dumps(found["ready"]))
            return Outcome(0, round(time.monotonic() - begin, 1), {"localhost": ready}, None)
    return None


def _kept(question: str) -> dict[str, dict[str, Any]]:
    """Return what the roles wanted, as the look takes it."""
    wanted = kept.read(_KIND, question) or {}
    folder = paths.working_folder()
    common = {"folder": folder, "shell": not notebook.in_notebook(), "can_become": False, "leaving": []}
    roles = content.root() / "roles"
    return {role: look.completed(role, one, common, folder, str(roles)) for role, one in wanted.items()}


@contextlib.contextmanager
def _environment_of_a_run() -> Iterator[None]:
    """Let this process see the environment that the look has in a run: PATH, and the language of messages."""
    with _TURN:
        before = dict(os.environ)
        during = launch.cleaned({**before, "PATH": launch.search_path(), "LC_ALL": "C.UTF-8"}, {}, local=True)
        _become(during)
        try:
            yield
        finally:
            _become(before)


def _become(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
