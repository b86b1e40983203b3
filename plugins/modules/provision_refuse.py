"""The documentation of the action plugin provision_refuse, where ansible-doc looks for it."""

from __future__ import annotations

DOCUMENTATION = """
module: provision_refuse
short_description: Fail with a problem, a hint and a code for programs
description:
  - Fails like C(ansible.builtin.fail), with a hint and a code in addition to the sentence. Nothing is sent to the
    target.
author: The provision founders (!UNKNOWN)
options:
  problem:
    type: str
    required: true
    description: What is wrong, in one sentence.
  hint:
    type: str
    default: ""
    description: What to do.
  code:
    type: str
    default: refused
    description: A code, which stays the same if the sentence changes.
"""

EXAMPLES = """
- name: Refuse an unsupported system
  provision_founders.provision.provision_refuse:
    problem: The role does not support this system.
    hint: Install the packages by hand.
    code: unknown-system
"""

RETURN = """
code:
  description: The code.
  type: str
  returned: failure
hint:
  description: What to do.
  type: str
  returned: failure
"""
