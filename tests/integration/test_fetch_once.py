"""Hosts that want the same conda packages: one downloads them, and the others take them. Here, all are this machine."""

import json
import os
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import channel
import pytest

pytest.importorskip("ansible")

from .several_hosts import ROOT, play, servers

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
WISHES = """
_tool_trying: conda
_tool_wanted: {name: mrtrix3, title: MRtrix3, conda: {}}
_tool_look:
  version: 3.0.8
  store: "{{ playbook_dir }}/{{ store | default(inventory_hostname) }}"
  store_problem: "{{ 'it is full' if full | default(false) else '' }}"
  lock: "{{ playbook_dir }}/{{ lock }}.json"
  prefix: "{{ inventory_hostname }}"
  link_dir: ""
  commands: []
_tool_machine: {cache: "{{ playbook_dir }}/cache-{{ inventory_hostname }}"}
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
    texts = {"library/tool_install.py": INSTALL, "library/archive_handover.py": HAND_OVER}
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
        found, _said = play(folder, WISHES, HOSTS, texts)
        server.shutdown()
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
    started, running = servers(folder, "*/server")
    assert len(started) == 2 and not running
