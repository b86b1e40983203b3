"""Runs on several hosts: which are meant, the table at the end, and those that failed."""

import pytest

import provision
from provision.actions import fleet
from provision.actions.result import Result
from provision.engine import inventory, runner
from provision.errors import OptionError, ProvisionError

HOSTS = {
    "node2": {"ants": {"version": "2.6.2", "origin": "conda"}, "mrtrix3": {"version": "3.0.8", "origin": "conda"}},
    "node10": {"sshd": {"state": "started"}},
}
PER_HOST = {
    "node10": {"changed": 1, "seconds": 3.0},
    "node2": {"changed": 0, "seconds": 2.1},
    "node3": {"changed": 0, "seconds": 0.4},
}


def broken(host):
    return ProvisionError(f"{host} is full.", hint="Free some space.", host=host, code="disk-full")


@pytest.fixture
def plays(monkeypatch):
    """Put a run in Ansible's place in which the hosts in `failing` fail; return the inventories it was asked for."""
    asked, failing = [], {"two", "four"}

    def run(roles, variables, *, inventory, playbook="site.yml", **rest):
        asked.append(inventory)
        meant = inventory.only or tuple(inventory.hosts)
        per_host = {host: {"changed": 1, "seconds": 1.0, "failed": host in failing} for host in meant}
        report = {"status": {"roles": {}, "store": {}}} if playbook == "status.yml" else {"ants": {"version": "1"}}
        hosts = {host: report for host in meant if host not in failing}
        errors = {host: broken(host) for host in meant if host in failing}
        if errors:
            first = next(iter(errors.values()))
            first.errors, first.hosts, first.per_host = errors, hosts, per_host
            raise first
        return runner.Outcome(len(hosts), 1.0, hosts, None, per_host=per_host)

    monkeypatch.setattr(runner, "run", run)
    return asked, failing


def test_a_row_for_each_host_names_what_it_has_and_why_it_failed():
    table = fleet.table(HOSTS, PER_HOST, {"node3": broken("node3")})
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["node2", "ants 2.6.2, mrtrix3 3.0.8", "conda", "2.1 s", "nothing changed"],
        ["node3", "", "", "0.4 s", "failed: is full."],
        ["node10", "sshd", "", "3.0 s", "1 change"],
    ]
    assert table.lines == ("node3: Free some space.",)


def test_advice_that_several_hosts_need_is_given_once():
    table = fleet.table({}, PER_HOST, {"node2": broken("node2"), "node3": broken("node3")})
    assert table.lines == ("node2, node3: Free some space.",)


def test_a_result_of_several_hosts_is_this_table_and_that_of_one_a_sentence():
    result = Result(1, 3.1, HOSTS, per_host=PER_HOST)
    assert len(repr(result).splitlines()) == 1 + 3 + 1 and result._repr_html_().count("<tr>") == 1 + 3
    assert result.to_dict()["per_host"] == PER_HOST
    one = Result(0, 3.1, {"node10": HOSTS["node10"]}, per_host={"node10": PER_HOST["node10"]})
    assert len(repr(one).splitlines()) == 1 and "per_host" not in Result(0, 1.0, {}).to_dict()


def test_a_run_that_fails_somewhere_names_all_hosts(plays):
    with pytest.raises(ProvisionError) as raised:
        provision.run("ants", on="one,two,three,four")
    error = raised.value
    lines = error.lines()
    assert "2 of 4 hosts failed: four, two." in lines[0]
    assert [line.split()[0] for line in lines[2:6]] == ["four", "one", "three", "two"]
    assert "--retry-failed" in lines[-1]
    assert set(error.to_dict()["per_host"]) == {"one", "two", "three", "four"}


def test_only_those_that_failed_are_run_again(plays):
    asked, failing = plays
    line = {"on": "one,two,three,four"}
    with pytest.raises(ProvisionError):
        provision.run("ants", **line)
    failing.discard("two")
    with pytest.raises(ProvisionError):
        provision.run("ants", **line, retry_failed=True)
    failing.clear()
    assert list(provision.run("ants", **line, retry_failed=True).hosts) == ["four"]
    assert [machines.only for machines in asked] == [None, ("two", "four"), ("four",)]
    assert provision.run("ants", **line, retry_failed=True).notes and len(asked) == 3


def test_a_check_does_not_count_as_a_run(plays):
    with pytest.raises(ProvisionError):
        provision.run("ants", on="one,two", check=True)
    with pytest.raises(OptionError) as raised:
        provision.run("ants", on="one,two", retry_failed=True)
    assert raised.value.code == "no-earlier-run"


@pytest.mark.parametrize("option", [{"limit": "one"}, {"forks": 2}, {"retry_failed": True}])
def test_options_for_other_machines_are_refused_on_this_one(option):
    with pytest.raises(OptionError) as raised:
        provision.run("ants", **option)
    assert raised.value.code == "no-effect"


def test_a_stop_reaches_the_machines_that_are_meant(plays):
    asked, failing = plays
    failing.clear()
    provision.stop(on=inventory.given("one,two"), forks=2)
    assert {tuple(machines.hosts) for machines in asked} == {("one", "two")}


def test_a_status_of_several_machines_names_those_that_cannot_be_looked_at(plays):
    found = provision.status(on="one,two,three")
    assert set(found["hosts"]) == {"one", "three"} and found["errors"]["two"]["code"] == "disk-full"
    assert not found.ok and found.to_dict() == found
    text = repr(found)
    assert "is full" in text and "one: Nothing is installed." in text
    assert provision.status(on="one,").ok
