"""Which machines of an inventory are meant, as Ansible reads it."""

import json

import pytest

from provision.actions.run import run
from provision.engine import inventory
from provision.errors import OptionError


@pytest.fixture
def lab(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("[lab]\nnode1\nnode2\n[other]\nx9\n")
    return path


def test_a_limit_is_a_pattern_of_ansibles(lab, tmp_path):
    found = inventory.given(lab, "lab,!node2,x*", 3)
    assert (set(found.only), found.forks) == ({"node1", "x9"}, 3)
    arguments = found.arguments(tmp_path)
    assert arguments == ["--forks=3", f"--limit=@{tmp_path / 'limit'}"]
    assert set((tmp_path / "limit").read_text().split()) == {"node1", "x9"}
    assert list(inventory.hosts(found)) == list(found.only)
    assert inventory.given("one:2201,one:2202,[::1]", "one-2201").only == ("one-2201",)


@pytest.mark.parametrize("limit", ["nodd1", "node1,nodd2", "lab:!lab", "", "--list-hosts"])
def test_a_limit_of_which_a_part_means_no_host_is_refused_with_the_hosts_there_are(lab, limit):
    with pytest.raises(OptionError) as raised:
        inventory.given(lab, limit)
    assert raised.value.code == "no-hosts"
    assert {"node1", "node2", "x9"} <= set(raised.value.hint.replace(",", " ").replace(".", " ").split())


def test_a_misspelt_option_of_a_host_is_told_with_the_one_it_is_like_and_other_variables_are_not(tmp_path):
    path, notes = tmp_path / "hosts.json", {}
    ours = {"mrtrix3_version": "any", "mrtrix3_hosts": 3, "deps_gruops": ["run"], "sshd_ports": [22]}
    node = {"mrtrix3_vresion": "{{ none }}", "provision_stroe": "/x", "ansible_connection": "local"}
    path.write_text(json.dumps({"all": {"hosts": {"a": node, "b": {"ansible_connection": "local"}}, "vars": ours}}))
    run("mrtrix3", on=path, check=True, progress=lambda step: step.note and notes.setdefault(step.host, step.note))
    assert set(notes) == {"a"}
    assert all(name in notes["a"] for name in ("mrtrix3_vresion", "mrtrix3_version?", "stroe", "provision_store?"))
    assert not any(name in notes["a"] for name in ("hosts", "gruops", "sshd"))
