"""Hosts that want the same build: one makes it, and the others take its archive. Here, all of them are this machine."""

import re
from pathlib import Path

import pytest

pytest.importorskip("ansible")

from .several_hosts import ROOT, play, servers

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
WISHES = """
_tool_trying: source
_tool_wanted:
  {name: mrtrix3, title: MRtrix3, release: 3.0.8, repo: here, commit: "{{ commit | default('') }}"}
_tool_look:
  version: 3.0.8
  store: "{{ playbook_dir }}/{{ store | default(inventory_hostname) }}"
  store_problem: ""
  store_warning: ""
  prefix: /none
  link_dir: ""
  commands: []
_tool_machine:
  release: debian-12
  arch: x86_64
  own_cpu: "{{ level | default('x86-64') }}"
  glibc: "2.36"
  cache: "{{ playbook_dir }}/cache-{{ inventory_hostname }}"
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
        "library/mrtrix3_build.py": COMPILE, "roles/mrtrix3/tasks/build.yml": BUILD,
    }  # fmt: skip
    return *play(folder, WISHES, HOSTS, texts), folder


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
    started, running = servers(folder, "*/build.tar.zst.server")
    assert len(started) == 3 and not running
