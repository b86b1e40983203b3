"""What the action plugin provision_refuse is told: ansible-doc shows it for a module of that name."""

from __future__ import annotations

DOCUMENTATION = """
module: provision_refuse
short_description: End a host's play with what is wrong, what to do, and a code for programs
description:
  - Fails as C(ansible.builtin.fail) does, with a hint and a code beside the sentence. Nothing is sent to the target.
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
    description: A code that stays the same when the sentence changes.
"""

EXAMPLES = """
- name: Refuse a system that is not known
  provision_founders.provision.provision_refuse:
    problem: This system is not one that the role knows.
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
