"""What is done when one of a tool's origins fails, with a module of our own that fails as it is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ansible")

from provision.engine import content, events

ROLE = content.root() / "roles/_tool"
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, os, sys
if {answer!r} == "killed":
    os.kill(os.getpid(), 9)
print({answer!r})
"""
PLAY = """
- hosts: localhost
  gather_facts: false
  vars_files: [{role}/vars/main.yml]
  tasks:
    - ansible.builtin.set_fact: {{_tool_report: {{}}, _tool_passed_over: {{}}, _tool_failed: []}}
    - ansible.builtin.include_tasks: {role}/tasks/try.yml
      vars:
        _tool_wanted: {{name: mrtrix3, title: MRtrix3}}
        _tool_trying: present
        _tool_look: {{version: any, present: {{bin: /none}}}}
        _tool_state_file: /none
    - ansible.builtin.debug:
        msg: "passed over for {{{{ _tool_passed_over.present }}}} ({{{{ _tool_failed[0].code }}}})"
"""


def tried(tmp_path, answer):
    """Try an origin whose module answers that; return what Ansible said and whether it went on."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library/tool_install.py").write_text(MODULE.format(answer=answer))
    (tmp_path / "play.yml").write_text(PLAY.format(role=ROLE))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", content.root() / "inventory/localhost.yml",
         tmp_path / "play.yml", "-e", f"provision_python={sys.executable}"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={
            **os.environ, "ANSIBLE_CONFIG": str(content.root() / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_LIBRARY": str(tmp_path / "library"), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
        },
    )  # fmt: skip
    return done.stdout, done.returncode == 0


def refusal(**result):
    return json.dumps({"failed": True, "msg": "It is so.", "hint": "Do this.", **result})


def test_an_origin_that_cannot_give_it_is_passed_over(tmp_path):
    said, went_on = tried(tmp_path, refusal(code="does-not-run"))
    assert went_on and "passed over for It is so. (does-not-run)" in said


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(code="locked"), ""), (refusal(code="disk-full"), ""),
        (refusal(msg="E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt)"), "apt-locked"),
        ("killed", ""),
    ],
)  # fmt: skip
def test_what_would_stop_the_next_origin_too_ends_the_run(tmp_path, answer, code):
    said, went_on = tried(tmp_path, answer)
    assert not went_on and "passed over" not in said
    assert events.explain(said)[2] == code  # those of our own modules come with theirs
