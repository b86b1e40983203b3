"""The command `cloud-init`: what reaches the function, and what is printed."""

import getpass
import json

import pytest

from provision.cli.main import main
from provision.fleet.cloud_init import UserData

from .doubles import Calls, provision, refused

DIGEST = "0a" * 32
WHEEL = "https://example.org/mrtrix_provision-0.1.0-py3-none-any.whl"
FILE = f"--wheel {WHEEL} --sha256 {DIGEST}"
DATA = UserData(("deps",), {}, WHEEL, DIGEST)


@pytest.fixture
def cloud_init(monkeypatch):
    calls = Calls(DATA)
    monkeypatch.setattr("provision.cloud_init", calls)
    return calls


@pytest.mark.parametrize("line", [f"mrtrix3 --version any {FILE}", f"{FILE} --mrtrix3-version=any mrtrix3"])
def test_roles_and_their_options_are_those_of_run(cloud_init, line, capsys):
    assert provision(f"cloud-init {line}") == 0
    assert cloud_init == [(("mrtrix3",), {"wheel": WHEEL, "sha256": DIGEST, "mrtrix3_version": "any"})]
    assert capsys.readouterr().out.endswith(f"{DATA}\n")


def test_the_digest_of_the_wheel_is_not_that_of_a_role(cloud_init):
    assert provision(f"cloud-init ngrok --ngrok-sha256 {DIGEST[::-1]} {FILE}") == 0
    assert cloud_init == [(("ngrok",), {"wheel": WHEEL, "sha256": DIGEST, "ngrok_sha256": DIGEST[::-1]})]


def test_json_is_all_there_is_on_standard_output(cloud_init, capsys):
    assert provision(f"cloud-init deps {FILE} --json") == 0
    assert json.loads(capsys.readouterr().out) == DATA.to_dict()


@pytest.mark.parametrize(
    ("line", "code", "values"),
    [
        ("cloud-init", "usage", ["--wheel", "--sha256"]),
        (f"cloud-init {FILE}", "usage", ["deps, mrtrix3"]),
        (f"cloud-init mrtrix {FILE}", "no-role", ["'mrtrix3'"]),
        (f"cloud-init mrtrix3 --wehel x {FILE}", "no-option", ["--wehel", "'--wheel'"]),
        (f"cloud-init deps --version any {FILE}", "no-option", ["--version", "deps"]),
        (f"cloud-init mrtrix3 --jobs many {FILE}", "bad-value", ["--jobs", "'many'"]),
        (f"cloud-init mrtrix3 --check {FILE}", "no-option", ["--check"]),
    ],
)
def test_wrong_usage_is_explained_in_a_sentence(cloud_init, capsys, line, code, values):
    refused(line, code, values, capsys)
    assert not cloud_init


def test_a_secret_is_refused_before_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: pytest.fail("asked in vain"))
    monkeypatch.setattr("sys.stdin.readline", lambda: pytest.fail("read in vain"), raising=False)
    assert main(["cloud-init", "ngrok", *FILE.split(), "--authtoken", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "secret"
