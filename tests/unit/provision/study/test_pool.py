"""A host that cannot be reached is named with what `ssh` says and with what to do; the others work on."""

import sys

import pytest

from provision.errors import ProvisionError
from provision.study.pool import Pool, by_ssh, this_machine

SAID = """#!/bin/sh
echo 'Welcome to the cluster.' >&2
echo '{}' >&2
exit 255
"""


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """Make an `ssh` that fails with these last words."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def fails(said: str) -> None:
        (tmp_path / "ssh").write_text(SAID.format(said))
        (tmp_path / "ssh").chmod(0o755)

    return fails


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Host key verification failed.", "`ssh -p 2022 node1`"),
        ("Permission denied (publickey).", "without a password"),
    ],
)
def test_a_host_that_lets_nobody_in_is_one_sentence_and_what_to_do(ssh, said, advice):
    ssh(said)
    with pytest.raises(ProvisionError) as caught:
        Pool([by_ssh("node1", ["-p", "2022", "node1"])], 1, 1, 1)
    assert (caught.value.code, caught.value.host) == ("no-worker", "node1")
    assert caught.value.message.endswith(f"node1: {said}") and advice in caught.value.hint


def test_the_others_work_on_and_why_one_does_not_is_kept(ssh):
    ssh("ssh: connect to host node1 port 22: Connection refused")
    pool = Pool([by_ssh("node1", ["node1"]), this_machine()], 1, 1, 1)
    try:
        assert [host.name for host in pool.hosts] == [""]
        assert pool.lost == ["node1 (ssh: connect to host node1 port 22: Connection refused)"]
        argv = [sys.executable, "-c", ""]
        pool.start(pool.free()[0], "task", {"call": "command", "id": "", "argv": argv, "environment": {}})
        assert pool.wait(20) == [("task", {"id": "", "code": 0})]
    finally:
        pool.close()


def test_a_worker_that_goes_away_while_it_has_nothing_to_do_is_replaced(ssh):
    pool = Pool([this_machine()], 1, 1, 1)
    try:
        (idle,) = pool.free()
        idle._process.kill()
        assert pool.wait(20) == [] and pool.lost == []
        assert len(pool.free()) == 1 and pool.free() != [idle]
    finally:
        pool.close()


def test_hosts_that_all_refuse_are_an_error_also_where_this_machine_does_the_checks(ssh):
    ssh("Host key verification failed.")
    with pytest.raises(ProvisionError, match="No worker could be started on node1"):
        Pool([by_ssh("node1", ["node1"]), this_machine(own=True)], 1, 1, 1)
