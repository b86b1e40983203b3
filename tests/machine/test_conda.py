"""The origin conda on fresh machines: a build exported as a conda package, served by a channel of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import channel
import pytest
from box import Box, Machines
from layers import as_ordinary_user, built_in, provision, refused, snapshot, take_builds

from provision.store import builds

RUN = "run mrtrix3 --origin conda --version 3.0.3 --lock /srv/lock.json --conda-mirror http://127.0.0.1:8002"
THERE = "ls -A /opt | grep mrtrix3 || true"  # with the temporary folders beside it
STOP = "pkill -f '[h]ttp.server 8002'"


@pytest.fixture(scope="module")
def mirror(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a channel that has a build of a few commands, made on bookworm, and a lock of it."""
    place = tmp_path_factory.mktemp("conda")
    with machines.box(built_in(machines)) as box:
        store = take_builds(box, place / "store")
    platform = place / "mirror/channel/linux-64"
    platform.mkdir(parents=True)
    (build,) = builds.ls(store)
    package = builds.export(build.key, platform, store, progress=lambda _: None, format="conda").path
    library = channel.made(place / "mirror/channel", "libx", {"lib/libx.so": b"\x7fELF", "bin/xz": b"#!/bin/sh\n"})
    entries = [library, channel.entry("mrtrix3", package)]
    for entry in entries:
        entry["url"] = f"https://conda.invalid/channel/linux-64/{Path(entry['url']).name}"
    (place / "lock.json").write_text(json.dumps(channel.lock("mrtrix3", *entries, version="3.0.3")))
    return place


def prepared(box: Box, mirror: Path) -> Box:
    box.copy_in(mirror / "mirror", "/srv/mirror")
    box.copy_in(mirror / "lock.json", "/srv/lock.json")
    box.cut_network()
    channel.serve(box)
    return box


@pytest.fixture
def bookworm(machines: Machines, mirror: Path) -> Iterator[Box]:
    """A machine with nothing but the project's .venv and that channel, and no network."""
    with machines.box(machines.ready("bookworm")) as box:
        yield prepared(box, mirror)


@pytest.fixture
def trixie(machines: Machines, mirror: Path) -> Iterator[Box]:
    with machines.box(machines.ready("trixie")) as box:
        yield prepared(box, mirror)


def test_a_bare_machine_gets_it_without_a_compiler_or_a_package(bookworm: Box) -> None:
    before = bookworm.run("dpkg-query -W").stdout
    report = provision(bookworm, RUN)["hosts"]["localhost"]["mrtrix3"]
    assert (report["origin"], report["version"], report["cpu"]) == ("conda", "3.0.3", "x86-64")
    said = bookworm.run("cd /; mrinfo -version; dwi2response -version").stdout
    assert "== mrinfo 3.0.3 ==" in said and "executing against MRtrix 3.0.3" in said
    assert bookworm.run("command -v xz; ls /usr/local/bin", check=False).stdout.find("/opt/mrtrix3") == -1
    assert bookworm.run("dpkg-query -W").stdout == before
    assert provision(bookworm, RUN)["changed"] == 0
    bookworm.run(f"{STOP}; ./bootstrap provision remove mrtrix3 --yes")
    assert provision(bookworm, RUN)["hosts"]["localhost"]["mrtrix3"]["origin"] == "conda"  # from the store, offline


def test_an_ordinary_user_needs_nobodys_help(trixie: Box) -> None:
    report = provision(trixie, RUN, **as_ordinary_user(trixie))["hosts"]["localhost"]["mrtrix3"]
    assert (report["origin"], report["prefix"]) == ("conda", "/home/eve/.local/opt/mrtrix3")
    assert "== mrinfo 3.0.3 ==" in trixie.run("bash -lc 'mrinfo -version; dwi2response -version'", user="eve").stdout


def test_a_channel_that_fails_leaves_the_machine_as_it_was_but_for_what_arrived(trixie: Box) -> None:
    before = snapshot(trixie)
    for damage, code in (
        ("mv /srv/mirror/channel/linux-64/libx* /srv", "http-error"),
        ("mv /srv/libx* /srv/mirror/channel/linux-64; echo >> /srv/mirror/channel/linux-64/mrtrix3*", "too-large"),
        (STOP, "unreachable"),
    ):
        trixie.run(f"{damage}; rm -rf ~/.cache/provision/packages")
        assert refused(trixie, RUN)["code"] == code
        trixie.run("rm -rf ~/.cache/provision/packages")
        assert snapshot(trixie) == before


def test_a_killed_run_leaves_no_half_prefix_and_the_next_one_ends_it(trixie: Box) -> None:
    for seconds in (3, 5):
        trixie.run(f"timeout -s KILL {seconds} ./bootstrap provision {RUN}", check=False)
        trixie.run("test ! -e /opt/mrtrix3 || /opt/mrtrix3/bin/mrinfo -version")
    provision(trixie, RUN)
    assert trixie.run(THERE).stdout.split() == ["mrtrix3"]
    trixie.run("./bootstrap provision remove mrtrix3 --yes")
    assert trixie.run(THERE).stdout.split() == []
