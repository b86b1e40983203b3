"""A host that cannot be reached is named with what `ssh` says and with what to do; the others work on."""

import sys

import pytest

from provision.errors import ProvisionError
from provision.study import pool as pool_of
from provision.study.pool import Host, Pool, by_ssh, this_machine

SAID = """#!/bin/sh
echo 'Welcome to the cluster.' >&2
echo '{}' >&2
exit 255
"""


HELLO = """echo '{"hello": {"cores": 2, "memory": 1000}}'; """
WORKS = HELLO + """while read line; do echo '{"done": true}'; done"""
DIES = "echo 'Connection reset.' >&2; exit 255"


def host(name: str, script: str) -> Host:
    """A host whose worker is a made-up one."""
    return Host(name, ("sh", "-c", script), own=False)


@pytest.fixture
def opened():
    """Return a function that opens a pool, which is closed at the end."""
    found = []

    def opens(*hosts: Host, most: int = 1) -> Pool:
        found.append(Pool(hosts, None, None, most))
        return found[-1]

    yield opens
    for each in found:
        each.close()


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """Make an `ssh` that fails with these last words."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def fails(said: str) -> None:
        (tmp_path / "ssh").write_text(SAID.format(said))
        (tmp_path / "ssh").chmod(0o755)

    return fails


@pytest.mark.parametrize(
    ("said", "code", "message", "advice"),
    [
        ("Host key verification failed.", "host-key-unknown", "unknown", "`ssh -p 2022 node1`"),
        (
            "HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.",
            "host-key-changed",
            "changed",
            "ssh-keygen",
        ),
        ("Permission denied (publickey).", "no-worker", "Permission denied (publickey).", "without a password"),
    ],
)
def test_a_host_that_lets_nobody_in_is_one_sentence_and_what_to_do(ssh, said, code, message, advice):
    ssh(said)
    with pytest.raises(ProvisionError) as caught:
        Pool([by_ssh("node1", ["-p", "2022", "node1"])], 1, 1, 1)
    assert (caught.value.code, caught.value.host) == (code, "node1")
    assert message in caught.value.message and advice in caught.value.hint


def test_the_others_work_on_and_why_one_does_not_is_kept(ssh):
    ssh("ssh: connect to host node1 port 22: Connection refused")
    pool = Pool([by_ssh("node1", ["node1"]), this_machine()], 1, 1, 1)
    try:
        assert [host.name for host in pool.hosts] == [""]
        assert pool.lost == ["node1 (ssh: connect to host node1 port 22: Connection refused)"]
        argv = [sys.executable, "-c", ""]
        pool.start(pool.free()[0], "task", {"call": "command", "id": "", "argv": argv, "environment": {}})
        assert pool.wait(60) == [("task", {"id": "", "code": 0})]
    finally:
        pool.close()


def test_a_worker_that_goes_away_while_it_has_nothing_to_do_is_replaced(ssh):
    pool = Pool([this_machine()], 1, 1, 1)
    try:
        (idle,) = pool.free()
        idle._process.kill()
        assert pool.wait(60) == [] and pool.lost == []
        assert len(pool.free()) == 1 and pool.free() != [idle]
    finally:
        pool.close()


def test_hosts_that_all_refuse_are_an_error_also_where_this_machine_does_the_checks(ssh):
    ssh("Host key verification failed.")
    with pytest.raises(ProvisionError) as caught:
        Pool([by_ssh("node1", ["node1"]), this_machine(own=True)], 1, 1, 1)
    assert (caught.value.code, caught.value.host) == ("host-key-unknown", "node1")


def test_hosts_are_started_at_the_same_time(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_of, "_HELLO", 60.0)
    names = ("one", "two", "three")
    others = " && ".join(f"test -e {tmp_path / name}" for name in names)
    pool = opened(*(host(name, f"touch {tmp_path / name}; until {others}; do sleep 0.01; done; {WORKS}")
                    for name in names))  # fmt: skip
    assert [each.name for each in pool.hosts] == [*names] and pool.lost == []


def test_a_host_that_says_nothing_is_left_out(opened, monkeypatch):
    monkeypatch.setattr(pool_of, "_HELLO", 3.0)
    pool = opened(host("one", "sleep 60; exit"), host("two", WORKS))
    assert [each.name for each in pool.hosts] == ["two"] and pool.lost == ["one (no answer)"]


def test_a_host_that_dies_when_it_is_asked_is_left_out_with_all_its_workers(opened):
    pool = opened(host("one", f"{HELLO} read line; {DIES}"), host("two", WORKS), most=2)
    assert [each.host.name for each in pool.workers] == ["one", "two", "one", "two"]
    assert [(each.name, answer) for each, answer in pool.ask(call="sweep")] == [("two", {"done": True})]
    assert [each.host.name for each in pool.workers] == ["two", "two"]
    assert pool.lost == ["one (Connection reset)"] and pool.wait(0.1) == []


def test_hosts_that_all_die_when_they_are_asked_are_an_error(opened):
    pool = opened(host("one", f"{HELLO} read line; {DIES}"), this_machine(own=True))
    with pytest.raises(ProvisionError) as caught:
        pool.ask(call="sweep", base="/nowhere", key="x")
    assert (caught.value.code, caught.value.host) == ("no-worker", "one")


def test_a_host_that_dies_while_its_further_workers_start_is_left_out(opened, tmp_path):
    once = f"if test -e {tmp_path}/up; then {DIES}; fi; touch {tmp_path}/up; {HELLO} read line; {DIES}"
    pool = opened(host("one", once), host("two", WORKS), most=3)
    assert [each.host.name for each in pool.workers] == ["one", "two", "two"] and pool.lost == []
    assert [each.name for each, _ in pool.ask(call="sweep")] == ["two"]
    assert pool.lost == ["one (Connection reset)"]


def test_a_host_that_died_is_tried_once_for_all_its_workers(opened, tmp_path):
    tries, down = tmp_path / "tries", tmp_path / "down"
    pool = opened(host("one", f"echo x >> {tries}; if test -e {down}; then {DIES}; fi; {HELLO} read line"),
                  host("two", WORKS), most=2)  # fmt: skip
    down.touch()
    for worker in [each for each in pool.workers if each.host.name == "one"]:
        pool.start(worker, "task", {})
        worker._process.wait()
    assert pool.wait(60) == [("task", {}), ("task", {})]
    assert len(tries.read_text().split()) == 3 and pool.lost == ["one (Connection reset)"]


def test_at_the_end_each_host_that_has_had_a_worker_is_asked_again_as_long_as_it_answers(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_of, "LAST", 4.0)

    def first(name: str, later: str) -> Host:
        """A host that is gone at first, and later does something else."""
        up = tmp_path / name
        return host(name, f"if test -e {up}; then {later}; else touch {up}; {HELLO} read line; {DIES}; fi")

    asked = tmp_path / "asked"
    never, works = host("never", f"echo never >> {asked}; {DIES}"), host("works", WORKS)
    lost = first("lost", f'{HELLO} read line; echo "$line" >> {asked}')
    pool = opened(never, works, this_machine(), lost, first("dead", "sleep 60; exit"))
    assert {each.name for each, _ in pool.ask(call="sweep", base=str(tmp_path), key="x")} == {"works", ""}
    pool.close(call="sweep", base="/nowhere", key="y")
    once, again = asked.read_text().splitlines()
    assert once == "never" and '"key": "y"' in again and pool.workers == []
