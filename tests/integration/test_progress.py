"""How far a long module is on other hosts: seen here, and in no one's way. Their ssh is a stand-in that stays here."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import sleeping, wait_until

pytest.importorskip("ansible")

from provision.engine import content, runner
from provision.engine.inventory import Inventory
from provision.errors import ProvisionError

from .test_runner import root  # noqa: F401

ROOT = content.root()
MARK = f"provision-{os.getpid()}-"
# Says how far it is, and waits until it may end.
BUILD = """#!/usr/bin/python
import os, signal, time
from ansible.module_utils.basic import AnsibleModule
from ..module_utils.provision.progress import teller

module = AnsibleModule({"progress": {"type": "path"}, "end": {"type": "path"}, "dies": {"type": "bool"}})
teller(module.params["progress"], "steps")(7, 9, "core/app.o", 0.25)
for _ in range(2400):
    if os.path.exists(module.params["end"]):
        break
    time.sleep(0.05)
if module.params["dies"]:
    os.kill(os.getpid(), signal.SIGKILL)
module.exit_json(given=module.params["progress"])
"""
TASK = """
  - name: Build
    mrtrix3_build: {progress: "{{ provision_progress }}", end: END, dies: "{{ dies | default(false) }}"}
    register: built
  - name: Report
    ansible.builtin.set_stats:
      data: {provision: "{{ {inventory_hostname: {'mrtrix3': built.given or 'none'}} }}"}
"""
SSH = """#!/bin/sh
for last; do :; done
case "$*" in
  *" -S "*) echo "$*" >> LOG; LOOK ;;
esac
exec sh -c "$last"
"""


@pytest.fixture
def hosts(root, tmp_path):
    """Return a function that makes hosts with such an ssh, whose looks at the progress run a command."""
    action = (ROOT / "plugins/action/mrtrix3_build.py").read_text()
    # Names that tell these runs from others on this machine, and looks that never end by themselves.
    for old, new in (
        ("SECONDS = 5.0", "SECONDS = 0.3"), ("TIMEOUT = 10", "TIMEOUT = 100"), ('f"provision-{', f'f"{MARK}{{'),
    ):  # fmt: skip
        assert action.count(old) == 1
        action = action.replace(old, new)
    for name, text in {"action": action, "modules": BUILD}.items():
        (tmp_path / "plugins" / name).mkdir(parents=True)
        (tmp_path / "plugins" / name / "mrtrix3_build.py").write_text(text)
    (tmp_path / "plugins/module_utils").symlink_to(ROOT / "plugins/module_utils")
    root(TASK.replace("END", str(tmp_path / "end")))

    def make(*names, look=":", **variables):
        ssh = tmp_path / "ssh"
        ssh.write_text(SSH.replace("LOG", str(tmp_path / "looks")).replace("LOOK", look))
        ssh.chmod(0o755)
        given = {"ansible_python_interpreter": sys.executable, "ansible_ssh_executable": str(ssh), **variables}
        here = {"ansible_connection": "local"}
        path = tmp_path / "hosts.json"
        found = {name: {**given, **(here if name.startswith("local") else {})} for name in names}
        path.write_text(json.dumps({"all": {"hosts": found}}))
        return Inventory(path)

    return make


@pytest.fixture
def end(tmp_path):
    """The file that lets the module end."""
    return tmp_path / "end"


def left():
    return {path.name for path in Path("/dev/shm").iterdir() if MARK in path.name}


def test_each_host_is_as_far_as_it_says_whichever_way_it_is_reached(hosts, end, tmp_path):
    before, seen, names = left(), {}, {"node1", "gpu/2", "local1", "local2"}

    def watch(step):
        if step.kind == "work":
            seen[step.host] = step
            if set(seen) == names:
                end.touch()

    outcome = runner.run(["mrtrix3"], {}, inventory=hosts(*names), on_step=watch)
    assert {host: (step.task, step.number, step.total, step.unit, step.share) for host, step in seen.items()} == (
        dict.fromkeys(names, ("Build", 7, 9, "steps", 0.25))
    )
    assert left() == before and set(outcome.hosts) == names
    # No look makes a connection of its own.
    looks = (tmp_path / "looks").read_text().splitlines()
    assert looks and all("-o ProxyCommand=false" in look for look in looks)


@pytest.mark.parametrize("look", ["exit 255", "exec sleep MARK", "exec yes", "echo '[[['; exit"])
def test_a_look_that_fails_hangs_or_never_ends_neither_delays_the_module_nor_is_left(hosts, end, look):
    before, steps, mark = left(), [], f"931.{os.getpid()}"
    look = f": > {end}; {look.replace('MARK', mark)}"
    outcome = runner.run(["mrtrix3"], {}, inventory=hosts("node1", look=look), on_step=steps.append)
    assert time.time() - end.stat().st_mtime < 60  # a look may take 100
    assert "work" not in {step.kind for step in steps} and set(outcome.hosts) == {"node1"}
    assert left() == before
    wait_until(lambda: not sleeping(mark), seconds=60)


def test_a_connection_that_is_not_shared_runs_the_module_without_progress(hosts, end):
    before, steps = left(), []
    end.touch()
    unshared = hosts("node1", ansible_ssh_args="-o Compression=yes")
    assert set(runner.run(["mrtrix3"], {}, inventory=unshared, on_step=steps.append).hosts) == {"node1"}
    assert left() == before and "work" not in {step.kind for step in steps}


def test_a_module_that_is_killed_leaves_no_file(hosts, end):
    before = left()
    with pytest.raises(ProvisionError):
        runner.run(["mrtrix3"], {"dies": True}, inventory=hosts("node1", look=f": > {end}"))
    assert end.exists() and left() == before


def test_a_run_that_is_interrupted_leaves_no_look(hosts, end):
    mark = f"932.{os.getpid()}"

    def interrupt():
        wait_until(lambda: sleeping(mark))
        os.kill(os.getpid(), signal.SIGINT)

    machines = hosts("node1", look=f"exec sleep {mark}")
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        runner.run(["mrtrix3"], {}, inventory=machines)
    end.touch()
    wait_until(lambda: not sleeping(mark), seconds=60)


def test_this_machine_is_asked_as_ever(hosts, end, tmp_path):
    hosts()
    seen = []

    def watch(step):
        if step.kind == "work":
            seen.append(step)
            end.touch()

    found = runner.run(["mrtrix3"], {}, on_step=watch).hosts["localhost"]["mrtrix3"]
    assert [(step.host, step.number, step.total) for step in seen] == [("", 7, 9)]
    assert Path(found).name == "now.json" and not (tmp_path / "looks").exists()


def test_without_provision_a_module_is_watched_by_nobody(hosts, end, tmp_path):
    end.touch()
    inventory = hosts("node1").path
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, tmp_path / "playbooks/site.yml",
         "-e", "provision_progress="], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "looks").exists()
