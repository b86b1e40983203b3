"""Where the steps of a study are run: what may be named, and how a host is reached."""

import subprocess

import pytest

from provision.engine import inventory
from provision.errors import OptionError
from provision.study import executors


def test_hosts_are_named_as_for_a_run_and_reached_by_ssh():
    executors.check("me@one,two:2222")
    one, two, here = executors._hosts(inventory.given("me@one,two:2222"))
    assert (one.name, one.login) == ("one", ("-l", "me", "one"))
    assert (two.name, two.login) == ("two", ("-p", "2222", "two"))
    assert here.own


def test_a_misspelt_inventory_is_refused_with_the_other_places_there_are():
    with pytest.raises(OptionError) as raised:
        executors.check("hosts.yml")
    assert raised.value.code == "no-file" and "local" in raised.value.hint
    with pytest.raises(OptionError) as raised:
        executors.check("-oProxyCommand=x,")
    assert raised.value.code == "bad-inventory"
    executors.check("tcp://head:8786")
    executors.check("local")


@pytest.mark.needs("ssh")
def test_a_terminal_or_command_of_the_users_own_configuration_does_not_come_between(tmp_path):
    (tmp_path / "config").write_text("RequestTTY force\nRemoteCommand tmux\n")
    ssh, *words = executors.by_ssh("one", ["one"]).argv
    said = subprocess.run([ssh, "-G", "-F", tmp_path / "config", *words], capture_output=True, text=True, check=True)
    assert "requesttty false" in said.stdout.splitlines() and "remotecommand" not in said.stdout
