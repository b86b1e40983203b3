"""What tests of several wings stand on."""

import pytest

from provision.engine import runner


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Put a run in Ansible's place that reports one folder of commands; return what it was asked for."""
    asked = {}

    def run(roles, variables, **rest):
        asked.update(roles=roles, variables=variables, **rest)
        hosts = {"localhost": {"mrtrix3": {"version": "3.0.8", "bin": str(tmp_path / "bin")}}}
        return runner.Outcome(1, 2.0, hosts, tmp_path / "log")

    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return asked
