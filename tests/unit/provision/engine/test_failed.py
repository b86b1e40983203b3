"""Which hosts a run with retry_failed takes: those that failed the last time, and no others."""

import pytest

from provision.engine import failed, inventory
from provision.errors import OptionError

FLEET = inventory.given("one,two,three,four")


def only(roles, machines=FLEET):
    found = failed.chosen(roles, machines)
    return found and found.only


def test_those_that_failed_are_taken_until_they_have_not(state_place):
    failed.keep(["mrtrix3", "deps"], FLEET, FLEET.hosts, ["two", "four"])
    assert only(["deps", "mrtrix3"]) == ("two", "four")
    failed.keep(["deps", "mrtrix3"], FLEET, ["two", "four"], ["four"])
    assert only(["deps", "mrtrix3"]) == ("four",)
    failed.keep(["deps", "mrtrix3"], FLEET, ["one"], ["one"])
    assert only(["deps", "mrtrix3"]) == ("one", "four")
    failed.keep(["deps", "mrtrix3"], FLEET, FLEET.hosts, [])
    assert only(["deps", "mrtrix3"]) is None
    (file,) = (state_place / "failed").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700


def test_of_other_roles_or_machines_nothing_is_known():
    failed.keep(["mrtrix3"], FLEET, FLEET.hosts, ["two"])
    for roles, machines in ((["deps"], FLEET), (["mrtrix3"], inventory.given("one,two"))):
        with pytest.raises(OptionError) as raised:
            failed.chosen(roles, machines)
        assert raised.value.code == "no-earlier-run"


def test_a_limit_holds_and_a_host_that_is_gone_from_the_inventory_is_left_out():
    failed.keep(["mrtrix3"], FLEET, FLEET.hosts, ["two", "four", "gone"])
    limited = inventory.Inventory(hosts=FLEET.hosts, only=("one", "two"))
    assert only(["mrtrix3"]) == ("two", "four")
    assert only(["mrtrix3"], limited) == ("two",)


def test_what_cannot_be_read_is_not_known(state_place):
    failed.keep(["mrtrix3"], FLEET, FLEET.hosts, ["two"])
    next((state_place / "failed").iterdir()).write_text("{")
    with pytest.raises(OptionError):
        failed.chosen(["mrtrix3"], FLEET)


def test_a_stop_or_a_removal_is_another_question_than_a_run():
    run = failed.question(["sshd"], {"sshd_port": 22})
    stop = failed.question(["sshd"], {"sshd_state": "stopped"})
    failed.keep(run, FLEET, FLEET.hosts, ["two"])
    failed.keep(stop, FLEET, FLEET.hosts, [])
    assert (only(run), only(stop)) == (("two",), None)
