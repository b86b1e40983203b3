#!/usr/bin/python
"""Open a reverse SSH tunnel from a port of a gateway to this machine, which outlives the play."""

from __future__ import annotations

DOCUMENTATION = """
module: reverse_ssh_tunnel
short_description: Open a reverse SSH tunnel that outlives the play
description:
  - Starts the program C(reverse_tunnel.py) in a folder as a detached process, and waits until the gateway listens. A
    running tunnel is left as it is.
  - If the first attempt fails, the error of ssh becomes one sentence and what to do, and nothing is left running.
author: The provision founders (!UNKNOWN)
options:
  folder:
    type: path
    required: true
    description: The folder of the program, its configuration, the gateway's line of known_hosts and the key.
  max_seconds:
    type: int
    required: true
    description: Seconds after which it closes by itself, 0 for never.
  gateway:
    type: str
    required: true
    description: The gateway as the user named it, for error messages.
  gateway_port:
    type: int
    default: 0
    description: The port at the gateway, 0 for any.
  identity:
    type: str
    required: true
    description: The file name of the key, whose public part has the same name with C(.pub).
"""

EXAMPLES = """
- name: Forward a port of the gateway to this machine for an hour
  provision_founders.provision.reverse_ssh_tunnel:
    folder: /var/lib/provision/reverse_ssh
    max_seconds: 3600
    gateway: me@gateway.example.org
    identity: id_ed25519
"""

RETURN = """
# Only `changed`: the port is in the file tunnel.json in the folder.
"""

import os
import re
import sys
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.alive import running
from ..module_utils.provision.failures import explain as explain_error
from ..module_utils.provision.file_lock import fail_when_locked
from ..module_utils.provision.files import write_json
from ..module_utils.provision.look.reverse_ssh import key_line
from ..module_utils.provision.processes import ProcessError, start, stop
from ..module_utils.provision.reading import read_json, read_text

DEADLINE = 90.0  # seconds; the program itself gives up earlier on a login or a taken port
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Messages of ssh, in the order in which they are searched, what they mean, what to do, and the code.
_KNOWN = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "The host key of the gateway {gateway} is not the one in reverse_ssh_known_hosts: it was reinstalled, or "
        "somebody is intercepting the connection.",
        "Compare the key on a network that you trust before you replace the line.",
        "gateway-key-changed",
    ),
    (
        r"key is known for|Host key verification failed",
        "The gateway {gateway} has a host key that is not in reverse_ssh_known_hosts.",
        "Add the line of one of its keys that is not revoked.",
        "gateway-key-unknown",
    ),
    (
        r"Permission denied",
        "The gateway refuses this machine's key for {gateway}, or does not know that user.",
        "Add this line to that user's ~/.ssh/authorized_keys on the gateway: {authorize}",
        "gateway-refuses-key",
    ),
    (
        r"Could not resolve hostname",
        "The host name of the gateway {gateway} cannot be resolved.",
        "Check reverse_ssh_gateway and the network.",
        "gateway-not-found",
    ),
    (
        r"overridden by server GatewayPorts",
        "The gateway {gateway} would open the forwarded port to everybody, so the tunnel was not opened.",
        'Set "GatewayPorts no" in its sshd_config, at least for this user.',
        "gateway-opens-to-all",
    ),
    (
        r"remote port forwarding failed for listen port 0",
        "The gateway {gateway} lets this machine in, but does not forward a port.",
        "Allow it in its sshd_config (AllowTcpForwarding), and add this line to its authorized_keys: {authorize}",
        "gateway-forwards-nothing",
    ),
    (
        r"remote port forwarding failed",
        "The gateway {gateway} does not forward port {port}: it is in use there, or not allowed.",
        "Wait until the gateway drops a dead session (ClientAliveInterval in its sshd_config). Or change "
        "reverse_ssh_gateway_port, with this line in its authorized_keys: {authorize}",
        "gateway-port-taken",
    ),
    (
        r"timed out|refused|[Nn]o route|unreachable|closed by|reset by|kex_exchange|banner",
        "The gateway {gateway} cannot be reached: {said}.",
        "Check reverse_ssh_gateway, the network, and whether the gateway accepts this machine's address.",
        "gateway-unreachable",
    ),
)


def explain(said, **names):
    """Return (message, hint, code) for the lines that ssh printed."""
    last = "".join(letter if letter.isprintable() else " " for letter in said[-1]).strip(" .")
    for pattern, message, hint, code in _KNOWN:
        if re.search(pattern, "\n".join(said)):
            return message.format(said=last.rpartition(": ")[2], **names), hint.format(**names), code
    return f"The gateway {names['gateway']} could not be used: {last}.", f"Its log is {names['log']}.", "gateway-failed"


class Refused(ProcessError):
    """The gateway refused; `said` has the lines in which ssh reports why."""

    def __init__(self, said):
        super().__init__(said[-1])
        self.said = said


def forwarding(state):
    """Return a condition for `start`: the gateway forwards the port. It raises Refused if that fails."""

    def ready():
        found = read_json(state)
        if found.get("said"):
            raise Refused(found["said"])
        return found.get("up", False)

    return ready


def ensure_started(given):
    """Start the program unless it is running; return whether it was started."""
    folder = given["folder"]
    state, pid_file = os.path.join(folder, "tunnel.json"), os.path.join(folder, "reverse_ssh.pid")
    if running(pid_file):
        return False
    stop(pid_file)  # the rest of a killed one would still write to the state file
    # Keep only the port of the last run, to request it again.
    write_json(state, {"port": read_json(state).get("port", 0)}, mode=0o600)
    bound = ["setpriv", "--pdeathsig", "TERM"]  # it ends with `timeout`
    program = [sys.executable, "-IS", os.path.join(folder, "reverse_tunnel.py")]
    return start(
        ["timeout", str(given["max_seconds"]), *bound, *program],
        pid_file=pid_file,
        log=os.path.join(folder, "tunnel.log"),
        environment={"PATH": _PATH, "LANG": "C.UTF-8"},
        ready=forwarding(state),
        deadline=DEADLINE,
    )


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "max_seconds": {"type": "int", "required": True},
            "gateway": {"type": "str", "required": True},
            "gateway_port": {"type": "int", "default": 0},
            "identity": {"type": "str", "required": True},
        },
    )
    given, begin = module.params, time.monotonic()
    try:
        with fail_when_locked(module):
            changed = ensure_started(given)
    except ProcessError as error:
        if not isinstance(error, Refused) and 0 < given["max_seconds"] <= time.monotonic() - begin:
            msg = f"The {given['max_seconds']} s of reverse_ssh_max_seconds were over before the tunnel was open."
            module.fail_json(msg=msg, hint="Allow more, or 0 for no limit.", code="tunnel-closed")
        public_key = read_text(os.path.join(given["folder"], given["identity"] + ".pub")).strip()
        message, hint, code = explain(
            error.said if isinstance(error, Refused) else [str(error)],
            gateway=given["gateway"],
            port=given["gateway_port"],
            authorize=key_line(given, public_key),
            log=os.path.join(given["folder"], "tunnel.log"),
        )
        module.fail_json(msg=message, hint=hint, code=code)
    except OSError as error:
        message, hint = explain_error(error)
        module.fail_json(msg=message, hint=hint, code="tunnel-not-started")
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
