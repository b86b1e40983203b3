"""Several machines that are reached by SSH, with an archive in the shape of ANTs' own, and a miniature of MRtrix3."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import channel
import fleets
import pytest
from box import Box, Machines
from layers import COMMIT, COUNT_KEPT, miniature, provision, with_ssh
from test_ants import COMMANDS, archive
from waiting import wait_until

NAMES = ("one", "two", "three")
ADDRESSES = {name: f"127.0.0.{11 + number}" for number, name in enumerate(NAMES)}
ALL = f"--on {','.join(ADDRESSES.values())}"
# What ssh sends from here is counted: modules, and whatever is copied.
COUNTED = """#!/bin/bash
exec /usr/bin/ssh.real "$@" < <(tee >(wc -c >> /srv/sent) 2> /dev/null)
"""
LARGE = 12_000_000  # bytes; all modules of a run on three hosts are less
MINI = "run mrtrix3 --repo /srv/mini --version dev --origin source"
# What compiles is stuck until it is seen here how far it is.
WATCHED = f"""
import json, subprocess, provision
seen = {{}}
def watch(step):
    if step.kind == "work" and step.unit == "steps" and step.host not in seen:
        seen[step.host] = [step.task, step.number, step.total]
        subprocess.run(["ssh", step.host, "rm", "/srv/stuck"], check=True)
hosts = {list(ADDRESSES.values())}
found = provision.run("mrtrix3", on=hosts, repo="/srv/mini", version="dev", origin="source", progress=watch)
print(json.dumps({{**found.to_dict(), "seen": seen}}))
"""


@pytest.fixture
def fleet(machines: Machines, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Such machines, and an archive where one types."""
    with fleets.fleet(machines, with_ssh(machines, "trixie"), ADDRESSES) as fleet:
        path = archive(tmp_path, "2.5.4")
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("ants-2.5.4/share/noise", os.urandom(LARGE))
        fleet.home.copy_in(path, f"/srv/{path.name}")
        fleet.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        line = f"run ants --origin archive --version 2.5.4 --archive /srv/{path.name} --archive-sha256"
        fleet.line, fleet.wrong = f"{line} {fleet.sha256}", f"{line} {'0' * 64}"
        yield fleet


@pytest.fixture
def builders(machines: Machines) -> Iterator[SimpleNamespace]:
    """Such machines that can compile a miniature of MRtrix3."""
    with fleets.fleet(machines, miniature(machines), ADDRESSES) as fleet:
        fleets.know_hosts(fleet, ADDRESSES)
        yield fleet


def sent(fleet: SimpleNamespace, line: str, **options: str) -> tuple[dict, int]:
    """Run a command; return what it prints, and how many bytes were sent to the other machines."""
    fleet.home.write("/srv/ssh", COUNTED, mode="755")
    fleet.home.run("mv /usr/bin/ssh /usr/bin/ssh.real; cp /srv/ssh /usr/bin/ssh; : > /srv/sent")
    found = provision(fleet.home, line, **options)
    fleet.home.run("mv /usr/bin/ssh.real /usr/bin/ssh")
    wait_until(lambda: not fleet.home.run("pgrep -x wc", check=False).stdout)  # what counts ends last
    return found, sum(map(int, fleet.home.read("/srv/sent").split()))


