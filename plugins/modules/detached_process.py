#!/usr/bin/python
"""Start a process that outlives the play, or end it."""

from __future__ import annotations

DOCUMENTATION = """
module: detached_process
short_description: Start a process that outlives the play, or end it
description:
  - Starts a command in a session of its own, with a clean environment and its own log, and waits until it is ready.
    It outlives the play, the login and the notebook that it was started from.
  - It is known by its pid file, which holds the time at which it began as well, so that another process that was given
    its number later is never taken for it. A process that runs is left as it is.
  - One that ends or is not ready in time is a failure, and nothing of it is left running.
  - Arguments and environment can be seen by others, so that secrets belong in a file that the command reads.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [started, stopped]
    default: started
    description: C(stopped) ends the process and all others of its session.
  argv:
    type: list
    elements: str
    description: The command.
  environment:
    type: dict
    default: {}
    description: All of its environment.
  pid_file:
    type: path
    required: true
    description: Where the process is noted; only its owner can read it.
  log:
    type: path
    description:
      - Where what it prints is appended; only its owner can read it. A log of more than a megabyte is set aside before,
        as C(LOG.1).
  host:
    type: str
    default: 127.0.0.1
    description: The address at which it will accept connections.
  port:
    type: int
    description: The TCP port at which it will accept connections, by which it is known to be ready.
  option:
    type: str
    default: ""
    description: The role's option that names the port, for telling what to do when it is taken.
  banner:
    type: str
    default: ""
    description: What it must send first to who connects, such as C(SSH-2.0-).
  seconds:
    type: float
    default: 1
    description: Without a port, how long it must not have ended to be taken for ready.
  deadline:
    type: float
    default: 30
    description: Seconds after which it must be ready.
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
  description: The number of the process, 0 when it does not run.
  type: int
  returned: success
lines:
  description: The last lines that it wrote to its log.
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
    """Fail when another program accepts connections at the port: it would be taken for ours."""
    host, port, option = (module.params[name] for name in ("host", "port", "option"))
    if port and answers(host, port):
        module.fail_json(
            msg=f"The port {port} of {host} is taken by another program.",
            hint=f"Choose another port: {option}." if option else "Choose another port, or stop that program.",
            code="port-taken",
        )


def ensure_started(module):
    """Start the process unless it runs; return whether it was started."""
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
    """End the process; return whether it was running."""
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
        said = f" Its last words: {error.lines[-1].strip()}" if error.lines else ""
        log = module.params["log"]
        hint = f"All that it said is in {log}." if log and os.path.exists(log) else ""
        module.fail_json(msg=f"{error}{said}", hint=hint, code=error.code, lines=error.lines)
    except OSError as error:
        msg, hint = explain(error)
        module.fail_json(msg=msg, hint=hint, code="process-not-started")
    module.exit_json(changed=changed, pid=running(module.params["pid_file"]))


if __name__ == "__main__":
    main()
