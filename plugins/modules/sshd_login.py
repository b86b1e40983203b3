#!/usr/bin/python
"""Try to log in to a new SSH server, and report what prevents it."""

from __future__ import annotations

DOCUMENTATION = """
module: sshd_login
short_description: Try to log in to an SSH server
description:
  - Logs in with the password in a folder, and with a temporary key. The key is never added to the server - a second
    server with the same configuration, for this connection only, accepts it.
  - If the user cannot log in, the reason becomes one sentence and what to do.
  - Does nothing if no SSH client is installed.
author: The provision founders (!UNKNOWN)
options:
  program:
    type: path
    required: true
    description: The server's program.
  folder:
    type: path
    required: true
    description: The folder with its configuration C(sshd_config) and, if there is one, the file C(password).
  user:
    type: str
    required: true
    description: The user to log in as.
  host:
    type: str
    required: true
    description: The address of the server, seen from this machine.
  port:
    type: int
    required: true
    description: The port of the server.
  key:
    type: bool
    default: true
    description: Whether to try a key.
  password:
    type: bool
    default: false
    description: Whether to try the password.
  deadline:
    type: float
    default: 30
    description: Seconds that a login may take.
"""

EXAMPLES = """
- name: Check that a login with a key works
  provision_founders.provision.sshd_login:
    program: /usr/sbin/sshd
    folder: /var/lib/provision/sshd
    user: guest
    host: 127.0.0.1
    port: 2222
"""

