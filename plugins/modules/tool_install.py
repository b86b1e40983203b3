#!/usr/bin/python
"""Install a tool after testing it, or remove it."""

from __future__ import annotations

DOCUMENTATION = """
module: tool_install
short_description: Install a tool after testing it
description:
  - Puts a tool from a built source tree, an archive, the best archive of a store or the conda packages of a lock into a
    folder beside the prefix, checks its version and runs its tests there, and renames the folder into place. With
    O(bin), it tests the commands where they are.
  - If no archive of the store can be used, nothing is changed and C(report) is empty; C(passed_over) has the reasons.
    Broken archives are renamed to end in C(.bad).
  - Records what it installed in a state file, which C(state=absent) uses to remove it.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [present, absent]
    default: present
    description: Whether the tool is installed.
  tool:
    type: dict
    required: true
    description:
      - The tool. MRtrix3 and mrpeek, which are compiled, have code of their own and need only their name and title.
    suboptions:
      name:
        type: str
        required: true
        description: Its name, the same as that of its role.
      title:
        type: str
        required: true
        description: Its name in messages.
      tells:
        type: dict
        default: {}
        description: The C(command) that prints the version, and the C(pattern) whose first group is the version.
      tests:
        type: list
        elements: list
        default: []
        description:
          - Commands that must succeed, each with its arguments. C(IMAGE) in them stands for a small NIfTI image, and
            C(OUT) for the beginning of a new file's path.
      commands:
        type: list
        elements: str
        default: []
        description: The commands to link.
      environment:
        type: dict
        default: {}
        description: Variables that its commands need; PREFIX in a value stands for its folder.
      release:
        type: str
        default: ""
        description: The version of a tool that does not report one.
      required:
        type: list
        elements: str
        default: []
        description: Commands that a tool without C(tells) must have.
      hidden:
        type: list
        elements: str
        default: []
        description: Commands of its conda package that are not linked.
  state_file:
    type: path
    required: true
    description: The file that records what was installed.
  origin:
    type: str
    description: The origin, for the report.
  version:
    type: str
    default: any
    description: The version wanted, C(any), or a git reference, which is not compared.
  move:
    type: bool
    default: false
    description:
      - Whether to move the existing installation to C(prefix) and link it in C(link_dir), without a new build.
  tree:
    type: path
    description: A built source tree.
  archive:
    type: path
    description: An archive of a build by this collection, or a zip or tar archive of a folder with C(bin).
  source:
    type: str
    default: ""
    description: The URL or path of the archive, for the report.
  store:
    type: path
    description: A folder of archives to choose from.
  lock:
    type: dict
    description:
      - The content of a lock, with C(tool), C(version), C(platform) and C(packages), each with C(name), C(url),
        C(sha256) or C(md5), and C(size). Each is fetched, verified and laid out in the folder C(env) of the prefix.
  mirror:
    type: str
    default: ""
    description: An address or folder to fetch the packages of the lock from, as C(MIRROR/CHANNEL/PLATFORM/FILE).
  cache:
    type: path
    description: A folder for downloads; required with O(lock). What an interruption leaves there is continued.
  keep:
    type: path
    description: The store that keeps the packages of the lock; none are kept if empty.
  near:
    type: dict
    default: {}
    description:
      - What M(provision_founders.provision.archive_handover) returned on another host as C(offer) of the packages of
        the lock. They are taken from there where possible, and verified all the same.
  bin:
    type: path
    description: A folder of commands that are already in their place.
  repo:
    type: str
    default: ""
    description: The repository that a version other than a release must come from.
  belongs_to:
    type: str
    default: ""
    description: The build that it is compiled against, such as C(mrtrix3-3.0.8); any if empty.
  commands:
    type: list
    elements: str
    default: []
    description: The commands that a build must have; none means all.
  cpu:
    type: str
    default: ""
    description: The processor it is compiled for; from a store, empty accepts any build that runs here.
  progress:
    type: path
    description: A file that receives the progress of the unpacking or download, as one JSON object.
  prefix:
    type: path
    description: The folder to install into.
  link_dir:
    type: path
    description: A folder on PATH for the links to the commands; no links if empty. With O(bin) for a folder off PATH.
  extra:
    type: dict
    default: {}
    description: Further entries for the state file, and for the manifest of a build.
  report:
    type: dict
    default: {}
    description: Further fields for the report.
  seconds:
    type: float
    default: 0
    description: How long the previous steps have taken.
  build_seconds:
    type: float
    default: 0
    description: How long compiling has taken.
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

- name: Install the conda packages of a lock
  provision_founders.provision.tool_install:
    tool: {name: mrtrix3, title: MRtrix3, hidden: [mrview, shview]}
    origin: conda
    lock: "{{ lookup('ansible.builtin.file', 'mrtrix3.lock.json') | from_json }}"
    cache: /var/cache/provision
    version: 3.0.8
    prefix: /opt/mrtrix3
    link_dir: /usr/local/bin
    state_file: /var/lib/provision/mrtrix3.json

- name: Remove it
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
    - The installation, as the role reports it; V({}) if there is none.
    - Without C(notes), which the role adds.
  type: dict
  returned: success
left_alone:
  description: Commands that were not linked because another file has their name in the link folder.
  type: list
  elements: str
  returned: success
passed_over:
  description: The archives of the store that could not be used, the best first.
  type: list
  elements: dict
  returned: success
  contains:
    archive:
      description: The path of the archive, or of the store if that cannot be read.
      type: str
    why:
      description: Why it was not used.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.tool.described import Described
from ..module_utils.provision.tool.mrpeek import Mrpeek
from ..module_utils.provision.tool.mrtrix3 import MRtrix3

# The tools that data cannot describe: compiled here, and with tests of their own.
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
    "release": _TEXT,
    "required": _TEXTS,
    "hidden": _TEXTS,
}
_PATHS = ("tree", "archive", "store", "bin", "cache", "keep", "progress", "prefix", "link_dir")
_ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tool": {"type": "dict", "required": True, "options": _TOOL},
    "state_file": {"type": "path", "required": True},
    "origin": {"type": "str"},
    "version": {"type": "str", "default": "any"},
    "move": {"type": "bool", "default": False},
    **{name: {"type": "path"} for name in _PATHS},
    "lock": {"type": "dict"},
    "near": {"type": "dict", "default": {}},
    "mirror": _TEXT,
    "source": _TEXT,
    "repo": _TEXT,
    "belongs_to": _TEXT,
    "commands": _TEXTS,
    "cpu": _TEXT,
    "extra": {"type": "dict", "default": {}},
    "report": {"type": "dict", "default": {}},
    "seconds": {"type": "float", "default": 0},
    "build_seconds": {"type": "float", "default": 0},
}


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec=_ARGUMENTS,
        required_if=[("state", "present", ["tree", "archive", "store", "lock", "bin", "move"], True)],
        required_by={"lock": "cache"},
        mutually_exclusive=[("tree", "archive", "store", "lock", "bin")],
    )
    tool = module.params["tool"]
    _OWN.get(tool["name"], Described)(tool).run(module)


if __name__ == "__main__":
    main()
