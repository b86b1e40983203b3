#!/usr/bin/python
"""Open an ngrok TCP endpoint that leads to this machine's SSH server."""

from __future__ import annotations

DOCUMENTATION = """
module: ngrok_endpoint
short_description: Open an ngrok TCP endpoint that leads to this machine's SSH server
description:
  - Starts the agent as a process that outlives the play, with the configuration from the module ngrok_configuration,
    and notes the endpoint once its public address answers with the host key of this machine's SSH server.
  - A running agent with the same settings is left alone. If its address does not lead here, it gets some time to
    reconnect, and is then replaced.
  - An agent that is refused, or not ready in time, is stopped.
author: The provision founders (!UNKNOWN)
options:
  folder:
    type: path
    required: true
    description: The folder of the agent's files.
  state_file:
    type: path
    required: true
    description: The file that records the endpoint.
  agent:
    type: dict
    required: true
    description: The C(path) and the C(version) of the agent.
  wanted:
    type: dict
    required: true
    description: The wanted settings, the role's variable C(__ngrok_wanted).
  deadline:
    type: float
    default: 20
    description: Seconds within which the endpoint must be open.
  patience:
    type: float
    default: 10
    description: Seconds that a running agent has to reconnect.
"""

EXAMPLES = """
- name: Open an address that closes by itself after an hour
  provision_founders.provision.ngrok_endpoint:
    folder: /var/lib/provision/ngrok
    state_file: /var/lib/provision/ngrok.json
    agent:
      path: /usr/local/bin/ngrok
      version: 3.30.0
    wanted:
      port: 2222
      remote_addr: ""
      region: ""
      server_addr: ""
      root_cas: ""
      max_seconds: 3600
      agent_path: /usr/local/bin/ngrok
      download_url: ""
      sha256: ""
"""

RETURN = """
report:
  description: The role's report.
  type: dict
  returned: success
  contains:
    url:
      description: The address, as C(tcp://HOST:PORT).
      type: str
    host:
      description: The host in the address.
      type: str
    port:
      description: The port in the address.
      type: int
    command:
      description: The command to log in.
      type: str
    known_hosts:
      description: A line for C(~/.ssh/known_hosts).
      type: str
    fingerprint:
      description: The fingerprint of the host key, as ssh shows it at the first connection.
      type: str
    config:
      description: A stanza for C(~/.ssh/config).
      type: str
    expires:
      description: When the address closes by itself (UTC), empty for never.
      type: str
    state:
      description: The state, C(started).
      type: str
"""

import os
import re
import time
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision import ngrok_errors as errors
from ..module_utils.provision.alive import running
from ..module_utils.provision.file_lock import fail_when_locked
from ..module_utils.provision.files import write_json
from ..module_utils.provision.look.connection import offered_key
from ..module_utils.provision.look.ngrok import OPTIONS, kept_token, ngrok_report, public_address, token_mark
from ..module_utils.provision.processes import ProcessError, start, stop
from ..module_utils.provision.reading import read_json

_STARTED = re.compile(r"\burl=(tcp://[\w.-]+:\d+)")
_UNREACHABLE_AFTER = 8  # seconds without having reached the service once
# The service repeats a token that it refuses, so the agent's output passes through sed on its way to the log.
_SHELL = '"$@" 2>&1 | sed -u -f "$0"'


class Refused(Exception):
    """The agent reports that it will not open the endpoint."""


