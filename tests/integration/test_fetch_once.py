"""Hosts that want the same conda packages: one downloads them, and the others take them. Here, all are this machine."""

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import channel
import pytest

pytest.importorskip("ansible")

from provision.engine import content
from provision.machine.alive import alive, process

ROOT = content.root()
# Fetches as the real one does, and installs nothing. The host "far" reaches no other, and "broken" does nothing at all.
INSTALL = f"""#!/usr/bin/python
# WANT_JSON
import json, sys
sys.path.insert(0, {str(ROOT)!r})
from plugins.module_utils.provision.store import offer
from plugins.module_utils.provision.tool.install import fetched
given = dict(progress=None, **json.load(open(sys.argv[1])))
host = given["prefix"]
if host == "far":
    offer.answers = lambda *_, **__: False
if host == "broken":
    print(json.dumps(dict(failed=True, msg="Its disk failed.")))
else:
    print(json.dumps(dict(changed=True, report=dict(origin=given["origin"], files=fetched(given)))))
"""
# The real one, but the host "wrong" offers other bytes than it has downloaded.
HAND_OVER = f"""#!/usr/bin/python
# WANT_JSON
import glob, json, sys
sys.path.insert(0, {str(ROOT)!r})
from plugins.modules import archive_handover
given = dict(json.load(open(sys.argv[1])))
if given.get("host") == "wrong":
    for path in glob.glob(given["store"] + "/packages/*"):
        with open(path, "r+b") as file:
            file.write(b"other")
done = getattr(archive_handover, given["state"])(given)
if given["state"] == "offered":
    open(given["store"] + "/server", "w").write(json.dumps(done["offer"]))
print(json.dumps(done))
"""
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
        _tool_trying: conda
        _tool_wanted: {{name: mrtrix3, title: MRtrix3, conda: {{}}}}
        _tool_look:
          version: 3.0.8
          store: "{{{{ playbook_dir }}}}/{{{{ store | default(inventory_hostname) }}}}"
          store_problem: "{{{{ 'it is full' if full | default(false) else '' }}}}"
          lock: "{{{{ playbook_dir }}}}/{{{{ lock }}}}.json"
          prefix: "{{{{ inventory_hostname }}}}"
          link_dir: ""
          commands: []
        _tool_machine: {{cache: "{{{{ playbook_dir }}}}/cache-{{{{ inventory_hostname }}}}"}}
        _tool_state_file: /none
    - ansible.builtin.debug:
        msg: {{report: "{{{{ _tool_report }}}}", failed: "{{{{ _tool_failed }}}}"}}
"""
HOSTS = {
    # One that cannot keep packages is not the one to hand them on.
    "full": {"lock": "a", "full": True}, "first": {"lock": "a"}, "near": {"lock": "a"}, "far": {"lock": "a"},
    "broken": {"lock": "b"}, "next": {"lock": "b"},
    "wrong": {"lock": "c"}, "wary": {"lock": "c"},
    "alone": {"lock": "d"},
}  # fmt: skip


class Files(SimpleHTTPRequestHandler):
    """The files of the channels, counted."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self):
        self.asked[self.path.split("/")[1]] += 1
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Return (what each host ended with, how often each channel was asked, the folder)."""
    folder = tmp_path_factory.mktemp("once")
    texts = {
        "library/tool_install.py": INSTALL, "library/archive_handover.py": HAND_OVER, "play.yml": PLAY,
        "hosts.yml": json.dumps({"all": {"hosts": HOSTS}}),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    handler = partial(Files, directory=str(folder / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        for lock in "abcd":
            place = folder / "served" / lock
            made = [channel.made(place, name, {f"lib/{name}": os.urandom(1000)}) for name in ("libx", "tool")]
            for entry in made:
                path = Path(entry["url"].removeprefix("file://")).relative_to(folder / "served")
                entry["url"] = f"http://127.0.0.1:{server.server_port}/{path}"
            (folder / f"{lock}.json").write_text(json.dumps(channel.lock("tool", *made)))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts.yml", folder / "play.yml"],
            capture_output=True, text=True, check=False, cwd=folder, env={
                **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home"),
                "ANSIBLE_LIBRARY": f"{folder}/library:{ROOT}/plugins/modules", "LC_ALL": "C.UTF-8",
                "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "no_proxy": "127.0.0.1",
            },
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.rpartition("TASK [ansible.builtin.debug]")[2]
    ended = re.findall(r"^ok: \[(.*?)\] => (\{.*?^\})", said, re.M | re.S)
    found = {host: json.loads(text)["msg"] for host, text in ended}
    assert set(found) == set(HOSTS), done.stdout
    return found, Files.asked, folder


def test_every_host_has_the_packages_of_its_lock_and_keeps_them_in_its_store(played):
    found, _asked, folder = played
    for host in HOSTS.keys() - {"broken", "full", "wrong"}:
        files = found[host]["report"]["files"]
        entries = json.loads((folder / f"{HOSTS[host]['lock']}.json").read_text())["packages"]
        assert [Path(path).name for path in files] == [f"{entry['sha256']}.conda" for entry in entries]
        assert (folder / host / "packages" / Path(files[0]).name).is_file()


def test_the_channel_is_asked_by_one_host_and_by_those_that_reach_no_other(played):
    _found, asked, _folder = played
    assert asked["a"] == 2 * len(("first", "far")) and asked["d"] == 2 * len(("alone",))


def test_where_the_one_that_downloads_fails_the_others_do_it_by_themselves(played):
    found, asked, _folder = played
    assert found["broken"]["failed"][0]["why"] == "Its disk failed." and asked["b"] == 2 * len(("next",))


def test_what_another_host_gives_under_the_name_of_a_package_is_not_taken_for_it(played):
    found, asked, _folder = played
    assert found["wary"]["failed"] == [] and asked["c"] == 2 * len(("wrong", "wary"))


def test_no_server_is_left(played):
    _found, _asked, folder = played
    offers = [json.loads(path.read_text()) for path in folder.glob("*/server")]
    found = [(process(one["pid"]), one["start"]) for one in offers]  # one that has ended may not be reaped yet
    assert len(offers) == 2 and not [one for one, start in found if alive(one) and one["start"] == start]
