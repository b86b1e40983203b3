#!/usr/bin/python
"""Write the configuration of ngrok's agent, with its token, readable only by its owner."""

from __future__ import annotations

DOCUMENTATION = """
module: ngrok_configuration
short_description: Write the configuration of ngrok's agent, with its token
description:
  - Writes a configuration in which the agent opens one TCP endpoint, called C(ssh), and nothing else - no local API, no
    remote management, no updates. The format depends on the agent's version.
  - Also writes a sed script that removes the token from the agent's output. Only their owner can read the two files.
author: The provision founders (!UNKNOWN)
options:
  folder:
    type: path
    required: true
    description: The folder for C(ngrok.yml) and C(redact.sed).
  authtoken:
    type: str
    default: ""
    description: The token. Without one, the token in the existing configuration is kept.
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
    description: The host and port of the service, if it is not ngrok's own.
  root_cas:
    type: path
    default: ""
    description:
      - A file with the certificate authorities of the service. C(trusted) means ngrok's own, C(host) those that the
        machine trusts.
"""

EXAMPLES = """
- name: Configure the agent for an SSH server, without the token in the log
  provision_founders.provision.ngrok_configuration:
    folder: /var/lib/provision/ngrok
    authtoken: "{{ vault_ngrok_authtoken }}"
    agent_version: 3.30.0
    port: 2222
  no_log: true
"""

RETURN = """
# Only `changed`: the token is in its files only.
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
    """Return the configuration, in the format of the agent's version."""
    if numbers(given["agent_version"]) >= FIRST_OF_FORM_3:
        return _form_3(given, token)
    # For version 2 and later; agents of version 3 accept it too.
    tunnel = {"proto": "tcp", "addr": f"127.0.0.1:{given['port']}", "remote_addr": given["remote_addr"]}
    service = {name: given[name] for name in ("region", "server_addr", "root_cas")}
    return {"version": "2", **_common(token), **_said(service), "update": False, "tunnels": {"ssh": _said(tunnel)}}


def _form_3(given, token):
    region = f"connect.{given['region']}.ngrok-agent.com:443" if given["region"] else ""
    service = {"connect_url": given["server_addr"] or region, "connect_cas": given["root_cas"]}
    # Revocation lists exist for ngrok's own certificates only.
    own = {"crl_noverify": True} if given["root_cas"] else {}
    endpoint = {
        "name": "ssh", "url": f"tcp://{given['remote_addr']}", "upstream": {"url": f"tcp://127.0.0.1:{given['port']}"}
    }  # fmt: skip
    return {"version": 3, "agent": {**_common(token), **_said(service), **own}, "endpoints": [endpoint]}


def _common(token):
    # The local API has no authentication, so any user of the machine could open endpoints. It is not needed, because
    # the address is read from the log.
    return {
        "authtoken": token, "web_addr": False, "remote_management": False, "update_check": False, "console_ui": False,
        "log_level": "info", "log_format": "logfmt",
    }  # fmt: skip


def _said(options):
    return {name: value for name, value in options.items() if value}


def redaction(token):
    """Return the sed command that removes a token from the agent's output."""
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
