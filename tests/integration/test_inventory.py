"""Which machines of an inventory are meant, as Ansible reads it."""

import pytest

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
