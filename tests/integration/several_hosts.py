"""A play in which several hosts, all of them this machine, try one origin of a tool."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from provision.engine import content
from provision.machine.alive import alive, process

ROOT = content.root()
PLAY = f"""
- hosts: all
  gather_facts: false
  vars_files: [{ROOT}/roles/_tool/vars/main.yml]
  vars: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}, provision_conda_mirror: ""}}
  tasks:
    - ansible.builtin.set_fact:
        {{_tool_report: {{}}, _tool_passed_over: {{}}, _tool_failed: [], _tool_began: "{{{{ now().timestamp() }}}}"}}
    - ansible.builtin.include_tasks: {ROOT}/roles/_tool/tasks/try.yml
      vars:
        _tool_state_file: /none
WISHES
    - ansible.builtin.debug:
        msg: {{report: "{{{{ _tool_report }}}}", failed: "{{{{ _tool_failed }}}}"}}
"""


def play(folder, wishes, hosts, texts):
    """Return what each host ended with, and what was said; the texts are those of modules and roles, by their paths."""
    written = {
        **texts, "play.yml": PLAY.replace("WISHES", textwrap.indent(wishes.strip("\n"), 8 * " ")),
        "hosts.yml": json.dumps({"all": {"hosts": hosts}}),
    }  # fmt: skip
    for name, text in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts.yml", folder / "play.yml"],
        capture_output=True, text=True, check=False, cwd=folder, env={
            **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_LIBRARY": f"{folder}/library:{ROOT}/plugins/modules", "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "no_proxy": "127.0.0.1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.rpartition("TASK [ansible.builtin.debug]")[2]
    ended = re.findall(r"^ok: \[(.*?)\] => (\{.*?^\})", said, re.M | re.S)
    found = {host: json.loads(text)["msg"] for host, text in ended}
    assert set(found) == set(hosts), done.stdout
    return found, done.stdout


def servers(folder, pattern):
    """Return (those that were started, by the files in which they are noted; those that still run)."""
    offers = [json.loads(path.read_text()) for path in folder.glob(pattern)]
    found = [(process(one["pid"]), one["start"]) for one in offers]  # one that has ended may not be reaped yet
    return offers, [one for one, start in found if alive(one) and one["start"] == start]