def failed(box: Box, line: str) -> dict:
    """Run a command that fails on some hosts, and return all that it prints."""
    done = box.run(f"./bootstrap provision {line} --json", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_an_unknown_key_is_named_by_its_fingerprint_and_accepted_by_the_command_of_the_hint(
    fleet: SimpleNamespace,
) -> None:
    found = failed(fleet.home, f"{fleet.line} {ALL}")
    assert {error["code"] for error in found["errors"].values()} == {"host-key-unknown"}
    for name, address in ADDRESSES.items():
        assert fleets.fingerprint(getattr(fleet, name)) in found["errors"][address]["message"]
        (accept,) = re.findall(r"`(ssh-keyscan [^`]+)`", found["errors"][address]["hint"])
        fleet.home.run(f"{accept} 2> /dev/null")
    assert provision(fleet.home, f"status {ALL}")["errors"] == {}


def test_an_archive_of_this_machine_is_sent_and_checked_and_python_is_found(fleet: SimpleNamespace) -> None:
    fleets.know_hosts(fleet, ADDRESSES)
    fleet.one.run("mv /usr/bin/python3 /usr/bin/python3.away; test -x /usr/bin/python3.13")
    wrong = failed(fleet.home, f"{fleet.wrong} {ALL}")
    assert {error["code"] for error in wrong["errors"].values()} == {"wrong-checksum"}
    found, size = sent(fleet, f"{fleet.line} {ALL}")
    assert LARGE < size < 2 * LARGE
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


def test_one_host_downloads_conda_packages_and_the_others_take_them_from_it(
    fleet: SimpleNamespace, tmp_path: Path
) -> None:
    fleets.know_hosts(fleet, ADDRESSES)
    programs = {f"bin/{name}": b"#!/bin/sh\necho 'ANTs Version: 2.5.4'\n" for name in COMMANDS}
    entry = channel.made(tmp_path / "channel", "ants", programs, version="2.5.4")
    fleet.home.copy_in(tmp_path / "channel", "/srv/mirror/channel")
    entry["url"] = f"https://conda.invalid/channel/linux-64/{Path(entry['url']).name}"
    fleet.home.write("/srv/lock.json", json.dumps(channel.lock("ants", entry, version="2.5.4")))
    channel.serve(fleet.home)
    line = "run ants --origin conda --version 2.5.4 --lock /srv/lock.json --conda-mirror http://127.0.0.1:8002"
    found = provision(fleet.home, f"{line} {ALL}")
    assert {one["ants"]["origin"] for one in found["hosts"].values()} == {"conda"} and len(found["hosts"]) == len(NAMES)
    assert fleet.home.read("/srv/asked").count('"GET ') == 1
    for name in NAMES:
        assert getattr(fleet, name).run(COMMANDS[0]).stdout == "ANTs Version: 2.5.4\n"


def test_hosts_that_fail_are_named_and_they_alone_are_retried(fleet: SimpleNamespace) -> None:
    fleets.know_hosts(fleet, ADDRESSES)
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
    fleet.two.run(fleets.SSHD.format(two))
    assert set(provision(fleet.home, f"{fleet.line} {ALL} --retry-failed")["hosts"]) == {two}
    assert provision(fleet.home, f"{fleet.line} {ALL} --retry-failed")["hosts"] == {}
    found = provision(fleet.home, f"doctor {ALL}")
    assert {host: one["checks"]["installed"]["found"] for host, one in found["hosts"].items()} == dict.fromkeys(
        ADDRESSES.values(), "ants 2.5.4"
    )
    checks = [one["checks"] for one in found["hosts"].values()]
    # Nothing but each other is there to be reached.
    assert {(one["network: git"]["verdict"], one["clock"]["verdict"]) for one in checks} == {("warn", "ok")}


def test_one_host_compiles_and_the_others_take_its_archive_which_does_not_pass_through_here(
    builders: SimpleNamespace,
) -> None:
    # So that the archive is large. The others do not get to look into their repositories.
    builders.one.run(f"cd /srv/mini; mkdir share; head -c {LARGE} /dev/urandom > share/noise; {COMMIT}")
    builders.one.run(": > /srv/stuck")
    builders.home.write("/srv/watched.py", WATCHED)
    found, size = sent(builders, "", program=".venv/bin/python /srv/watched.py")
    ((host, (_task, number, total)),) = found["seen"].items()
    assert host == ADDRESSES["one"] and 0 < number < total
    assert all(getattr(builders, name).run("ls -A /dev/shm").stdout == "" for name in NAMES)
    one, *others = (found["hosts"][address]["mrtrix3"] for address in ADDRESSES.values())
    assert (one["origin"], one["version"]) == ("source", "9.9.9") and size < LARGE
    digest = builders.one.run(f"sha256sum {one['archive']}").stdout.split()[0]
    for name, other in zip(NAMES[1:], others, strict=True):
        assert (other["origin"], other["built_on"], other["archive_sha256"]) == ("archive", ADDRESSES["one"], digest)
        box = getattr(builders, name)
        box.run(f"mrinfo -version; ! test -e /srv/compiled; echo {digest} {other['archive']} | sha256sum -c")
    listening = builders.home.run("cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\" {print $2}'").stdout.split()
    assert {address.rpartition(":")[2] for address in listening} == {"0016"}  # sshd's alone
    assert provision(builders.home, f"{MINI} {ALL}")["changed"] == 0


def test_where_the_one_that_compiles_is_killed_the_next_goes_on_from_its_pieces(
    builders: SimpleNamespace, tmp_path: Path
) -> None:
    for name in NAMES:
        getattr(builders, name).share(tmp_path, "/srv/drive")
    builders.one.run(": > /srv/stuck")
    builders.home.run("sed -i 's/^SECONDS = 20 /SECONDS = 1 /' plugins/module_utils/provision/store/checkpoint.py")
    run = builders.home.popen(f"./bootstrap provision {MINI} --store /srv/drive {ALL} --json")
    wait_until(lambda: builders.two.run(f"/root/project/.venv/bin/python -c '{COUNT_KEPT}'").stdout == "1\n", 300)
    assert run.poll() is None
    builders.one.run("pkill sshd")
    found = json.loads(run.communicate(timeout=300)[0])
    one, two, three = ADDRESSES.values()
    assert set(found["errors"]) == {one}
    reports = {host: found["hosts"][host]["mrtrix3"] for host in (two, three)}
    assert [(reports[host]["origin"], reports[host].get("built_on")) for host in (two, three)] == [
        ("source", None), ("store", two)
    ]  # fmt: skip
    assert builders.one.read("/srv/compiled") == "core\n" and builders.two.read("/srv/compiled") == "mrinfo\n"
    builders.three.run("mrinfo -version; ! test -e /srv/compiled")
