"""Runs that this process answers without Ansible: for the other roles, see the tests of each."""

from __future__ import annotations

from box import Machines
from layers import agree, packaged, provision


def test_packages_that_are_there_are_seen_by_both(machines: Machines) -> None:
    with machines.box(packaged(machines, "trixie")) as box:
        agree(box, "mrtrix3", version="any")
        agree(box, "deps", groups=["run"])
        # Ansible is not started: its programs are gone.
        box.run("rm .venv/bin/ansible* .venv/lib/python3*/site-packages/ansible_runner/__init__.py")
        result = provision(box, "run mrtrix3 --version any", ".venv/bin/provision")
        assert result["changed"] == 0 and result["hosts"]["localhost"]["mrtrix3"]["origin"] == "package"
