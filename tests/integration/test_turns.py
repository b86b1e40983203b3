"""Hosts that want the same build: one makes it, and the others take its archive. Here, all of them are this machine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ansible")

from provision.engine import content
from provision.machine.alive import alive, process

ROOT = content.root()
# Stand-ins: what builds is a task that fails on some hosts, and what is packed is a few words.
INSTALL = """#!/usr/bin/python
# WANT_JSON
import json, sys
given = json.load(open(sys.argv[1]))
report = {"origin": given["origin"], "archive": given.get("archive") or "", **given.get("report", {})}
unfit = "not-for-" in str(report["archive"])
print(json.dumps({"changed": True, "failed": unfit, "msg": "It does not run.", "report": report}))
"""
PACK = """#!/usr/bin/python
# WANT_JSON
import json, os, sys
store = json.load(open(sys.argv[1]))["store"]
os.makedirs(store, exist_ok=True)
open(store + "/build.tar.zst", "w").write("the build")
print(json.dumps({"changed": True, "kept": {"archive": store + "/build.tar.zst"}}))
"""
# The real one, but what is taken is kept without a look into it, and the host "far" reaches no other.
HAND_OVER = f"""#!/usr/bin/python
# WANT_JSON
import json, os, shutil, sys
sys.path.insert(0, {str(ROOT)!r})
from plugins.module_utils.provision.store import offer
from plugins.module_utils.provision.store.errors import StoreError
from plugins.modules import archive_handover
def adopt(path, store, sha256):
    os.makedirs(store, exist_ok=True)
    return dict(archive=shutil.copy(path, store + "/build.tar.zst"))
offer.adopt = adopt
given = dict(progress=None, lock=None, **json.load(open(sys.argv[1])))
if "/cache-far/" in given.get("cache", ""):
    offer.answers = lambda *_, **__: False
try:
    done = getattr(archive_handover, given["state"])(given)
    if given["state"] == "offered":
        open(given["archive"] + ".server", "w").write(json.dumps(done["offer"]))
    print(json.dumps(done))
except StoreError as error:
    print(json.dumps(dict(failed=True, msg=error.message)))
"""
COMPILE = """#!/usr/bin/python
# WANT_JSON
print('{"failed": true, "msg": "There is no compiler.", "hint": "Install one.", "code": "x", "build_log": "/log"}')
"""
BUILD = """
- provision_refuse: {problem: "{{ broken }}", code: disk}
  when: broken is defined
- name: Compile
  mrtrix3_build:
  when: wrong is defined
- ansible.builtin.set_fact:
    __mrtrix3_built: {belongs_to: "", tree: /none, cpu: "", spent: 1, unfinished: "", notes: [], commit: abc}
"""
PLAY = f"""
- hosts: all
  gather_facts: false
  vars_files: [{ROOT}/roles/_tool/vars/main.yml]
  vars: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}
  tasks:
    - ansible.builtin.set_fact:
        {{_tool_report: {{}}, _tool_passed_over: {{}}, _tool_failed: [], _tool_began: "{{{{ now().timestamp() }}}}"}}
    - ansible.builtin.include_tasks: {ROOT}/roles/_tool/tasks/try.yml
      vars:
        _tool_trying: source
        _tool_wanted:
          {{name: mrtrix3, title: MRtrix3, release: 3.0.8, repo: here, commit: "{{{{ commit | default('') }}}}"}}
        _tool_look:
          version: 3.0.8
          store: "{{{{ playbook_dir }}}}/{{{{ store | default(inventory_hostname) }}}}"
          store_problem: ""
          store_warning: ""
          prefix: /none
          link_dir: ""
          commands: []
        _tool_machine:
          release: debian-12
          arch: x86_64
          own_cpu: "{{{{ level | default('x86-64') }}}}"
          glibc: "2.36"
          cache: "{{{{ playbook_dir }}}}/cache-{{{{ inventory_hostname }}}}"
        _tool_state_file: /none
    - ansible.builtin.debug:
        msg: {{report: "{{{{ _tool_report }}}}", failed: "{{{{ _tool_failed }}}}"}}
