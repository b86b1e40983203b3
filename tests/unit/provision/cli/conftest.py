"""Doubles of what the commands call."""

from pathlib import Path

import pytest

from provision.actions.result import Result
from provision.actions.status import Status
from provision.demo import sample as samples
from provision.engine import catalog
from provision.engine.catalog import Option, Role

from .doubles import RESULT, Calls, FakeDemoResult


@pytest.fixture
def run(monkeypatch):
    calls = Calls(RESULT)
    monkeypatch.setattr("provision.run", calls)
    return calls


@pytest.fixture
def demo(monkeypatch):
    calls = Calls(FakeDemoResult())
    monkeypatch.setattr("provision.demo.demo.demo", calls)
    return calls


@pytest.fixture
def sample(monkeypatch):
    folder = Path("/data")
    calls = Calls(samples.Sample("phantom", folder / "dwi.nii.gz", folder / "bvecs", folder / "bvals"))
    monkeypatch.setattr("provision.sample", calls)
    return calls


@pytest.fixture
def status(monkeypatch):
    reports = {"mrtrix3": {"version": "3.0.8", "origin": "package", "works": True}}
    calls = Calls(Status({"hosts": {"localhost": reports}}))
    monkeypatch.setattr("provision.status", calls)
    return calls


@pytest.fixture
def stop(monkeypatch):
    calls = Calls(Result(1, 0.9, {"localhost": {"sshd": {"state": "stopped"}}}))
    monkeypatch.setattr("provision.stop", calls)
    return calls


@pytest.fixture
def made_up_roles(monkeypatch):
    """Have roles with the kinds of options that this project's first roles do not have."""
    ngrok = [Option("ngrok_token", "token", secret=True), Option("ngrok_ask", "ask", "bool", True)]
    other = [Option("other_ask", "ask"), Option("other_percent", "percent", description="Half of it is 50 %.")]
    roles = {
        "ngrok": Role("ngrok", "Open a tunnel", "", {option.name: option for option in ngrok}),
        "other": Role("other", "Do something else", "", {option.name: option for option in other}),
    }
    monkeypatch.setattr(catalog, "roles", lambda: dict(roles))
