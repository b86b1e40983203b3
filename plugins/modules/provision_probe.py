"""The documentation of the action plugin provision_probe, where ansible-doc looks for it."""

from __future__ import annotations

DOCUMENTATION = """
module: provision_probe
short_description: Check several roles on a machine in one round trip
description:
  - Runs checks on the target's Python, with the standard library only, and returns what has drifted.
  - Copies nothing to the target and changes nothing there, and works in check mode.
author: The provision founders (!UNKNOWN)
options:
  roles:
    type: list
    elements: str
    description:
      - The roles to check. What each wants is in its variable C(__<role>_wanted).
      - By default those in the variable C(provision_roles), in the order in which they run, or else the usual ones. For
        another question than C(look), all roles.
  ask:
    type: str
    choices: [look, status, doctor]
    default: look
    description:
      - C(status) only reports what is installed, running and stored, and C(doctor) also whether the machine has what
        the roles need. They return nothing of what is below.
  report:
    type: bool
    default: false
    description: Whether to report for the roles that are not due, as their own last task would.
"""

EXAMPLES = """
- name: Check whether the packages of the role deps are installed
  provision_founders.provision.provision_probe:
    roles: [deps]
  register: seen
"""

RETURN = """
machine:
  description:
    - Facts about the machine, such as its distribution, processor and folders.
    - C(can_become) is true if Ansible has a password for sudo, or another way to become root.
  type: dict
  returned: success
roles:
  description:
    - The findings for each role. C(converged) is true if there is nothing to do, C(wanted) is what was asked for.
  type: dict
  returned: success
due:
  description: The first role that has something to do, and all roles after it, which may depend on it.
  type: list
  elements: str
  returned: success
ready:
  description: The reports of the roles before those.
  type: dict
  returned: success
lacking:
  description: The missing packages of all the roles, as far as their needs are known before anything is installed.
  type: list
  elements: str
  returned: if packages of the role deps are missing and sudo does not work without a password
"""
