"""Several machines that are reached by SSH, with an archive in the shape of ANTs' own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from box import Box, Machines
from layers import provision, with_ssh
from test_ants import archive

NAMES = ("one", "two", "three")
ADDRESSES = {name: f"127.0.0.{11 + number}" for number, name in enumerate(NAMES)}
ALL = f"--on {','.join(ADDRESSES.values())}"
SSHD = "/usr/sbin/sshd -o ListenAddress={}"


@pytest.fixture
def fleet(machines: Machines, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A machine where one types, and three others on a network of their own, each with keys of its own."""
    root = with_ssh(machines, "trixie")
    with contextlib.ExitStack() as stack:
        home, *others = (stack.enter_context(machines.box(root)) for _ in range(1 + len(NAMES)))
        home.cut_network()
        key = home.read("/root/.ssh/id_ed25519.pub")
        for name, each in zip(NAMES, others, strict=True):
            each.join_network(home)
            each.write("/root/.ssh/authorized_keys", key, mode="600")
            each.run(
                f"hostname {name}; rm -f /etc/ssh/ssh_host_*; ssh-keygen -A > /dev/null; mkdir -p /run/sshd\n"
                f"{SSHD.format(ADDRESSES[name])}"
            )
        made = archive(tmp_path, "2.5.4")
        home.copy_in(made, f"/srv/{made.name}")
        sha256 = hashlib.sha256(made.read_bytes()).hexdigest()
        line = f"run ants --origin archive --version 2.5.4 --archive /srv/{made.name} --archive-sha256"
        yield SimpleNamespace(
            home=home, sha256=sha256, line=f"{line} {sha256}", wrong=f"{line} {'0' * 64}",
            **dict(zip(NAMES, others, strict=True)),
        )  # fmt: skip


def failed(box: Box, line: str) -> dict:
    """Run a command that fails on some hosts, and return all that it prints."""
    done = box.run(f"./bootstrap provision {line} --json", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return json.loads(done.stdout)


def know_hosts(fleet: SimpleNamespace) -> None:
    for name, address in ADDRESSES.items():
        key = getattr(fleet, name).read("/etc/ssh/ssh_host_ed25519_key.pub")
        fleet.home.run(f"echo '{address} {key.strip()}' >> ~/.ssh/known_hosts")


def test_an_unknown_key_is_named_by_its_fingerprint_and_accepted_by_the_command_of_the_hint(
    fleet: SimpleNamespace,
) -> None:
    found = failed(fleet.home, f"{fleet.line} {ALL}")
    assert {error["code"] for error in found["errors"].values()} == {"host-key-unknown"}
    for name, address in ADDRESSES.items():
        own = getattr(fleet, name).run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]
        assert own in found["errors"][address]["message"]
        (accept,) = re.findall(r"`(ssh-keyscan [^`]+)`", found["errors"][address]["hint"])
        fleet.home.run(f"{accept} 2> /dev/null")
    assert provision(fleet.home, f"status {ALL}")["errors"] == {}


def test_an_archive_of_this_machine_is_sent_and_checked_and_python_is_found(fleet: SimpleNamespace) -> None:
    know_hosts(fleet)
    fleet.one.run("mv /usr/bin/python3 /usr/bin/python3.away; test -x /usr/bin/python3.13")
    wrong = failed(fleet.home, f"{fleet.wrong} {ALL}")
    assert {error["code"] for error in wrong["errors"].values()} == {"wrong-checksum"}
    found = provision(fleet.home, f"{fleet.line} {ALL}")
    assert {host: one["ants"]["origin"] for host, one in found["hosts"].items()} == dict.fromkeys(
        ADDRESSES.values(), "archive"
    )
    for name in NAMES:
        assert getattr(fleet, name).run("find ~/.cache/provision ~/.ansible -type f").stdout == ""
    again = provision(fleet.home, f"{fleet.line} {ALL}")
    assert again["changed"] == 0 and set(again["per_host"]) == set(ADDRESSES.values())
    assert provision(fleet.home, f"remove ants {ALL} --limit {ADDRESSES['two']} --yes")["gone"] == ["ants"]
    fleet.two.run("! test -e /opt/ants")
    fleet.three.run("test -e /opt/ants")


def test_hosts_that_fail_are_named_and_they_alone_are_retried(fleet: SimpleNamespace) -> None:
    know_hosts(fleet)
    fleet.two.run("pkill -x sshd")
    found = failed(fleet.home, f"{fleet.line} {ALL}")
    two = ADDRESSES["two"]
    assert {host: error["code"] for host, error in found["errors"].items()} == {two: "host-unreachable"}
    assert set(found["hosts"]) == set(ADDRESSES.values()) - {two}
    status = fleet.home.run(f"./bootstrap provision status {ALL} --json", check=False)
    assert status.returncode == 1 and set(json.loads(status.stdout)["errors"]) == {two}
    table = fleet.home.run(f"./bootstrap provision {fleet.line} {ALL}", check=False)
    assert table.returncode == 1 and [line.split()[0] for line in table.stderr.splitlines()[-6:-3]] == sorted(
        ADDRESSES.values()
    )
    fleet.two.run(SSHD.format(two))
    assert set(provision(fleet.home, f"{fleet.line} {ALL} --retry-failed")["hosts"]) == {two}
    assert provision(fleet.home, f"{fleet.line} {ALL} --retry-failed")["hosts"] == {}
    found = provision(fleet.home, f"doctor {ALL}")
    assert {host: one["checks"]["installed"]["found"] for host, one in found["hosts"].items()} == dict.fromkeys(
        ADDRESSES.values(), "ants 2.5.4"
    )
