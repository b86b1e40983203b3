"""The role that docs/howto/add_a_role.md works out does what the page says, with an archive in the shape of ANTs'."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from box import Box
from layers import provision, refused, snapshot
from role_example import with_example

COMMANDS = ("N4BiasFieldCorrection", "antsApplyTransforms", "antsRegistration")
LOGIN_SHELL = "bash -lc 'echo $ANTSPATH'"
IN_OPT = "ls -A /opt /srv | grep -x '[.]*ants.*' | grep -v zip; true"


def archive(folder: Path, version: str, told: str = "") -> Path:
    """Make an archive of programs that tell their version and do nothing else."""
    path = folder / f"ants-{version}{told}.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in COMMANDS:
            member = zipfile.ZipInfo(f"ants-{version}/bin/{name}")
            member.create_system, member.external_attr = 3, 0o100755 << 16
            made.writestr(member, f"#!/bin/sh\necho 'ANTs Version: {told or version}'\n")
    return path


@pytest.fixture
def box(ready_trixie: Box, tmp_path: Path) -> Box:
    clone = with_example(tmp_path / "clone")
    for name in ("roles", "playbooks", "plugins"):
        ready_trixie.copy_in(clone / name, f"/root/project/{name}")
    # As of a tool whose commands need a variable.
    ready_trixie.run("sed -i 's|^  packages:|  environment: {ANTSPATH: PREFIX/bin}\\n&|' roles/ants/vars/main.yml")
    return ready_trixie


def line(box: Box, path: Path, version: str, more: str = "") -> str:
    """Bring an archive to the machine, and return what asks for it."""
    box.copy_in(path, f"/srv/{path.name}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"run ants --version {version} --archive file:///srv/{path.name} --archive-sha256 {digest} {more}"


def test_what_the_page_promises_of_the_role_holds(box: Box, tmp_path: Path) -> None:
    before = snapshot(box)
    first = line(box, archive(tmp_path, "2.5.4"), "2.5.4")
    assert provision(box, f"{first} --check")["changed"] > 0
    assert "sha256sum" in refused(box, "run ants")["hint"]
    # The version is one that its commands do not tell: nothing is put in the place.
    refused(box, line(box, archive(tmp_path, "2.5.4", told="1.0.0"), "2.5.4"))
    assert box.run(IN_OPT).stdout == ""

    report = provision(box, first)["hosts"]["localhost"]["ants"]
    assert report.pop("seconds") > 0
    assert [note.rpartition(" Type: ")[2] for note in report.pop("notes")] == [
        "export ANTSPATH=/opt/ants/bin, or open a login shell, which does that"
    ]
    assert report == {
        "version": "2.5.4", "prefix": "/opt/ants", "bin": "/opt/ants/bin", "origin": "archive",
        "environment": {"ANTSPATH": "/opt/ants/bin"},
    }  # fmt: skip
    assert box.run(LOGIN_SHELL).stdout == "/opt/ants/bin\n"
    assert box.run("N4BiasFieldCorrection").stdout == "ANTs Version: 2.5.4\n"
    assert provision(box, first)["changed"] == 0
    assert provision(box, f"{first} --check")["changed"] == 0

    # Another release in another place: the links follow, and the old folder goes. A lost link comes back.
    second = line(box, archive(tmp_path, "2.6.2"), "2.6.2", "--prefix /srv/ants")
    provision(box, second)
    assert box.run(f"antsRegistration; {IN_OPT}").stdout == "ANTs Version: 2.6.2\nants\n"
    box.run("test -d /srv/ants && test ! -e /opt/ants")
    assert box.run(LOGIN_SHELL).stdout == "/srv/ants/bin\n"
    box.run("rm /usr/local/bin/antsRegistration")
    assert provision(box, second)["changed"] > 0
    assert box.run("antsRegistration").stdout == "ANTs Version: 2.6.2\n"

    # What a killed run has left is out of the way, of the next one and of a removal.
    box.run("mkdir -p /srv/.ants.provision-x/new/bin")
    provision(box, first)
    assert box.run(IN_OPT).stdout == "ants\n"
    box.run("mkdir -p /srv/.ants.provision-x/new/bin")

    # What is somebody else's stays.
    box.run("mkdir /srv/theirs; touch /srv/theirs/file")
    assert "ants_prefix" in refused(box, f"{first} --prefix /srv/theirs")["hint"]

    provision(box, "remove ants --yes")
    assert snapshot(box) == before
    assert box.run(IN_OPT).stdout == ""
    box.run("test -e /srv/theirs/file; ! ls /etc/profile.d | grep ants")
    assert box.run(LOGIN_SHELL).stdout == "\n"
