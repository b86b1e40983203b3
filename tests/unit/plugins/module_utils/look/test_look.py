"""Which roles are due, and what of each is there."""

from __future__ import annotations

import pytest

from plugins.module_utils.provision import look
from plugins.module_utils.provision.look import read_here

from .ssh_server import KEY


@pytest.mark.parametrize(
    ("states", "due"),
    [
        ({"deps": True, "mrtrix3": True}, []),
        ({"deps": True, "mrtrix3": False, "mrpeek": True}, ["mrtrix3", "mrpeek"]),
        ({"deps": False, "mrtrix3": True}, ["deps", "mrtrix3"]),
    ],
    ids=["none", "one in the midst", "the first"],
)
def test_the_first_role_that_has_drifted_is_due_and_all_after_it(monkeypatch, states, due):
    answers = {name: {"converged": converged, "report": {"of": name}} for name, converged in states.items()}
    monkeypatch.setattr(look, "look_of", lambda name: lambda wanted, machine: answers[name])
    seen = look.look({name: {"state": "present"} for name in states})
    assert seen["due"] == due
    assert seen["ready"] == {name: {"of": name} for name in states if name not in due}


@pytest.mark.parametrize(
    ("sudo", "lacking"), [(False, ["g++", "openssh-server", "zlib1g"]), (True, None), (None, None)]
)
def test_where_packages_cannot_be_installed_those_of_all_roles_are_listed_once(monkeypatch, sudo, lacking):
    needs = {"deps": {"groups": ["run"], "extra": []}, "mrtrix3": {"groups": ["run", "build"]},
             "sshd": {"extra": ["openssh-server"]}, "ngrok": {}}  # fmt: skip
    answers = {name: {"converged": False, "report": {}, "needs": need} for name, need in needs.items()}
    answers["deps"].update({} if sudo is None else {"sudo": sudo})
    monkeypatch.setattr(look, "look_of", lambda name: lambda wanted, machine: answers[name])
    monkeypatch.setattr(look, "look_at_machine", lambda: {"release": "debian-12"})
    monkeypatch.setattr(look, "missing_packages", lambda names: [name for name in names if name != "git"])
    known = {"debian-12": {"run": ["zlib1g"], "build": ["g++", "git"]}}
    assert look.look({name: {"state": "present", "packages": known} for name in needs}).get("lacking") == lacking


@pytest.mark.parametrize("state", ["absent", "stopped", "misspelt"])
def test_a_role_whose_state_is_not_the_usual_one_runs_and_checks_it(monkeypatch, state):
    monkeypatch.setattr(look, "look_of", lambda name: lambda wanted, machine: {"converged": True, "report": {}})
    assert look.look({"deps": {"state": state}})["due"] == ["deps"]


def test_what_people_give_is_read_where_the_play_is_run_from_and_only_where_it_is_wanted(tmp_path):
    (tmp_path / "a.pub").write_text(f"# mine\n{KEY}\n")
    asked = {"authorized_keys": ["a.pub"], "folder": str(tmp_path), "state": "started"}
    others = {"deps": {"state": "present"}, "reverse_ssh": {"state": "stopped"}}
    found = read_here({"sshd": asked, **others})
    assert found == {"sshd": {"authorized_keys": [KEY], "state": "started"}, **others}
    assert asked["authorized_keys"] == ["a.pub"]
    lost = read_here({"sshd": {**asked, "authorized_keys": ["b.pub"]}})["sshd"]
    message, _hint, code = lost["given_problem"]
    assert lost["authorized_keys"] == [] and code == "no-file" and str(tmp_path / "b.pub") in message
    gone = {**asked, "authorized_keys": ["b.pub"], "state": "absent"}
    assert read_here({"sshd": gone}) == {"sshd": gone}
