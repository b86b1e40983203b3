"""What `provision.stop` stops, and in which order."""

import pytest

import provision
from provision.engine import launch, runner
from provision.errors import ProvisionError


def running(monkeypatch, **states):
    found = {role: {"state": state, "works": True} for role, state in states.items()}
    monkeypatch.setattr("provision.actions.stop.status", lambda: {"hosts": {"localhost": found}})


@pytest.fixture
def stopped(monkeypatch):
    """Put a run in Ansible's place that stops what it is asked to; return what it was asked for."""
    asked = []

    def run(roles, variables, **rest):
        asked.append((roles, variables))
        return runner.Outcome(len(roles), 0.5, {"localhost": {role: {"state": "stopped"} for role in roles}}, None)

    monkeypatch.setattr(runner, "run", run)
    return asked


def test_the_tunnel_is_closed_before_the_server_is_stopped(monkeypatch, stopped):
    running(monkeypatch, sshd="started", ngrok="started", mrtrix3="present")
    result = provision.stop()
    assert stopped == [(("ngrok",), {"ngrok_state": "stopped"}), (("sshd",), {"sshd_state": "stopped"})]
    assert (result.changed, result.seconds) == (2, 1.0)
    assert [role.state for role in result.hosts["localhost"].values()] == ["stopped", "stopped"]


def test_stopping_in_a_notebook_ends_with_one_result(monkeypatch, stopped, shown):
    running(monkeypatch, sshd="started")
    result = provision.stop()
    assert shown == [repr(result)]


def test_what_does_not_run_is_not_stopped(monkeypatch, stopped):
    running(monkeypatch, sshd="stopped", mrtrix3="present")
    assert provision.stop().hosts == {} and stopped == []


def test_what_a_stop_that_was_killed_has_left_goes_where_nothing_runs_any_more(monkeypatch, stopped, tmp_path):
    monkeypatch.setattr(launch, "left_behind", lambda folder: [tmp_path / "provision-x"])
    (tmp_path / "provision-x" / "home").mkdir(parents=True)
    running(monkeypatch, sshd="stopped")
    provision.stop()
    assert not (tmp_path / "provision-x").exists()


def test_on_other_machines_all_that_could_run_is_stopped(stopped, tmp_path):
    (tmp_path / "fleet.yml").write_text("all: {}")
    provision.stop(on=tmp_path / "fleet.yml")
    assert [set(roles) for roles, _ in stopped] == [{"ngrok", "reverse_ssh"}, {"sshd"}]


def test_where_a_host_cannot_be_reached_the_servers_of_the_others_are_stopped(monkeypatch):
    asked = []

    def run(roles, variables, *, inventory, **rest):
        meant = inventory.only or tuple(inventory.hosts)
        asked.append((set(roles), meant))
        gone = [host for host in meant if host == "gone"]
        hosts = {host: {role: {"state": "stopped"} for role in roles} for host in meant if host not in gone}
        per_host = {host: {"changed": 1, "seconds": 1.0, "failed": host in gone} for host in meant}
        if gone:
            error = ProvisionError("It is gone.", code="host-unreachable")
            error.errors, error.hosts, error.per_host = {"gone": error}, hosts, per_host
            raise error
        return runner.Outcome(len(hosts), 0.5, hosts, None, per_host=per_host)

    monkeypatch.setattr(runner, "run", run)
    with pytest.raises(ProvisionError) as raised:
        provision.stop(on="gone,one,two")
    assert asked == [({"ngrok", "reverse_ssh"}, ("gone", "one", "two")), ({"sshd"}, ("one", "two"))]
    found = raised.value.to_dict()
    assert set(found["errors"]) == {"gone"} and set(found["hosts"]["one"]) == {"ngrok", "reverse_ssh", "sshd"}
    assert found["per_host"]["two"] == {"changed": 2, "seconds": 2.0, "failed": False}
    assert found["per_host"]["gone"]["failed"]
    assert "--retry-failed" not in "".join(raised.value.lines())  # stop has no such flag
    with pytest.raises(ProvisionError) as raised:
        provision.stop(on="gone,")
    assert len(asked) == 3 and raised.value.code == "host-unreachable"
