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
        _tool_wanted: {{name: mrtrix3, title: MRtrix3, archive: {{sha256: abc}}}}
        _tool_trying: {origin}
        _tool_look: {{version: any, present: {{bin: /none}}, archive: /none, prefix: /none, link_dir: /none}}
        _tool_machine: {{cache: /none}}
        _tool_state_file: /none
    - ansible.builtin.debug:
        msg: "passed over for {{{{ _tool_passed_over.{origin} }}}} ({{{{ _tool_failed[0].code }}}})"
"""


# No origin gives 3.0.8: the distribution's is another version, and building it fails as the stand-in of the role does.
NOTHING = """
- hosts: localhost
  gather_facts: false
  vars_files: [{role}/vars/main.yml]
  tasks:
    - ansible.builtin.include_tasks: {role}/tasks/present.yml
      vars:
        _tool_wanted:
          {{name: mrtrix3, title: MRtrix3, package: {{name: mrtrix3}}, origin: auto, origins: {origins}}}
        _tool_seen_last: {{machine: {{name: Debian, root: true, state: /none}}}}
        _tool_look:
          {{version: 3.0.8, refusal: [], movable: false, store_warning: "", unfit: {unfit}, present: {present}}}
"""
BUILD = "- provision_refuse: {problem: There is no C++ compiler., hint: Install one., code: no-compiler}\n"


def tried(tmp_path, answer, origin="present", **answers):
    """Try an origin whose module answers that; return what Ansible said and whether it went on."""
    return played(tmp_path, PLAY.format(role=ROLE, origin=origin), tool_install=answer, **answers)


def refused(tmp_path, distributed, present="{}", origins="[present, package, source]"):
    """Have no origin give 3.0.8 where the distribution has another version; return Ansible's last words."""
    (tmp_path / "roles/mrtrix3/tasks").mkdir(parents=True)
    (tmp_path / "roles/mrtrix3/tasks/build.yml").write_text(BUILD)
    answer = json.dumps({"changed": False, "upstream": distributed, "fits": False, "problem": ""})
    play = NOTHING.format(role=ROLE, present=present, origins=origins, unfit="{present: it is another}")
    said, went_on = played(tmp_path, play, apt_packages=answer)
    assert not went_on
    return said.rpartition("TASK [")[2]


def played(tmp_path, play, **answers):
    """Run a play with modules that answer that; return what Ansible said and whether it succeeded."""
    (tmp_path / "library").mkdir()
    for name, answer in answers.items():
        (tmp_path / f"library/{name}.py").write_text(MODULE.format(answer=answer))
    (tmp_path / "play.yml").write_text(play)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", content.root() / "inventory/localhost.yml",
         tmp_path / "play.yml", "-e", f"provision_python={sys.executable}"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={
            **os.environ, "ANSIBLE_CONFIG": str(content.root() / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_LIBRARY": f"{tmp_path}/library:{content.root()}/plugins/modules", "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
        },
    )  # fmt: skip
    return done.stdout, done.returncode == 0


def refusal(**result):
    return json.dumps({"failed": True, "msg": "It is so.", "hint": "Do this.", **result})


def test_an_origin_that_cannot_give_it_is_passed_over(tmp_path):
    said, went_on = tried(tmp_path, refusal(code="does-not-run"))
    assert went_on and "passed over for It is so. (does-not-run)" in said


def test_an_archive_that_was_named_is_not_replaced_by_something_else(tmp_path):
    wrong = refusal(msg="Its SHA-256 is another.", code="wrong-checksum")
    said, went_on = tried(tmp_path, "{}", "archive", checked_download=wrong)
    assert not went_on and "passed over" not in said
    assert "wrong-checksum" in said and "Its SHA-256 is another." in said.rpartition("TASK [")[2]


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


@pytest.mark.parametrize(
    ("origins", "code"), [("[present, package, source]", "no-compiler"), ("[present, package]", "no-origin")]
)
def test_where_none_works_the_version_that_the_distribution_has_is_offered(tmp_path, origins, code):
    said = refused(tmp_path, "3.0.3", origins=origins)
    assert code in said and "Debian has 3.0.3: use mrtrix3_version: any." in said


def test_the_one_on_path_is_offered_first(tmp_path):
    said = refused(tmp_path, "3.0.3", present="{bin: /usr/bin, version: 3.0.4}")
    assert "/usr/bin has 3.0.4: use mrtrix3_version: any." in said


def test_what_no_origin_has_is_not_offered(tmp_path):
    said = refused(tmp_path, "")
    assert "no-compiler" in said and "any" not in said
