#!/usr/bin/python
"""Start or stop a process that outlives the play."""

from __future__ import annotations

DOCUMENTATION = """
module: detached_process
short_description: Start or stop a process that outlives the play
description:
  - Starts a command in its own session, with a clean environment and its own log, and waits until it is ready. It
    outlives the play, the login and the notebook that started it.
  - The pid file also holds the start time of the process, so that a later process with the same number is never
    mistaken for it. A running process is left as it is.
  - Fails if the process ends or is not ready in time, and leaves nothing of it running.
  - Other users can see arguments and environment. Put secrets into a file that the command reads.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [started, stopped]
    default: started
    description: C(stopped) ends the process and all others in its session.
  argv:
    type: list
    elements: str
    description: The command.
  environment:
    type: dict
    default: {}
    description: Its complete environment.
  pid_file:
    type: path
    required: true
    description: The pid file, readable only by its owner.
  log:
    type: path
    description:
      - The file to which its output is appended, readable only by its owner. A log of more than a megabyte is renamed
        to C(LOG.1) first.
  host:
    type: str
    default: 127.0.0.1
    description: The address at which it accepts connections.
  port:
    type: int
    description: The TCP port at which it accepts connections once it is ready.
  option:
    type: str
    default: ""
    description: The role's option for the port, named in the error when the port is taken.
  banner:
    type: str
    default: ""
    description: What it must send first to a client, such as C(SSH-2.0-).
  seconds:
    type: float
    default: 1
    description: Without a port, how many seconds it must live to count as ready.
  deadline:
    type: float
    default: 30
    description: Seconds within which it must be ready.
  grace:
    type: float
    default: 10
    description: Seconds that it has to end by itself before it is killed.
"""

EXAMPLES = """
- name: Serve a folder for longer than the play takes
  provision_founders.provision.detached_process:
    argv: [/usr/bin/python3, -m, http.server, --bind, 127.0.0.1, "8000"]
    environment:
      PATH: /usr/bin:/bin
    pid_file: /var/lib/files/server.pid
    log: /var/lib/files/server.log
    port: 8000

- name: Stop it
  provision_founders.provision.detached_process:
    state: stopped
    pid_file: /var/lib/files/server.pid
"""

RETURN = """
pid:
  description: The process ID, 0 if it is not running.
  type: int
  returned: success
lines:
  description: The last lines of its log.
  type: list
  returned: failure
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.alive import answers, running
from ..module_utils.provision.failures import explain
from ..module_utils.provision.file_lock import fail_when_locked
from ..module_utils.provision.processes import ProcessError, accepting, lasting, start, stop


def refuse_taken_port(module):
    """Fail if another program already accepts connections at the port."""
    host, port, option = (module.params[name] for name in ("host", "port", "option"))
    if port and answers(host, port):
        module.fail_json(
            msg=f"Port {port} of {host} is in use by another program.",
            hint=f"Choose another port ({option}), or stop that program."
            if option
            else "Choose another port, or stop that program.",
            code="port-taken",
        )


def ensure_started(module):
    """Start the process unless it is running; return whether it was started."""
    given = module.params
    if running(given["pid_file"]):
        return False
    refuse_taken_port(module)
    if module.check_mode:
        return True
    port = given["port"]
    return start(
        given["argv"],
        pid_file=given["pid_file"],
        log=given["log"],
        environment={name: str(value) for name, value in given["environment"].items()},
        ready=accepting(given["host"], port, given["banner"]) if port else lasting(given["seconds"]),
        deadline=given["deadline"],
    )


def ensure_stopped(module):
    """Stop the process; return whether it was running."""
    if module.check_mode:
        return bool(running(module.params["pid_file"]))
    return stop(module.params["pid_file"], module.params["grace"])


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "argv": {"type": "list", "elements": "str"},
            "environment": {"type": "dict", "default": {}},
            "pid_file": {"type": "path", "required": True},
            "log": {"type": "path"},
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int"},
            "option": {"type": "str", "default": ""},
            "banner": {"type": "str", "default": ""},
            "seconds": {"type": "float", "default": 1.0},
            "deadline": {"type": "float", "default": 30.0},
            "grace": {"type": "float", "default": 10.0},
        },
        required_if=[("state", "started", ["argv", "log"])],
        supports_check_mode=True,
    )
    ensure = ensure_started if module.params["state"] == "started" else ensure_stopped
    try:
        with fail_when_locked(module):
            changed = ensure(module)
    except ProcessError as error:
        said = f" Its last message: {error.lines[-1].strip()}" if error.lines else ""
        log = module.params["log"]
        hint = f"Its log is {log}." if log and os.path.exists(log) else ""
        module.fail_json(msg=f"{error}{said}", hint=hint, code=error.code, lines=error.lines)
    except OSError as error:
        msg, hint = explain(error)
        module.fail_json(msg=msg, hint=hint, code="process-not-started")
    module.exit_json(changed=changed, pid=running(module.params["pid_file"]))


if __name__ == "__main__":
    main()
