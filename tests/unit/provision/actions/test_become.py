"""When the password of sudo is asked for, and where it goes."""

import contextlib

import pytest

import provision
from provision.actions import become
from provision.cli.main import main
from provision.colab import consent
from provision.engine import runner
from provision.errors import Declined, ProvisionError

LACKING = ProvisionError("sudo asks for a password.", code="sudo-password")
WRONG = ProvisionError("That is not it.", code="wrong-sudo-password")


@pytest.fixture
def machine(monkeypatch):
    """A machine on which sudo asks for `sesame`; return what is typed, what was asked, and what a run was given."""
    seen = {"typed": [], "asked": [], "given": [], "secrets": []}

    def typed(question):
        seen["asked"].append(question)
        return seen["typed"].pop(0) if seen["typed"] else ""

    def run(roles, variables, secrets=(), **_rest):
        password = variables.get(become.PASSWORD)
        seen["given"].append(variables)
        seen["secrets"] = secrets
        if password != "sesame":
            raise WRONG if password else LACKING
        return runner.Outcome(1, 1.0, {"localhost": {}}, None)

    monkeypatch.setattr(consent, "typed_unseen", typed)
    monkeypatch.setattr(become.shutil, "which", lambda name: "/usr/bin/sudo")
    monkeypatch.setattr(runner, "run", run)
    return seen


@pytest.mark.parametrize("call", [provision.run, provision.remove])
def test_the_password_is_asked_for_when_it_is_needed_and_goes_to_ansible_as_a_secret(machine, call):
    machine["typed"] = ["sesame"]
    call("deps")
    assert len(machine["asked"]) == 1
    assert [variables.get(become.PASSWORD) for variables in machine["given"]] == [None, "sesame"]
    assert machine["secrets"] == ["sesame"]


def test_it_is_asked_for_first_where_that_is_wanted(machine):
    machine["typed"] = ["sesame"]
    provision.run("deps", ask_become_pass=True)
    assert len(machine["given"]) == len(machine["asked"]) == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_wrong_one_is_asked_for_once_more_and_no_more(machine, first):
    machine["typed"] = ["open", "sesame"]
    provision.run("deps", ask_become_pass=first)
    machine.update(typed=["open", "barley", "sesame"], asked=[])
    with pytest.raises(ProvisionError) as raised:
        provision.run("deps", ask_become_pass=first)
    assert raised.value is WRONG and len(machine["asked"]) == 2
    assert "Wrong password" in machine["asked"][1]


def test_where_nobody_types_one_the_run_fails_with_its_own_reason(machine):
    with pytest.raises(ProvisionError) as raised:
        provision.run("deps")
    assert raised.value is LACKING
    with pytest.raises(Declined) as declined:
        provision.run("deps", ask_become_pass=True)
    assert declined.value.code == "declined" and len(machine["given"]) == 1


def test_nobody_is_asked_for_a_look_or_where_there_is_no_sudo(machine, monkeypatch):
    machine["typed"] = ["sesame"]
    with pytest.raises(ProvisionError):
        provision.run("deps", check=True)
    monkeypatch.setattr(become.shutil, "which", lambda name: None)
    with pytest.raises(ProvisionError):
        provision.run("deps")
    assert machine["asked"] == []


def test_other_machines_have_a_sudo_of_their_own(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(become.shutil, "which", lambda name: None)
    (tmp_path / "fleet.yml").write_text("all: {hosts: {a: {}}}")
    machine["typed"] = ["sesame"]
    provision.run("deps", on=tmp_path / "fleet.yml")
    assert "fleet.yml" in machine["asked"][0]


def test_one_machine_that_lacks_it_is_enough(machine, monkeypatch, tmp_path):
    def run(roles, variables, **_rest):
        if become.PASSWORD in variables:
            return runner.Outcome(1, 1.0, {"a": {}}, None)
        error = ProvisionError("The disk is full.", code="disk-full")
        error.errors = {"a": error, "b": LACKING}
        raise error

    monkeypatch.setattr(runner, "run", run)
    (tmp_path / "fleet.yml").write_text("all: {hosts: {a: {}, b: {}}}")
    machine["typed"] = ["sesame"]
    provision.run("deps", on=tmp_path / "fleet.yml")
    assert len(machine["asked"]) == 1


def test_a_failure_of_another_kind_asks_nobody(machine, monkeypatch):
    def run(*_, **__):
        raise ProvisionError("The disk is full.", code="disk-full")

    monkeypatch.setattr(runner, "run", run)
    with pytest.raises(ProvisionError) as raised:
        provision.run("deps")
    assert raised.value.code == "disk-full" and machine["asked"] == []


@pytest.mark.parametrize(("role", "asked"), [("deps", 1), ("sshd", 0)])
def test_packages_that_only_root_can_install_have_it_asked_for_and_what_sudo_cannot_help_with_has_not(
    machine, monkeypatch, role, asked
):
    def run(roles, variables, **_rest):
        if become.PASSWORD in variables:
            return runner.Outcome(1, 1.0, {"localhost": {}}, None)
        raise ProvisionError("Only an administrator can do that.", role=role, code="needs-root")

    monkeypatch.setattr(runner, "run", run)
    machine["typed"] = ["sesame"]
    with contextlib.nullcontext() if asked else pytest.raises(ProvisionError):
        provision.run(role)
    assert len(machine["asked"]) == asked


def test_whom_sudo_lets_install_nothing_is_shown_the_command_for_an_administrator(machine, monkeypatch):
    def run(roles, variables, **_rest):
        if become.PASSWORD in variables:
            raise ProvisionError("sudo does not let this user.", hint="Ask.", code="not-in-sudoers")
        raise ProvisionError("Packages.", hint="sudo apt-get install git", role="deps", code="needs-root")

    monkeypatch.setattr(runner, "run", run)
    machine["typed"] = ["sesame"]
    with pytest.raises(ProvisionError) as raised:
        provision.run("deps")
    assert (raised.value.code, raised.value.hint) == ("not-in-sudoers", "sudo apt-get install git")


@pytest.mark.parametrize("line", ["run deps -K", "run deps --ask-become-pass", "remove deps --yes --ask-become-pass"])
def test_the_command_line_takes_it(machine, line):
    machine["typed"] = ["sesame"]
    assert main(line.split()) == 0
    assert len(machine["given"]) == 1
