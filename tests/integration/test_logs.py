"""What is told of a run that Ansible has made."""

from __future__ import annotations

import pytest

from provision.actions import logs
from provision.engine import content, runner


@pytest.fixture
def folder(state_place):
    return state_place / "logs"


def test_what_the_runner_writes_is_understood(folder, monkeypatch, tmp_path):
    for name in ("playbooks", "inventory"):
        (tmp_path / name).mkdir()
    here = content.root()
    (tmp_path / "ansible.cfg").write_text((here / "ansible.cfg").read_text())
    (tmp_path / "inventory/localhost.yml").write_text((here / "inventory/localhost.yml").read_text())
    (tmp_path / "playbooks/remove.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.set_stats: {data: {provision: {}}}}]\n"
    )
    monkeypatch.setattr(content, "root", lambda: tmp_path)
    runner.run(["sshd", "deps"], {}, playbook="remove.yml")
    log = logs.log(1)
    assert (log.roles, log.outcome) == (("remove", "sshd", "deps"), "nothing changed")
