"""Run a long module, and bring its progress here meanwhile; the modules of these names document them.

`provision run` on several hosts gives them a folder here as `progress`. In any other case nothing is different.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import subprocess
import threading
from urllib.parse import quote

from ansible.plugins.action.normal import ActionModule as Normal
from ansible.utils.path import unfrackpath

SECONDS = 5.0  # between two looks
TIMEOUT = 10  # seconds for one of them
LARGEST = 4096  # bytes
# In memory, where everybody may read it: the module deletes it, and nothing of it outlives the machine.
_THERE = "/dev/shm/"


class ActionModule(Normal):
    """The file of a host in that folder is written by the module itself, or fetched while the module runs."""

    def run(self, tmp=None, task_vars=None):
        """Return the module's result."""
        folder = self._task.args.get("progress")
        if not folder or not os.path.isdir(folder):
            return super().run(tmp, task_vars)
        is_local = self._connection.transport == "local"
        if not is_local and not hasattr(self._connection, "control_path"):
            del self._task.args["progress"]  # it cannot do two things at once
            return super().run(tmp, task_vars)
        here = os.path.join(folder, quote(task_vars["inventory_hostname"], safe="") + ".json")
        name = f"provision-{secrets.token_hex(8)}.json"
        there = self._task.args["progress"] = here if is_local else _THERE + name
        with _Follower(self._connection, there, here):
            result = super().run(tmp, task_vars)
        if result.get("failed") and not is_local:
            # It may have been killed.
            with contextlib.suppress(Exception):
                self._low_level_execute_command(f"rm -f {there} {_THERE}.new-{name}-*")
        return result


class _Follower(threading.Thread):
    """Copies a file of a host over the connection that ssh shares, if there is one; whatever fails, the module runs."""

    def __init__(self, connection, there, here):
        super().__init__(daemon=True)
        self._connection, self._there, self._here = connection, there, here
        self._ended, self._ssh = threading.Event(), None

    def __enter__(self):
        if self._there != self._here:
            with contextlib.suppress(RuntimeError):  # no more threads
                self.start()
        return self

    def __exit__(self, *_exception):
        self._ended.set()
        for _attempt in range(20):
            if not self.is_alive():
                break
            if self._ssh:
                self._ssh.kill()
            self.join(0.05)
        with contextlib.suppress(OSError):
            os.unlink(self._here)

    def run(self):
        """Look now and then, until the module has ended."""
        while not self._ended.wait(SECONDS):
            with contextlib.suppress(Exception):
                found = self._found()
                if found and not self._ended.is_set():
                    with open(self._here, "wb") as file:
                        file.write(found)

    def _found(self):
        """Return the beginning of the file: what it means is for others to see."""
        # Known once the module has been sent. Only over what is connected: ssh goes no other way than through `false`.
        socket = self._connection.control_path % {"directory": unfrackpath(self._connection.control_path_dir)}
        shared = ["-F", "none", "-S", socket, "-o", "ProxyCommand=false", "-o", "BatchMode=yes"]
        command = f"timeout {TIMEOUT} head -c {LARGEST} {self._there}"
        argv = [self._connection.get_option("ssh_executable"), *shared, "there", command]
        quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, **quiet) as self._ssh:
            try:
                readable, *_rest = select.select([self._ssh.stdout], [], [], TIMEOUT)
                return os.read(self._ssh.stdout.fileno(), LARGEST) if readable else b""
            finally:
                self._ssh.kill()
