"""Ansible runs where the working folder is gone."""

from __future__ import annotations

import json
import sys

from provision.engine import content, runner

from ..unit.provision.gone import gone  # noqa: F401


def test_a_playbook_runs(gone, tmp_path, monkeypatch):
    (tmp_path / "root/playbooks").mkdir(parents=True)
    (tmp_path / "root/inventory").mkdir()
    (tmp_path / "root/ansible.cfg").touch()
    host = {"all": {"hosts": {"localhost": {"ansible_connection": "local"}}}}
    host["all"]["vars"] = {"ansible_python_interpreter": sys.executable}
    (tmp_path / "root/inventory/localhost.yml").write_text(json.dumps(host))
    report = {"set_stats": {"data": {"provision": {"localhost": {"folder": {"is": "{{ provision_folder }}"}}}}}}
    play = [{"hosts": "all", "gather_facts": False, "tasks": [report]}]
    (tmp_path / "root/playbooks/site.yml").write_text(json.dumps(play))
    monkeypatch.setattr(content, "root", lambda: tmp_path / "root")
    assert runner.run(["folder"], {}).hosts == {"localhost": {"folder": {"is": str(gone)}}}