RETURN = """
tried:
  description: The kinds of login that were tried.
  type: list
  elements: str
  returned: success
lines:
  description: The last lines of the client's and the server's output.
  type: list
  returned: failure
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import threading

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.failures import explain as explain_error
from ..module_utils.provision.files import write_text
from ..module_utils.provision.processes import last_lines
from ..module_utils.provision.reading import read_text
from ..module_utils.provision.tool.staging import staging

_LINES = 20
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# Messages of the server and the client, what they mean, what to do, and the code.
_KNOWN = (
    (r"bad ownership or modes for (?:directory|file) (\S.*)",
     "sshd does not trust the keys of {user}, because other users can write to {0}",
     "Remove that permission: chmod go-w {0}",
     "unsafe-modes"),
    (r"not allowed because shell (.+) (does not exist|is not executable)",
     "The shell of {user}, {0}, {1}",
     "Change it (usermod --shell /bin/bash {user}), or choose another user (sshd_user).", "no-shell"),
    (r"account is currently not available",
     "The shell of {user} does not allow logins",
     "Change it (usermod --shell /bin/bash {user}), or choose another user (sshd_user).", "no-shell"),
    (r"[Pp]assword has expired|Password change required|required to change your password",
     "The password of {user} has expired, and must be changed before they can log in",
     "Set a new one (passwd {user}), or keep the old one: chage --lastday -1 {user}", "password-expired"),
    (r"by PAM account configuration|PAM: .* from|has expired",
     "PAM does not allow {user} to log in now",
     "Check `chage --list {user}`, /etc/nologin and /etc/security/access.conf.", "login-refused"),
    (r"not allowed because (.+)", "sshd does not let {user} in, because {0}", "Choose another user: sshd_user.",
     "login-refused"),
    (r"account is locked", "The account of {user} is locked",
     "Unlock it (usermod --unlock {user}), or choose another user (sshd_user).", "login-refused"),
    (r"Accepted (?:publickey|password) for", "{user} can log in, but their shell does not run commands",
     "Try `ssh` with a command, or choose another user: sshd_user.", "no-shell"),
)  # fmt: skip


def explain(lines, user):
    """Return (sentence, hint, code) for a failed login, from the output of the server and the client."""
    for pattern, message, hint, code in _KNOWN:
        found = re.search(pattern, "\n".join(lines))
        if found:
            names = [group.strip() for group in found.groups()]
            return f"{message.format(*names, user=user)}.", hint.format(*names, user=user), code
    last = f": {lines[-1].rstrip('.')}" if lines else ""
    hint = "Check the output of `ssh -v`, or choose another user: sshd_user."
    return f"The SSH server runs, but {user} could not log in{last}.", hint, "login-refused"


class Stand:
    """Accepts connections on the loopback, and starts a server for each one."""

    def __init__(self, argv, log):
        self._argv, self._log, self._servers = argv, log, []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        for server in self._servers:
            try:
                server.wait(1)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def _serve(self):
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            with connection, open(self._log, "ab") as log:
                self._servers.append(
                    subprocess.Popen(
                        self._argv, stdin=connection, stdout=connection, stderr=log, cwd="/", env=_ENVIRONMENT
                    )
                )


def log_in(module, place, options, environment=()):
    """Log in and run a command; return whether it was run, and the output."""
    given, word = module.params, secrets.token_hex(8)
    settings = {
        "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "GlobalKnownHostsFile": "/dev/null",
        "IdentityAgent": "none", "IdentitiesOnly": "yes", "LogLevel": "ERROR", "ConnectTimeout": "10", **options,
    }  # fmt: skip
    said = [text for name, value in settings.items() for text in ("-o", f"{name}={value}")]
    argv = ["ssh", "-F", "none", "-T", *said, "-p", str(place[1]), "-l", given["user"], place[0], f"echo {word}"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            timeout=given["deadline"],
            env={**_ENVIRONMENT, **dict(environment)},
        )
    except subprocess.TimeoutExpired:
        return False, [f"The login did not finish within {given['deadline']:g} s"]
    return word in done.stdout.split(), (done.stdout + done.stderr).splitlines()


def by_key(module, folder):
    """Try to log in with a temporary key."""
    given, key, log = module.params, os.path.join(folder, "key"), os.path.join(folder, "log")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "trial", "-f", key],
                   stdin=subprocess.DEVNULL, capture_output=True, check=True)  # fmt: skip
    write_text(os.path.join(folder, "authorized_keys"), read_text(f"{key}.pub"))
    keys = os.path.join(folder, "authorized_keys").replace("%", "%%")
    server = [given["program"], "-i", "-e", "-f", os.path.join(given["folder"], "sshd_config"),
              "-o", f'AuthorizedKeysFile="{keys}"']  # fmt: skip
    with Stand(server, log) as stand:
        options = {"IdentityFile": key.replace("%", "%%"), "BatchMode": "yes", "PreferredAuthentications": "publickey"}
        done, said = log_in(module, ("127.0.0.1", stand.port), options)
    return done, [*last_lines(log), *said] if os.path.exists(log) else said


def by_password(module, folder):
    """Try to log in with the password, which the client reads from its file."""
    given, asked = module.params, os.path.join(folder, "ask")
    write_text(asked, '#!/bin/sh\nexec cat "$PROVISION_PASSWORD_FILE"\n', mode=0o700)
    if not os.access(asked, os.X_OK):  # a file system mounted with noexec
        return True, []
    environment = {"SSH_ASKPASS": asked, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none",
                   "PROVISION_PASSWORD_FILE": os.path.join(given["folder"], "password")}  # fmt: skip
    options = {"PreferredAuthentications": "password", "PubkeyAuthentication": "no", "NumberOfPasswordPrompts": "1"}
    log = os.path.join(given["folder"], "sshd.log")
    begin = os.path.getsize(log) if os.path.exists(log) else 0
    done, said = log_in(module, (given["host"], given["port"]), options, environment)
    return done, [*last_lines(log, begin), *said] if os.path.exists(log) else said


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "program": {"type": "path", "required": True},
            "folder": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "key": {"type": "bool", "default": True, "no_log": False},
            "password": {"type": "bool", "default": False, "no_log": False},
            "deadline": {"type": "float", "default": 30.0},
        },
    )
    os.umask(0o022)
    given, tried = module.params, []
    ways = {"key": by_key, "password": by_password} if shutil.which("ssh") else {}
    try:
        with staging(os.path.join(given["folder"], "trial")) as folder:
            for name, way in ways.items():
                if given[name]:
                    done, said = way(module, folder)
                    if not done:
                        msg, hint, code = explain(said, given["user"])
                        module.fail_json(msg=msg, hint=hint, code=code, lines=said[-_LINES:])
                    tried.append(name)
    except (OSError, subprocess.CalledProcessError) as error:
        msg, hint = explain_error(error) if isinstance(error, OSError) else (f"{error}.", "")
        module.fail_json(msg=msg, hint=hint, code="login-not-tried")
    module.exit_json(changed=False, tried=tried)


if __name__ == "__main__":
    main()
