"""What the action plugin provision_probe is told and returns: ansible-doc shows it for a module of that name."""

from __future__ import annotations

DOCUMENTATION = """
module: provision_probe
short_description: Look at a machine for several roles in one round trip
description:
  - Runs a checker of the standard library alone on the target's Python and returns what has drifted.
  - Nothing is copied to the target and nothing is changed there, in check mode too.
author: The provision founders (!UNKNOWN)
options:
  roles:
    type: list
    elements: str
    required: true
    description: The roles to look for. What each wants of the machine is in its variable C(__<role>_wanted).
  report:
    type: bool
    default: false
    description: Whether what the roles that are not due report is told at once, as their own last task would.
"""

EXAMPLES = """
- name: Ask whether the packages of the role deps are there
  provision_founders.provision.provision_probe:
    roles: [deps]
  register: seen
"""

RETURN = """
machine:
  description:
    - What every role may want to know of the machine, such as its distribution, processor and folders.
    - C(can_become) says whether Ansible was given a password for sudo, or another way to become root.
  type: dict
  returned: success
roles:
  description:
    - For each role what was found. C(converged) says whether nothing is left to be done, C(wanted) is what was asked.
  type: dict
  returned: success
due:
  description: The first role that has something to do, and all after it, which may build on it.
  type: list
  elements: str
  returned: success
ready:
  description: What the roles before those report.
  type: dict
  returned: success
"""