class Agent:
    """The agent and its files."""

    def __init__(self, given):
        folder = given["folder"]
        self.wanted, self.deadline = given["wanted"], given["deadline"]
        self.pid_file, self.log = os.path.join(folder, "ngrok.pid"), os.path.join(folder, "ngrok.log")
        self.token = kept_token(folder)
        self.argv = [
            "sh", "-c", _SHELL, os.path.join(folder, "redact.sed"), given["agent"]["path"], "start", "ssh",
            "--config", os.path.join(folder, "ngrok.yml"), "--log", "stdout",
        ]  # fmt: skip
        # Without the caller's proxy: for agents behind one, the service demands a paid plan (ERR_NGROK_9009).
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8"}
        self.url = ""
        self._begin = self._started = 0

    def start(self, key):
        """Start it, wait until its address leads to the server with the host key, and return when it will end."""
        self._begin = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        limit = self.wanted["max_seconds"]
        started, self._started = time.time(), time.monotonic()
        start(
            ["timeout", "--kill-after=10", str(limit), *self.argv] if limit else self.argv,
            pid_file=self.pid_file,
            log=self.log,
            environment=self.environment,
            ready=lambda: self._leads_to(key),
            deadline=self.deadline,
        )
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started + limit)) if limit else ""

    def _leads_to(self, key):
        said = self.said()
        # The agent repeats a refused request for ever or ends; other errors may be temporary.
        if errors.code_in(said) or errors.distrusts(said):
            raise Refused
        found = _STARTED.search(said)
        if not found and errors.finds_nobody(said) and time.monotonic() > self._started + _UNREACHABLE_AFTER:
            raise Refused
        if found:
            self.url = found.group(1)
        return bool(found) and offered_key(*public_address(self.url), seconds=5) == key

    def is_over(self):
        """Return whether its time is up."""
        return 0 < self.wanted["max_seconds"] <= time.monotonic() - self._started

    def said(self):
        """Return its output since it was started."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                file.seek(self._begin)
                return file.read()
        except FileNotFoundError:
            return ""


def wait_for_return(url, key, patience):
    """Return whether an address leads to the server with a host key, now or within `patience` seconds."""
    end = time.monotonic() + patience
    while offered_key(*public_address(url), seconds=3) != key:
        if time.monotonic() >= end:
            return False
        time.sleep(0.5)
    return True


def is_the_same(state, given, token):
    """Return whether the noted agent was started with the settings wanted now."""
    noted = state.get("wanted", {})
    same = all(noted.get(name) == given["wanted"][name] for name in OPTIONS) and bool(state.get("report"))
    return same and state.get("agent") == given["agent"] and noted.get("token_mark") == token_mark(token)


def replace(module, agent, key):
    """Start the agent, replacing a running one; return its address and when it will end."""
    given = module.params
    try:
        stop(agent.pid_file)
    except ProcessError as error:
        hint = "Stop the agent as the user who started it."
        module.fail_json(msg=str(error), hint=hint, code=error.code)
    with suppress(FileNotFoundError):
        os.unlink(given["state_file"])  # the old address no longer works
    try:
        expires = agent.start(key)
    except (Refused, ProcessError):
        fail(module, agent)
    return agent.url, expires


def fail(module, agent):
    """Fail with the reason why the agent has opened no endpoint; a refused token is not kept."""
    said = agent.said()
    if errors.code_in(said) in errors.BAD_TOKEN:
        for name in ("ngrok.yml", "redact.sed"):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(module.params["folder"], name))
    if agent.is_over() and not (errors.code_in(said) or errors.distrusts(said) or errors.finds_nobody(said)):
        msg = f"The {agent.wanted['max_seconds']} s of ngrok_max_seconds were over before the address was open."
        module.fail_json(msg=msg, hint="Allow more, or 0 for no limit.", code="ngrok-closed")
    if agent.url and not errors.code_in(said):
        msg = f"ngrok opened {agent.url}, but it did not lead to this machine's SSH server within {agent.deadline:g} s."
        hint = "Run it again. If that does not help, see https://status.ngrok.com."
        module.fail_json(msg=msg, hint=hint, code="ngrok-leads-nowhere")
    msg, hint, code = errors.explain(said, agent.token)
    module.fail_json(msg=msg, hint=hint, code=code)


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "state_file": {"type": "path", "required": True},
            "agent": {"type": "dict", "required": True},
            "wanted": {"type": "dict", "required": True},
            "deadline": {"type": "float", "default": 20.0},
            "patience": {"type": "float", "default": 10.0},
        },
    )
    given = module.params
    state = read_json(given["state_file"])
    agent = Agent(given)
    port = given["wanted"]["port"]
    key = offered_key("127.0.0.1", port)
    if not key:
        module.fail_json(
            msg=f"No SSH server answers at port {port} of this machine.",
            hint="Run the role sshd first.",
            code="no-ssh-server",
        )
    goes_on = is_the_same(state, given, agent.token) and running(agent.pid_file)
    if goes_on and wait_for_return(state["report"]["url"], key, given["patience"]):
        url, expires = state["report"]["url"], state["report"]["expires"]
    else:
        with fail_when_locked(module):
            url, expires = replace(module, agent, key)
    wanted = {name: value for name, value in given["wanted"].items() if name in OPTIONS}
    noted = {
        "wanted": {**wanted, "token_mark": token_mark(agent.token)},
        "agent": given["agent"],
        "report": ngrok_report(url, expires, port, key),
    }
    if noted != state:
        write_json(given["state_file"], noted)
    module.exit_json(changed=noted != state, report=noted["report"])


if __name__ == "__main__":
    main()
