#!/usr/bin/python
"""Install and remove packages of the distribution, leaving what was there before."""

from __future__ import annotations

DOCUMENTATION = """
module: apt_packages
short_description: Install and remove packages of the distribution, leaving what was there before
description:
  - Runs apt-get and dpkg, and does not need the distribution's Python.
  - Finishes an interrupted installation first. An unreadable source does not matter as long as the others have the
    packages. No package is removed in order to install others.
  - Fails with apt's own reason in one sentence, and what to do.
author: The provision founders (!UNKNOWN)
options:
  names:
    type: list
    elements: str
    required: true
    description: The packages.
  state:
    type: str
    default: present
    choices: [present, automatic, absent, known]
    description:
      - C(present) installs those that are missing, without recommended packages.
      - C(automatic) marks them as automatically installed, and protects them from C(apt-get autoremove).
      - C(absent) removes those in O(names) with their configuration, and ends the protection of those in O(forget).
      - C(known) changes nothing. It returns the version of the first package that apt would install, after fetching
        the package lists if there are none.
  version:
    type: str
    default: any
    description: With C(state=known), the version wanted, as the program itself numbers it.
  keep_configuration:
    type: list
    elements: str
    default: []
    description: Packages whose configuration C(absent) keeps.
  forget:
    type: list
    elements: str
    default: []
    description: Packages that C(absent) no longer protects from C(apt-get autoremove).
  lock_timeout:
    type: int
    default: 300
    description: Seconds to wait for another package manager to finish.
"""

EXAMPLES = """
- name: Install git
  provision_founders.provision.apt_packages:
    names: [git]
"""

RETURN = """
upstream:
  description: The version that apt would install, as the program itself numbers it; empty if there is none.
  type: str
  returned: C(state=known)
fits:
  description: Whether that is the version wanted.
  type: bool
  returned: C(state=known)
problem:
  description: Why there is none, in one sentence.
  type: str
  returned: C(state=known)
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision.apt import AptError, candidate, install, protect, remove, unprotect, upstream_version
from ..module_utils.provision.failures import failure
from ..module_utils.provision.versions import satisfies


def main():
    """Run as an Ansible module."""
    names = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "names": {**names, "required": True},
            "state": {"choices": ["present", "automatic", "absent", "known"], "default": "present"},
            "version": {"default": "any"},
            "keep_configuration": {**names, "default": []},
            "forget": {**names, "default": []},
            "lock_timeout": {"type": "int", "default": 300},
        }
    )
    wanted = module.params
    try:
        if wanted["state"] == "known":
            version, problem = candidate(wanted["names"][0], wanted["lock_timeout"])
            upstream = upstream_version(version)
            fits = bool(upstream) and satisfies(upstream, wanted["version"])
            module.exit_json(changed=False, upstream=upstream, fits=fits, problem=problem)
        if wanted["state"] == "present":
            install(wanted["names"], wanted["lock_timeout"])
        elif wanted["state"] == "automatic":
            protect(wanted["names"])
        else:
            remove(wanted["names"], wanted["keep_configuration"], wanted["lock_timeout"])
            unprotect(wanted["forget"])
    except AptError as error:
        module.fail_json(**failure(error), lines=error.said.splitlines()[-10:])
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
