#!/usr/bin/python
"""Put a tool in its place once it has shown that it runs, or take it away again."""

from __future__ import annotations

DOCUMENTATION = """
module: tool_install
short_description: Put a tool that is described as data in its place once it has shown that it runs
description:
  - Unpacks an archive in a folder beside the prefix, has the commands tell their version and runs the tests there, and
    renames the folder into place.
  - Notes what it put on the machine in a state file, from which C(state=absent) removes it again.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [present, absent]
    default: present
    description: Whether the tool shall be there.
  tool:
    type: dict
    required: true
    description: The tool.
    suboptions:
      name:
        type: str
        required: true
        description: Its name, which is that of its role.
      title:
        type: str
        required: true
        description: Its name for people.
      tells:
        type: dict
        required: true
        description: The C(command) that tells the version, and the C(pattern) whose first group is the version.
      tests:
        type: list
        elements: list
        default: []
        description: Commands that must end with 0, each with its arguments.
      commands:
        type: list
        elements: str
        default: []
        description: The commands that are linked.
      environment:
        type: dict
        default: {}
        description: Variables that its commands need; PREFIX in a value is the folder that it is in.
  state_file:
    type: path
    required: true
    description: Where to note what was put on the machine.
  origin:
    type: str
    description: Where it came from.
  version:
    type: str
    default: any
    description: The version wanted, C(any) for whatever it is.
  move:
    type: bool
    default: false
    description: Whether what the state file notes shall be put into C(prefix) and linked in C(link_dir) as it is.
  archive:
    type: path
    description: A zip or tar archive of a folder with C(bin).
  progress:
    type: path
    description: A file that is told how far the unpacking is, as one JSON object.
  prefix:
    type: path
    description: The folder to install into.
  link_dir:
    type: path
    description: A folder on PATH that gets a link to each command; none when empty.
  seconds:
    type: float
    default: 0
    description: How long all of it has taken before.
"""

EXAMPLES = """
- name: Install ANTs from its archive
  provision_founders.provision.tool_install:
    tool:
      name: ants
      title: ANTs
      tells: {command: [antsRegistration, --version], pattern: 'ANTs Version: v?([0-9.]+)'}
      commands: [antsRegistration]
    origin: archive
    version: 2.5.4
    archive: /srv/ants-2.5.4.zip
    prefix: /opt/ants
    link_dir: /usr/local/bin
    state_file: /var/lib/provision/ants.json
  register: done
"""

RETURN = """
report:
  description: What is in place now, as the role reports it; V({}) when nothing is.
  type: dict
  returned: success
left_alone:
  description: Commands in the folder on PATH that are somebody else's, and got no link.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.tool.described import Described
from ..module_utils.provision.tool.install import ARGUMENTS

_NAMES = ("state", "state_file", "origin", "version", "move", "progress", "prefix", "link_dir", "seconds")
_TOOL = {
    "name": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "tells": {"type": "dict", "required": True},
    "tests": {"type": "list", "elements": "list", "default": []},
    "commands": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
}


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            **{name: ARGUMENTS[name] for name in _NAMES},
            "archive": {"type": "path"},
            "tool": {"type": "dict", "required": True, "options": _TOOL},
        },
        required_if=[("state", "present", ["archive", "move"], True)],
    )
    tool = module.params["tool"]
    module.params.update(
        tree=None, store=None, repo="", cpu="", build_seconds=0, commands=tool["commands"], extra={"tool": tool}
    )
    Described(tool).run(module)


if __name__ == "__main__":
    main()
