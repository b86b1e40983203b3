"""The documentation of the action plugin provision_turn, where ansible-doc looks for it."""

from __future__ import annotations

DOCUMENTATION = """
module: provision_turn
short_description: Choose the host that builds for others
description:
  - With O(wanted) or O(build), a host asks for a turn; the result has to be registered as C(_tool_queue). Without, it
    says whose turn it is among all hosts of the play that have asked for the same.
  - The first in the order of the inventory builds. If it fails, the next call without it chooses the next. What did not
    compile on two hosts, with the same message, fails on the others without being tried.
  - Nothing is sent to the target.
author: The provision founders (!UNKNOWN)
options:
  build:
    type: str
    description: A name for what this host asks for, if it is not made from O(wanted).
  wanted:
    type: dict
    description: The description of the tool that is wanted.
  look:
    type: dict
    description: What the probe found out about the tool on this host.
  machine:
    type: dict
    description: What the probe found out about the host.
  version:
    type: str
    description: The version to build.
  tried:
    type: list
    elements: str
    default: []
    description: The hosts that have had their turn.
"""

EXAMPLES = """
- name: Ask for a turn
  provision_founders.provision.provision_turn:
    wanted: "{{ _tool_wanted }}"
    look: "{{ _tool_look }}"
    machine: "{{ _tool_machine }}"
    version: 3.0.8
  register: _tool_queue

- name: Find which host builds
  provision_founders.provision.provision_turn:
  register: _tool_turn
"""

RETURN = """
build:
  description: A name for what this host wants to have built; the same for hosts that can share the archive.
  type: str
  returned: when it asks
builder:
  description: The host that builds.
  type: str
  returned: otherwise
waiting:
  description: The hosts that wait for its archive.
  type: list
  elements: str
  returned: otherwise
folder:
  description: A folder on the controller, for an archive that passes through there. Ansible deletes it when it ends.
  type: str
  returned: otherwise
"""
