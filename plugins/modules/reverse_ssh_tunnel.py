#!/usr/bin/python
"""Start the process that keeps a port of a gateway forwarded to this machine, and wait until it does."""

from __future__ import annotations

DOCUMENTATION = """
module: reverse_ssh_tunnel
short_description: Open a reverse tunnel that outlives the play
description:
  - Starts the program C(reverse_tunnel.py) of a folder as a detached process, and waits until the gateway listens. One
    that runs is left as it is.
  - What ssh says when it fails at the first attempt becomes one sentence and what to do; nothing is left running then.
author: The provision founders (!UNKNOWN)
options:
  folder:
    type: path
    required: true
    description: Where the program, its configuration, the gateway's line of known_hosts and the key are.
  max_seconds:
    type: int
    required: true
    description: After how many seconds it ends by itself, 0 for never.
  gateway:
    type: str
    required: true
    description: The gateway as the user named it, for telling them what is wrong.
  gateway_port:
    type: int
    default: 0
    description: The port at the gateway, 0 for any.
  identity:
    type: str
    required: true
    description: The name of the key's file, whose public part is in the file of the same name with C(.pub).
"""

EXAMPLES = """
- name: Have a port of the gateway lead here for an hour
  provision_founders.provision.reverse_ssh_tunnel:
    folder: /var/lib/provision/reverse_ssh
    max_seconds: 3600
    gateway: me@gateway.example.org
    identity: id_ed25519
"""

RETURN = """
# Nothing but whether it has changed anything: the port is in the file tunnel.json of the folder.
"""

import os
import re
import sys

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.alive import running
from ..module_utils.provision.failures import explain as explain_error
from ..module_utils.provision.file_lock import fail_when_locked
from ..module_utils.provision.files import write_json
from ..module_utils.provision.look.reverse_ssh import key_line
from ..module_utils.provision.processes import ProcessError, start, stop
from ..module_utils.provision.reading import read_json, read_text

DEADLINE = 90.0  # seconds; the program gives up a login, and a port that stays taken, before
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What ssh says, in the order in which it is looked for, what that means, and what to do.
_KNOWN = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "The gateway {gateway} has another host key than reverse_ssh_known_hosts says: it was set up anew, or somebody "
        "is in between.",
        "Compare on a network that you trust, before you give the new line: one of another kind of key will not do.",
        "gateway-key-changed",
    ),
    (
        r"key is known for|Host key verification failed",
        "The gateway {gateway} shows a host key of which reverse_ssh_known_hosts has no line.",
        "Give the line of a key that it has, which is not marked as revoked.",
        "gateway-key-unknown",
    ),
    (
        r"Permission denied",
        "The gateway refuses this machine's key for {gateway}, if it knows that user.",
        "Add this line to ~/.ssh/authorized_keys of that user there: {authorize}",
        "gateway-refuses-key",
    ),
    (
        r"Could not resolve hostname",
        "The name of the gateway {gateway} cannot be resolved.",
        "Check reverse_ssh_gateway and the network.",
        "gateway-not-found",
    ),
    (
        r"overridden by server GatewayPorts",
        "The gateway {gateway} opens forwarded ports to everybody, so none was opened.",
        'Set "GatewayPorts no" in its sshd_config, for this user at least.',
        "gateway-opens-to-all",
    ),
    (
        r"remote port forwarding failed for listen port 0",
        "The gateway {gateway} lets this machine in, but forwards no port to it.",
        "Its sshd_config must allow it (AllowTcpForwarding), and its authorized_keys have this line: {authorize}",
        "gateway-forwards-nothing",
    ),
    (
        r"remote port forwarding failed",
        "The gateway {gateway} does not forward the port {port}: it is taken there, or not allowed.",
        "A session that died may hold it until the gateway notices (ClientAliveInterval in its sshd_config). Else "
        "choose another reverse_ssh_gateway_port, and have this line in its authorized_keys: {authorize}",
        "gateway-port-taken",
    ),
    (
        r"timed out|refused|[Nn]o route|unreachable|closed by|reset by|kex_exchange|banner",
        "The gateway {gateway} cannot be reached: {said}.",
        "Check reverse_ssh_gateway, the network, and that it lets this machine's address in.",
        "gateway-unreachable",
    ),
)


def explain(said, **names):
    """Return the lines that ssh printed as (message, hint, code)."""
    last = "".join(letter if letter.isprintable() else " " for letter in said[-1]).strip(" .")
    for pattern, message, hint, code in _KNOWN:
        if re.search(pattern, "\n".join(said)):
            return message.format(said=last.rpartition(": ")[2], **names), hint.format(**names), code
    return f"The gateway {names['gateway']} could not be used: {last}.", f"The log is {names['log']}.", "gateway-failed"


class Refused(ProcessError):
    """The gateway did not do it; `said` has the lines in which ssh told why."""

    def __init__(self, said):
        super().__init__(said[-1])
        self.said = said


def forwarding(state):
    """Return a condition for `start`: the gateway forwards the port. It raises Refused when that has failed."""

    def ready():
        found = read_json(state)
        if found.get("said"):
            raise Refused(found["said"])
        return found.get("up", False)

    return ready


def ensure_started(given):
    """Start the program unless it runs; return whether it was started."""
    folder = given["folder"]
    state, pid_file = os.path.join(folder, "tunnel.json"), os.path.join(folder, "reverse_ssh.pid")
    if running(pid_file):
        return False
    stop(pid_file)  # what a killed one has left of itself would still write to its state
    # Of the run before only the port is of use, which it will ask for again.
    write_json(state, {"port": read_json(state).get("port", 0)}, mode=0o600)
    bound = ["setpriv", "--pdeathsig", "TERM"]  # it ends with the one that counts the seconds
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
    given = module.params
    try:
        with fail_when_locked(module):
            changed = ensure_started(given)
    except ProcessError as error:
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
