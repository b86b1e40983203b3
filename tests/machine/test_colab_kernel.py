"""A kernel with what Colab pins is interrupted, restarted and killed while apt works: what goes on, and what does not.

One machine and one course of events, of which each test looks at a part. Its kernels run in Debian 13's Python 3.13.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from box import Box, Machines
from layers import with_colabs_kernel, with_ssh

HERE = Path(__file__).parent
BEGIN = """
import IPython, ipykernel, ipywidgets, provision, sys
print(sys.version.split()[0], ipykernel.__version__, IPython.__version__, ipywidgets.__version__)
"""
# The network is that of the machine that runs the tests: no other file of tests has this port.
SSHD = 'provision.run("sshd", port=2396, authorized_keys=["/root/.ssh/id_ed25519.pub"]).sshd.port'
FIRST = 'provision.run("deps", groups=["run", "cmake"])'
MORE = 'import provision; provision.run("deps", groups=["run", "cmake"], extra_packages=["git"])'
DOWNLOADING = "pgrep -x apt-get"
UNPACKING = "grep -q 'status half-installed {}' /var/log/dpkg.log"
STORY = {
    "versions": {"cell": BEGIN},
    "sshd": {"cell": SSHD},
    "interrupted by a message": {"cell": FIRST, "when": DOWNLOADING, "how": "message"},
    "interrupted by a signal": {"cell": FIRST, "when": UNPACKING.format("cmake-data"), "how": "signal"},
    "run again": {"cell": FIRST},
    "restarted": {"cell": MORE, "when": DOWNLOADING, "how": "restart"},
    "killed": {"cell": MORE, "when": UNPACKING.format("perl-modules-5.40"), "how": "kill"},
    "after the kill": {"cell": MORE},
    "again": {"cell": MORE},
    "status": {"cell": "provision.status()"},
}
INSTALLED = "dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n' | grep ^ii"


@pytest.fixture(scope="module")
def box(machines: Machines) -> Iterator[Box]:
    with machines.box(with_colabs_kernel(machines, with_ssh(machines, "trixie"))) as box:
        box.run(f"{INSTALLED} > /root/before")
        yield box


@pytest.fixture(scope="module")
def told(box: Box) -> dict[str, dict]:
    """What came of each cell, by its name: `said`, `left`, `seconds`, `ending`."""
    box.copy_in(HERE / "notebook" / "kernel.py", "/root/kernel.py")
    story = json.dumps(list(STORY.values()))
    done = box.run(f"{box.project}/.venv/bin/python /root/kernel.py", input=story, timeout=1800)
    found = dict(zip(STORY, json.loads(done.stdout.splitlines()[-1]), strict=True))
    print("seconds until a cell ends, and until nothing of it is left:")
    print(*(f"{name}: {one['seconds']}, {one['ending']}" for name, one in found.items()), sep="\n")
    return found


def pid_of(box: Box) -> int:
    return json.loads(box.read("/var/lib/provision/sshd/sshd.pid"))["pid"]


def test_the_kernel_is_the_one_that_colab_pins(told: dict[str, dict]) -> None:
    assert told["versions"]["said"].split()[1:] == ["6.17.1", "7.34.0", "7.7.1"]


@pytest.mark.parametrize("name", ["interrupted by a message", "interrupted by a signal"])
def test_an_interrupted_cell_says_how_to_go_on(told: dict[str, dict], name: str) -> None:
    assert told[name]["said"].endswith(
        "Interrupted: everything that was running has been stopped.\nRun the cell again to resume."
    )


@pytest.mark.parametrize("name", ["interrupted by a message", "interrupted by a signal"])
def test_when_an_interrupted_cell_has_ended_nothing_of_it_runs(told: dict[str, dict], name: str) -> None:
    assert told[name]["left"] == []


@pytest.mark.parametrize("name", ["restarted", "killed"])
def test_a_kernel_that_is_restarted_or_killed_takes_its_run_along(told: dict[str, dict], name: str) -> None:
    assert told[name]["left"] == []


def test_the_same_cell_run_again_goes_on_and_ends_well(told: dict[str, dict]) -> None:
    for name in ("run again", "after the kill"):
        assert "deps ready" in told[name]["said"] or "done in" in told[name]["said"], told[name]
    assert "nothing changed" in told["again"]["said"]


def test_what_lives_on_by_design_outlives_the_kernel(told: dict[str, dict], box: Box) -> None:
    (server,) = told["sshd"]["left"]
    assert server.startswith("sshd:")
    assert re.search(rf"^sshd +ready +process {pid_of(box)}\b", told["status"]["said"], re.M)
    banner = "import socket; print(socket.create_connection(('127.0.0.1', 2396)).recv(8))"
    assert box.run(f'python3 -c "{banner}"').stdout == "b'SSH-2.0-'\n"


def test_what_cut_off_runs_have_installed_is_noted_and_goes_with_remove(told: dict[str, dict], box: Box) -> None:
    assert box.run("ls -d /tmp/provision-*; dpkg --audit", check=False).stdout == ""
    box.run("./bootstrap provision remove --yes")
    # Without versions: what was there may have been brought up to date for what was installed.
    assert box.run(f"{INSTALLED} | diff /root/before -", check=False).stdout == ""
