"""The flags of all commands, and what is said of one that does not exist."""

from __future__ import annotations

import json

import pytest

from provision.actions.status import Status
from provision.cli import flags
from provision.cli import main as cli

from .doubles import provision

# What each command cannot do without.
NEEDED = {
    "describe": "deps", "lock": "ants", "peek": "a.nii", "glyphs": "a.nii", "tracks": "a.tck", "qc": "a.nii",
    "process": "bids out participant", "completion": "bash",
    "cloud-init": "--wheel url --sha256 digest",
    "store prune": "--keep 1", "store export": "key folder", "store import": "file --sha256 0",
}  # fmt: skip


def commands(parser, words=""):
    """The words of each command that does something, and its flags."""
    below = flags.subcommands(parser)
    if not below:
        yield words, list(parser._option_string_actions)
    for name, command in below.items():
        yield from commands(command, f"{words} {name}".strip())


COMMANDS = dict(commands(cli._parser(None)))
EVERY = [(words, flag) for words, found in COMMANDS.items() for flag in found]
OWN = flags.names(cli._parser(None))


def test_all_commands_have_help_and_json():
    assert len(COMMANDS) > 17
    assert all({"-h", "--help", "--json"} <= set(found) for found in COMMANDS.values())


@pytest.mark.parametrize(("command", "flag"), [one for one in EVERY if one[1].startswith("--")])
def test_every_flag_is_suggested_where_it_is_misspelt(capsys, command, flag):
    misspelt = f"{flag[:-1]}x"
    assert provision(f"{command} {NEEDED.get(command, '')} {misspelt} --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no-option" and misspelt in error["message"]
    question, mark, _ = error["hint"].partition("?")
    assert mark and flag in question


# Those that provision has itself do what they say there.
@pytest.mark.parametrize(("command", "flag"), [one for one in EVERY if one[1] not in OWN])
def test_a_flag_before_the_command_is_said_to_belong_behind_it(capsys, command, flag):
    assert provision(f"{flag} {command} {NEEDED.get(command, '')} --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "usage" and flag in error["message"] and error["hint"]


def test_options_of_roles_are_suggested_too(capsys):
    assert provision("run mrtrix3 --orign source --json") == 2
    question, mark, _ = json.loads(capsys.readouterr().out)["error"]["hint"].partition("?")
    assert mark and "--origin" in question


def test_machines_are_passed_on_as_they_are_named(run, status, stop):
    assert provision("run deps --on me@one,two --limit one --forks 2 --retry-failed") == 0
    ((_, given),) = run
    chosen = {"on": "me@one,two", "limit": "one", "forks": 2}
    assert {**chosen, "retry_failed": True}.items() <= given.items()
    for command, calls in (("status", status), ("stop", stop)):
        assert provision(f"{command} --on me@one,two --limit one --forks 2") == 0
        assert calls[-1][1] == chosen


@pytest.mark.parametrize("command", ["run deps", "remove --yes", "stop", "status", "doctor"])
@pytest.mark.parametrize("flag", ["--limit one", "--forks 2"])
def test_a_choice_of_machines_without_any_is_refused(capsys, command, flag):
    assert provision(f"{command} {flag} --json") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no-effect" and flag.split()[0] in error["message"]


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", ""])
def test_the_number_of_machines_at_once_is_a_whole_number(capsys, number):
    assert provision(f"status --on one, --forks={number} --json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_a_machine_that_cannot_be_looked_at_has_an_exit_code(monkeypatch):
    found = Status({"hosts": {"one": {}}, "errors": {"two": {"role": "", "message": "two is gone."}}})
    monkeypatch.setattr("provision.status", lambda **_: found)
    assert provision("status --on one,two") == 1
