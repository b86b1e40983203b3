#!/usr/bin/python
"""Write the configuration of ngrok's agent, with its token, so that its owner alone can read it."""

from __future__ import annotations

DOCUMENTATION = """
module: ngrok_configuration
short_description: Write the configuration of ngrok's agent, with its token
description:
  - Writes the configuration with which the agent opens one TCP endpoint, called C(ssh), and nothing else - no local
    API, no remote management, no updates. Its form is the one that the version of the agent knows.
  - Beside it goes what takes the token out of all that the agent prints, as commands for sed. Only their owner can read
    either file.
author: The provision founders (!UNKNOWN)
options:
  folder:
    type: path
    required: true
    description: Where the files C(ngrok.yml) and C(redact.sed) go.
  authtoken:
    type: str
    default: ""
    description: The token. Without one, that of the configuration that is there is kept.
  agent_version:
    type: str
    required: true
    description: The version of the agent.
  port:
    type: int
    required: true
    description: The port of this machine to which the endpoint leads.
  remote_addr:
    type: str
    default: ""
    description: A reserved address, as C(host:port).
  region:
    type: str
    default: ""
    description: The region of the service.
  server_addr:
    type: str
    default: ""
    description: The host and port of the service, where it is another than ngrok's own.
  root_cas:
    type: path
    default: ""
    description:
      - The file of authorities that sign the service's certificate. The agent also knows the words C(trusted), for
        ngrok's own, and C(host), for those that the machine trusts.
"""

EXAMPLES = """
- name: Have the agent lead to an SSH server, without the token in the log
  provision_founders.provision.ngrok_configuration:
    folder: /var/lib/provision/ngrok
    authtoken: "{{ vault_ngrok_authtoken }}"
    agent_version: 3.30.0
    port: 2222
  no_log: true
"""

RETURN = """
# Nothing but whether it has changed anything: the token is in its files alone.
"""

import json
import os
import re

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.failures import explain
from ..module_utils.provision.files import drop_half_written, write_text
from ..module_utils.provision.look.ngrok import FIRST_OF_FORM_3, kept_token, numbers
from ..module_utils.provision.reading import read_text


def configuration(given, token):
    """Return what the configuration says, in the form of the agent's version."""
    if numbers(given["agent_version"]) >= FIRST_OF_FORM_3:
        return _form_3(given, token)
    # From version 2 on; agents of version 3 know it as well.
    tunnel = {"proto": "tcp", "addr": f"127.0.0.1:{given['port']}", "remote_addr": given["remote_addr"]}
    service = {name: given[name] for name in ("region", "server_addr", "root_cas")}
    return {"version": "2", **_common(token), **_said(service), "update": False, "tunnels": {"ssh": _said(tunnel)}}


def _form_3(given, token):
    region = f"connect.{given['region']}.ngrok-agent.com:443" if given["region"] else ""
    service = {"connect_url": given["server_addr"] or region, "connect_cas": given["root_cas"]}
    # Whether a certificate was revoked only ngrok can tell of its own.
    own = {"crl_noverify": True} if given["root_cas"] else {}
    endpoint = {
        "name": "ssh", "url": f"tcp://{given['remote_addr']}", "upstream": {"url": f"tcp://127.0.0.1:{given['port']}"}
    }  # fmt: skip
    return {"version": 3, "agent": {**_common(token), **_said(service), **own}, "endpoints": [endpoint]}


def _common(token):
    # The local API asks nobody who they are, so that any user of the machine could open endpoints; with the address
    # read from the log it is needed for nothing.
    return {
        "authtoken": token, "web_addr": False, "remote_management": False, "update_check": False, "console_ui": False,
        "log_level": "info", "log_format": "logfmt",
    }  # fmt: skip


def _said(options):
    return {name: value for name, value in options.items() if value}


def redaction(token):
    """Return the command of sed that takes a token out of what the agent prints."""
    plain = re.sub(r"[][\\/.*^$]", r"\\\g<0>", token)
    return f"s/{plain}/***/g\n"


def main():
    """Run as an Ansible module."""
    texts = ("remote_addr", "region", "server_addr")
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "authtoken": {"type": "str", "default": "", "no_log": True},
            "agent_version": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            **{name: {"type": "str", "default": ""} for name in texts},
            "root_cas": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    folder = given["folder"]
    token = given["authtoken"] or kept_token(folder)
    files = {
        "ngrok.yml": json.dumps(configuration(given, token), indent=1) + "\n",  # JSON is YAML
        "redact.sed": redaction(token),
    }
    changed = [name for name, text in files.items() if read_text(os.path.join(folder, name)) != text]
    try:
        if not module.check_mode:
            for name in files:
                drop_half_written(os.path.join(folder, name))  # of a run that was killed
        if changed and not module.check_mode:
            os.umask(0o022)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            for name in changed:
                write_text(os.path.join(folder, name), files[name], mode=0o600)
    except OSError as error:
        msg, hint = explain(error)
        module.fail_json(msg=msg, hint=hint, code="configuration-not-written")
    module.exit_json(changed=bool(changed))


if __name__ == "__main__":
    main()
