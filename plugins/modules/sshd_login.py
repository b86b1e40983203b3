#!/usr/bin/python
"""Log in at a server that was just started, as a person would, and say what keeps one out."""

from __future__ import annotations

DOCUMENTATION = """
module: sshd_login
short_description: Try whether a server lets in whom it is to let in
description:
  - Logs in with the password of a folder, and with a key that is made for that and lives as long as the attempt. The
    key is never among those of the server - a second one with the same configuration, which serves this connection
    alone, is told to take it.
  - What keeps the user out becomes one sentence and what to do.
  - Without a client of SSH nothing is tried.
author: The provision founders (!UNKNOWN)
options:
  program:
    type: path
    required: true
    description: The server's program.
  folder:
    type: path
    required: true
    description: Where its configuration C(sshd_config) is, and the file C(password) where there is one.
  user:
    type: str
    required: true
    description: Who is to get in.
  host:
    type: str
    required: true
    description: The address at which it answers here.
  port:
    type: int
    required: true
    description: The port at which it answers.
  key:
    type: bool
    default: true
    description: Whether keys let in.
  password:
    type: bool
    default: false
    description: Whether the password lets in.
  deadline:
    type: float
    default: 30
    description: Seconds that a login may take.
"""

EXAMPLES = """
- name: See that the owner of a key would get in
  provision_founders.provision.sshd_login:
    program: /usr/sbin/sshd
    folder: /var/lib/provision/sshd
    user: guest
    host: 127.0.0.1
    port: 2222
"""

RETURN = """
tried:
  description: The ways in that were tried.
  type: list
  elements: str
  returned: success
lines:
  description: The last lines of what the client and the server said.
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
# What the server and the client say, what that means, what to do, and a code.
_KNOWN = (
    (r"bad ownership or modes for (?:directory|file) (\S.*)",
     "sshd trusts no key of {user}, because others may write to {0}", "Take that right away: chmod go-w {0}",
     "unsafe-modes"),
    (r"not allowed because shell (.+) (does not exist|is not executable)",
     "The shell of {user}, {0}, {1}", "Give them another (usermod --shell /bin/bash), or name another user.",
     "no-shell"),
    (r"account is currently not available",
     "The shell of {user} lets nobody in", "Give them another (usermod --shell /bin/bash), or name another user.",
     "no-shell"),
    (r"[Pp]assword has expired|Password change required|required to change your password",
     "The password of {user} has expired, and must be changed before they get in",
     "Set a new one (passwd), or let the old one last: chage --lastday -1 {user}", "password-expired"),
    (r"by PAM account configuration|PAM: .* from|has expired",
     "The account of {user} may not be used now, says PAM",
     "See `chage --list {user}`, /etc/nologin and /etc/security/access.conf.", "login-refused"),
    (r"not allowed because (.+)", "sshd does not let {user} in, because {0}", "Name another user: sshd_user.",
     "login-refused"),
    (r"account is locked", "The account of {user} is locked", "Unlock it (usermod --unlock), or name another user.",
     "login-refused"),
    (r"Accepted (?:publickey|password) for", "The shell of {user} runs no command",
     "See what `ssh` with a command says, or name another user: sshd_user.", "no-shell"),
)  # fmt: skip


def explain(lines, user):
    """Return what keeps a user out, as a sentence, what to do and a code, after what the server and the client said."""
    for pattern, message, hint, code in _KNOWN:
        found = re.search(pattern, "\n".join(lines))
        if found:
            names = [group.strip() for group in found.groups()]
            return f"{message.format(*names, user=user)}.", hint.format(*names, user=user), code
    last = f" The last words were: {lines[-1].rstrip('.')}." if lines else ""
    hint = "See what `ssh -v` says, or name another user."
    return f"The SSH server runs, but {user} could not log in.{last}", hint, "login-refused"


class Stand:
    """Takes connections at an address of the loopback, each for one server that serves it alone."""

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
    """Log in and run a command; return whether it was run, and what was said."""
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
        return False, [f"The login did not end within {given['deadline']:g} s"]
    return word in done.stdout.split(), (done.stdout + done.stderr).splitlines()


def by_key(module, folder):
    """Try to get in with a key that is made for that."""
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
    """Try to get in with the password, which the client reads from its file."""
    given, asked = module.params, os.path.join(folder, "ask")
    write_text(asked, '#!/bin/sh\nexec cat "$PROVISION_PASSWORD_FILE"\n', mode=0o700)
    if not os.access(asked, os.X_OK):  # nothing is executed on that file system
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
