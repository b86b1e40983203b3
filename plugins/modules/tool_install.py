#!/usr/bin/python
"""Put a tool in its place once it has shown that it runs, or take it away again."""

from __future__ import annotations

DOCUMENTATION = """
module: tool_install
short_description: Put a tool in its place once it has shown that it runs
description:
  - Takes a tool from a built source tree, an archive, or the best archive of a store to a folder beside the prefix, has
    the commands tell their version and runs the tests there, and renames the folder into place. With none of them,
    tries the commands in O(bin) where they are.
  - When no archive of the store can be used, nothing is changed and C(report) is empty; C(passed_over) says why. Those
    that are broken get a name that ends in C(.bad).
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
    description:
      - The tool. MRtrix3 and mrpeek, which are compiled, have code of their own, and need their name and title alone.
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
        default: {}
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
    description: The version wanted, C(any) for whatever it is, or a git reference, which is not compared.
  move:
    type: bool
    default: false
    description:
      - Whether what the state file notes shall be put into C(prefix) and linked in C(link_dir) as it is, without
        another build.
  tree:
    type: path
    description: A built source tree.
  archive:
    type: path
    description: An archive of a build, packed by this collection, or a zip or tar archive of a folder with C(bin).
  source:
    type: str
    default: ""
    description: Where the archive was fetched from, to be reported.
  store:
    type: path
    description: A folder of archives to choose from.
  bin:
    type: path
    description: The folder of commands that are already where they belong.
  repo:
    type: str
    default: ""
    description: Where a version that is no release must have been cloned from.
  belongs_to:
    type: str
    default: ""
    description: The build that it was compiled against, or must have been, such as C(mrtrix3-3.0.8); any when empty.
  commands:
    type: list
    elements: str
    default: []
    description: The commands that were asked for of a build; none means all.
  cpu:
    type: str
    default: ""
    description: The processor it was compiled for; from a store, the one it must be for, empty for any that runs.
  progress:
    type: path
    description: A file that is told how far the unpacking is, as one JSON object.
  prefix:
    type: path
    description: The folder to install into.
  link_dir:
    type: path
    description: A folder on PATH that gets a link to each command; none when empty.
  extra:
    type: dict
    default: {}
    description: What else to note in the state file, and in the manifest of a build.
  seconds:
    type: float
    default: 0
    description: How long all of it has taken before.
  build_seconds:
    type: float
    default: 0
    description: How long compiling the tree has taken.
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

- name: Install the best build of MRtrix3 in a store
  provision_founders.provision.tool_install:
    tool: {name: mrtrix3, title: MRtrix3}
    origin: store
    store: /srv/builds
    version: 3.0.8
    prefix: /opt/mrtrix3
    link_dir: /usr/local/bin
    state_file: /var/lib/provision/mrtrix3.json

- name: Take it away again
  provision_founders.provision.tool_install:
    tool: {name: mrtrix3, title: MRtrix3}
    state: absent
    prefix: /opt/mrtrix3
    link_dir: /usr/local/bin
    state_file: /var/lib/provision/mrtrix3.json
"""

RETURN = """
report:
  description:
    - What is in place now, as the role reports it; V({}) when nothing is.
    - Without C(notes), which the role adds.
  type: dict
  returned: success
left_alone:
  description: Commands in the folder on PATH that are somebody else's, and got no link.
  type: list
  elements: str
  returned: success
passed_over:
  description: The archives of the store that could not be used, best first.
  type: list
  elements: dict
  returned: success
  contains:
    archive:
      description: Its path, or that of the store when that cannot be read.
      type: str
    why:
      description: Why it was not taken.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.tool.described import Described
from ..module_utils.provision.tool.mrpeek import Mrpeek
from ..module_utils.provision.tool.mrtrix3 import MRtrix3

# What is more than data can say: compiled here, and tried in ways of its own.
_OWN = {"mrtrix3": MRtrix3, "mrpeek": Mrpeek}

_TEXT = {"type": "str", "default": ""}
_TEXTS = {"type": "list", "elements": "str", "default": []}
_TOOL = {
    "name": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "tells": {"type": "dict", "default": {}},
    "tests": {"type": "list", "elements": "list", "default": []},
    "commands": _TEXTS,
    "environment": {"type": "dict", "default": {}},
}
_ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tool": {"type": "dict", "required": True, "options": _TOOL},
    "state_file": {"type": "path", "required": True},
    "origin": {"type": "str"},
    "version": {"type": "str", "default": "any"},
    "move": {"type": "bool", "default": False},
    **{name: {"type": "path"} for name in ("tree", "archive", "store", "bin", "progress", "prefix", "link_dir")},
    "source": _TEXT,
    "repo": _TEXT,
    "belongs_to": _TEXT,
    "commands": _TEXTS,
    "cpu": _TEXT,
    "extra": {"type": "dict", "default": {}},
    "seconds": {"type": "float", "default": 0},
    "build_seconds": {"type": "float", "default": 0},
}


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec=_ARGUMENTS,
        required_if=[("state", "present", ["tree", "archive", "store", "bin", "move"], True)],
        mutually_exclusive=[("tree", "archive", "store", "bin")],
    )
    tool = module.params["tool"]
    _OWN.get(tool["name"], Described)(tool).run(module)


if __name__ == "__main__":
    main()