"""
HOSTS = {
    # The archive travels, once through the machine where Ansible runs.
    "first": {}, "near": {}, "far": {},
    "sharing": {"level": "x86-64-v2", "store": "shared"}, "shared": {"level": "x86-64-v2", "store": "shared"},
    "pinned": {"commit": "abc"},
    "broken": {"level": "x86-64-v3", "broken": "Its disk failed."}, "next": {"level": "x86-64-v3"},
    **{name: {"level": "x86-64-v4", "wrong": True} for name in ("bad", "too", "hopeless")},
    # What it was given does not run there.
    "elder": {"commit": "old"}, "not-for-this": {"commit": "old"},
}  # fmt: skip


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Return (what each host ended with, what was said)."""
    folder = tmp_path_factory.mktemp("turns")
    texts = {
        "library/tool_install.py": INSTALL, "library/store_pack.py": PACK, "library/archive_handover.py": HAND_OVER,
        "library/mrtrix3_build.py": COMPILE,
        "roles/mrtrix3/tasks/build.yml": BUILD, "play.yml": PLAY, "hosts.yml": json.dumps({"all": {"hosts": HOSTS}}),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts.yml", folder / "play.yml"],
        capture_output=True, text=True, check=False, cwd=folder, env={
            **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_LIBRARY": f"{folder}/library:{ROOT}/plugins/modules", "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.rpartition("TASK [ansible.builtin.debug]")[2]
    ended = re.findall(r"^ok: \[(.*?)\] => (\{.*?^\})", said, re.M | re.S)
    found = {host: json.loads(text)["msg"] for host, text in ended}
    assert set(found) == set(HOSTS), done.stdout
    return found, done.stdout, folder


def ran(said, task):
    """Return the hosts that did not skip a task."""
    parts = re.findall(rf"^TASK \[{re.escape(task)}\] \*+\n(.*?)(?=^TASK|\Z)", said, re.M | re.S)
    return [host for part in parts for host in re.findall(r"^(?:ok|changed|fatal): \[(.*?)\]", part, re.M)]


def test_one_host_builds_and_the_others_install_its_archive_by_its_digest(played):
    found, _said, folder = played
    first, near = found["first"]["report"], found["near"]["report"]
    assert first["origin"] == "source" and first["archive"] == f"{folder}/first/build.tar.zst"
    assert (near["origin"], near["built_on"]) == ("archive", "first") and len(near["archive_sha256"]) == 64
    assert near["archive"] == f"{folder}/near/build.tar.zst" and Path(near["archive"]).read_text() == "the build"


def test_only_the_host_that_cannot_reach_it_is_sent_the_archive(played):
    found, said, folder = played
    assert ran(said, "Fetch the archive from the host that has it") == ["first"]
    assert ran(said, "Send the archive") == ["far"]
    assert found["far"]["report"] == {**found["near"]["report"], "archive": f"{folder}/far/build.tar.zst"}
    assert not list(folder.glob("cache-*/archives/*")) and not list((folder / "home").rglob("*/????????????????*"))


def test_an_archive_in_a_shared_store_does_not_travel(played):
    found, _said, folder = played
    report = found["shared"]["report"]
    assert (report["origin"], report["built_on"]) == ("store", "sharing")
    assert report["archive"] == f"{folder}/shared/build.tar.zst"


def test_what_is_wanted_otherwise_is_built_by_itself(played):
    found, said, _folder = played
    assert found["pinned"]["report"]["origin"] == "source"
    assert sorted(set(ran(said, "Install the build")) - {"near", "far", "shared", "not-for-this"}) == [
        "elder", "first", "next", "pinned", "sharing"
    ]  # fmt: skip


def test_the_next_host_builds_where_one_failed_which_keeps_its_reason(played):
    found, _said, _folder = played
    assert found["next"]["report"]["origin"] == "source"
    assert [(one["why"], one["code"]) for one in found["broken"]["failed"]] == [("Its disk failed.", "disk")]


def test_what_has_failed_alike_on_two_hosts_is_not_tried_on_the_others(played):
    found, said, _folder = played
    assert {found[host]["failed"][0]["why"] for host in ("bad", "too", "hopeless")} == {"There is no compiler."}
    assert found["hopeless"]["failed"][0]["hint"] == "It failed in the same way on bad and too. Install one."
    assert ran(said, "mrtrix3 : Compile") == ["bad", "too"]


def test_a_host_on_which_the_build_of_another_does_not_run_builds_by_itself(played):
    found, said, _folder = played
    assert found["not-for-this"]["failed"] == [] or "does not run" in found["not-for-this"]["failed"][0]["why"]
    assert "Note: the build of elder cannot be used here: It does not run." in said


def test_no_server_is_left(played):
    _found, _said, folder = played
    offers = [json.loads(path.read_text()) for path in folder.glob("*/build.tar.zst.server")]
    found = [(process(one["pid"]), one["start"]) for one in offers]  # one that has ended may not be reaped yet
    assert len(offers) == 3 and not [one for one, start in found if alive(one) and one["start"] == start]
