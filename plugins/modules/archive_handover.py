#!/usr/bin/python
"""Hand the archive of a build, or packages, from one host to others."""

from __future__ import annotations

DOCUMENTATION = """
module: archive_handover
short_description: Hand the archive of a build, or packages, from one host to others
description:
  - One host offers an archive over HTTP at a port that the system chooses and an address with a secret part, and the
    others take it from there. What arrives is checked by its SHA-256, which Ansible passes on.
  - The server runs without root's rights. It ends when the offer is withdrawn, or when nobody has taken anything for
    two minutes.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [offered, taken, withdrawn]
    required: true
    description: What to do.
  archive:
    type: path
    description: The archive to offer.
  lock:
    type: dict
    description:
      - Instead of an archive, offer the packages of this lock that are kept in O(store), by their digests.
        M(provision_founders.provision.tool_install) takes them.
  build:
    type: str
    default: ""
    description: A name for what is offered, returned as it is.
  host:
    type: str
    default: ""
    description: The name of the host that offers it, for messages.
  address:
    type: str
    default: ""
    description: An address of the host that offers it, tried before those that it finds itself.
  offer:
    type: dict
    description: What offering it returned, to take or withdraw it.
  store:
    type: path
    description:
      - The folder of archives that keeps the one taken. If it has it already, that is taken. Without it, the archive
        stays in O(cache), under its SHA-256.
  cache:
    type: path
    description: A folder for the download. If the archive was sent there, named by its SHA-256, that is taken.
  progress:
    type: path
    description: A file that receives the progress of the download, as one JSON object.
"""

EXAMPLES = """
- name: Offer an archive to other hosts
  provision_founders.provision.archive_handover:
    state: offered
    archive: /srv/builds/mrtrix3-3.0.8-debian12-x86_64-x86-64-v3.tar.zst
  register: offered

- name: Take it
  provision_founders.provision.archive_handover:
    state: taken
    offer: "{{ hostvars['node1'].offered.offer }}"
    store: /srv/builds
    cache: /var/cache/provision/archives
  when: inventory_hostname != 'node1'
"""

RETURN = """
offer:
  description: What the other hosts and the withdrawal need to know.
  type: dict
  returned: when it is offered
archive:
  description: The path of the archive taken.
  type: str
  returned: when it is taken
came:
  description: Where it came from, V(store), V(host) or V(controller).
  type: str
  returned: when it is taken
unkept:
  description: Why it is not in the store, but in the folder for downloads; empty if it is.
  type: str
  returned: when it is taken
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.conda.fetch import kept_in
from ..module_utils.provision.conda.lock import read_lock
from ..module_utils.provision.failures import Problem, failure
from ..module_utils.provision.progress import teller
from ..module_utils.provision.reading import sha256_of
from ..module_utils.provision.store.offer import offer, take, withdraw


def offered(given):
    """Offer an archive; return the module's result."""
    if given["lock"]:
        folder, packages = kept_in(given["store"]), read_lock(given["lock"]).packages
        kept = [package.kept for package in packages if os.path.isfile(os.path.join(folder, package.kept))]
        found, server = {}, offer(folder, kept)
    else:
        path, server = given["archive"], offer(given["archive"])
        found = {"archive": path, "name": os.path.basename(path), "sha256": sha256_of(path)}
    server["addresses"] = list(dict.fromkeys(filter(None, [given["address"], *server["addresses"]])))
    return {"offer": {**found, **server, "build": given["build"], "host": given["host"]}}


def taken(given):
    """Take an archive; return the module's result."""
    tell = teller(given["progress"], "bytes")
    archive, came, unkept = take(given["offer"], given["store"] or "", given["cache"], tell)
    return {"changed": came != "store", "archive": archive, "came": came, "unkept": unkept}


def withdrawn(given):
    """End the server; return the module's result."""
    withdraw(given["offer"]["pid"], given["offer"]["start"])
    return {}


def main():
    """Run as an Ansible module."""
    text = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["offered", "taken", "withdrawn"], "required": True},
            **{name: {"type": "path"} for name in ("archive", "store", "cache", "progress")},
            **dict.fromkeys(("build", "host", "address"), text),
            "offer": {"type": "dict"},
            "lock": {"type": "dict"},
        },
        required_if=[
            ("state", "offered", ["archive", "lock"], True),
            ("state", "taken", ["offer", "cache"]),
            ("state", "withdrawn", ["offer"]),
        ],
        required_by={"lock": "store"},
        mutually_exclusive=[("archive", "lock")],
    )
    os.umask(0o022)
    given = module.params
    try:
        module.exit_json(**{"offered": offered, "taken": taken, "withdrawn": withdrawn}[given["state"]](given))
    except (Problem, OSError) as error:
        module.fail_json(**failure(error))


if __name__ == "__main__":
    main()
