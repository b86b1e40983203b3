"""What the store of builds promises, on fresh machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from box import SUITES, Box, Machines
from layers import BUILD, OURS, bring_builds, built_in, provision, refused, snapshot, take_builds

RESTORE = BUILD.removeprefix("provision ").replace("--origin source --repo /srv/mrtrix3", "--store /srv/store")
RESTORE = RESTORE.replace(f"{OURS} ", "")
STANDIN = {
    "tool": "mrtrix3", "version": "3.0.8", "release": "debian-12", "arch": "x86_64", "cpu": "x86-64", "glibc": "2.36",
    "asked": [], "commands": ["mrinfo"], "complete": True, "repo": "here",
}  # fmt: skip
MODULE = """
#include "command.h"
#include "image.h"
using namespace MR;
using namespace App;
void usage () { AUTHOR = "a"; SYNOPSIS = "s"; DESCRIPTION + "d"; ARGUMENTS + Argument ("in", "i").type_image_in(); }
void run () { auto image = Image<float>::open (argument[0]); CONSOLE (str (image.ndim())); }
"""


@pytest.fixture(scope="module")
def archive(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive of a build of a few commands, made on bookworm."""
    with machines.box(built_in(machines)) as box:
        return take_builds(box, tmp_path_factory.mktemp("store"))


@pytest.fixture(params=SUITES)
def bare(request: pytest.FixtureRequest, machines: Machines, archive: Path) -> Iterator[Box]:
    """A machine with nothing but the project's .venv and the store, and no network."""
    with machines.box(machines.ready(request.param)) as box:
        bring_builds(archive, box)
        box.cut_network()
        yield box


@pytest.fixture
def bookworm_with_store(machines: Machines, archive: Path) -> Iterator[Box]:
    with machines.box(machines.ready("bookworm"), offline=True) as box:
        bring_builds(archive, box)
        yield box


def only_archive(box: Box) -> str:
    (path,) = box.run("ls /srv/store/*.tar.zst").stdout.split()
    return path


def test_a_build_of_bookworm_runs_on_bare_machines_without_network_or_packages(bare: Box) -> None:
    before = bare.run("dpkg-query -W").stdout
    report = provision(bare, RESTORE)["hosts"]["localhost"]["mrtrix3"]
    assert (report["origin"], report["version"]) == ("store", "3.0.3")
    assert report["archive"] == only_archive(bare) and report["build_seconds"] > report["seconds"]
    said = bare.run("cd /; mrinfo -version; dwi2response -version").stdout
    assert "== mrinfo 3.0.3 ==" in said and "executing against MRtrix 3.0.3" in said
    libraries = bare.run("ldd /opt/mrtrix3/bin/mrinfo").stdout
    assert "not found" not in libraries and "/bundled/libtiff" in libraries and "/bundled/libstdc++" in libraries
    assert provision(bare, RESTORE)["changed"] == 0
    assert bare.run("dpkg-query -W").stdout == before


def test_the_result_tells_what_the_store_saved_and_which_builds_did_not_fit(bookworm_with_store: Box) -> None:
    box = bookworm_with_store
    # A browser's name for a second download; what it holds is what counts.
    box.run(f'cd /srv/store; A={only_archive(box)}; mv $A "${{A%.tar.zst}} (1).tar.zst"; ls > /srv/before')
    said = box.run(f"./bootstrap provision {RESTORE.replace('3.0.3', 'any')} -v").stdout
    assert "origin: store" in said and "(building it took" in said
    done = box.run(f"./bootstrap provision {RESTORE} --commands mrcat -v", check=False)
    assert "mrcat" in done.stdout + done.stderr
    box.run("ls /srv/store | diff - /srv/before")


def test_a_bad_archive_is_set_aside_and_the_installation_stays_as_it_was(bookworm_with_store: Box) -> None:
    box = bookworm_with_store
    provision(box, RESTORE)
    box.run("rm /opt/mrtrix3/bin/mrinfo; cp -r /srv/store /srv/whole")
    before = snapshot(box)
    for damage in ("truncate -s -100 $A", ": > $A", "printf x | dd of=$A bs=1 seek=100000 conv=notrunc status=none"):
        box.run(f"rm -r /srv/store; cp -r /srv/whole /srv/store; A=$(ls /srv/store/*.tar.zst); {damage}")
        error = refused(box, f"{RESTORE} --origin store")
        assert error["code"] == "no-origin" and ".bad" in error["message"]
        assert box.run("ls /srv/store/*.tar.zst", check=False).stdout == ""
        assert box.run("ls /srv/store/*.tar.zst.bad").stdout
        assert snapshot(box) == before


def test_a_full_store_is_a_note_and_no_failure(machines: Machines) -> None:
    with machines.box(built_in(machines)) as box:
        box.run("rm -r /opt/mrtrix3 /srv/drive")
        box.limit_disk("/srv/full", "1m")
        line = f"{BUILD} --store /srv/full".removeprefix("provision ")
        report = provision(box, line)["hosts"]["localhost"]["mrtrix3"]
        assert "is full" in report["notes"][0]
        box.run("mrinfo -version; ! ls /srv/full/*.tar.zst")
        assert provision(box, line)["changed"] == 0


def test_a_build_that_was_not_kept_since_its_run_was_cut_off_is_kept_by_the_next(machines: Machines) -> None:
    with machines.box(machines.ready("bookworm")) as box:
        box.run("mkdir -p /opt/mrtrix3/bin /var/lib/provision; : > /opt/mrtrix3/.provision.json")
        box.write("/opt/mrtrix3/bin/mrinfo", "#!/bin/sh\necho '== mrinfo 3.0.8 =='\n")
        box.run("chmod 755 /opt/mrtrix3/bin/mrinfo; ln -s /opt/mrtrix3/bin/mrinfo /usr/local/bin")
        box.write("/opt/mrtrix3/manifest.json", json.dumps(STANDIN))
        report = {"prefix": "/opt/mrtrix3", "bin": "/opt/mrtrix3/bin", "origin": "source", "cpu": "x86-64"}
        state = {"report": report, "version": "3.0.8", "commands": ["mrinfo"], "link_dir": "/usr/local/bin"}
        box.write("/var/lib/provision/mrtrix3.json", json.dumps({**state, "complete": True}))
        play = "./bootstrap ansible-playbook playbooks/mrtrix3.yml -e provision_store=/srv/store --check"
        assert "its build is not in the store /srv/store yet" in box.run(play).stdout
        done = provision(box, "run mrtrix3 --store /srv/store")
        assert done["changed"] == 1
        assert done["hosts"]["localhost"]["mrtrix3"]["archive"] == only_archive(box)
        assert provision(box, "run mrtrix3 --store /srv/store")["changed"] == 0


def test_two_runs_that_pack_at_once_leave_one_good_archive(machines: Machines) -> None:
    with machines.box(built_in(machines)) as box:
        box.run("rm -r /srv/drive; cp -r /opt/mrtrix3 /opt/other")
        module = "ANSIBLE_CONFIG=ansible.cfg .venv/bin/ansible localhost -m store_pack -a"
        runs = [box.popen(f"{module} 'prefix={prefix} store=/srv/drive'") for prefix in ("/opt/mrtrix3", "/opt/other")]
        for run in runs:
            run.communicate(timeout=300)
        assert [run.returncode for run in runs] == [0, 0]
        assert box.run("ls /srv/drive | wc -l").stdout.strip() == "2"
        box.run("./bootstrap provision store verify --store /srv/drive")


def test_a_module_compiles_against_a_restored_mrtrix3_with_a_compiler_alone(machines: Machines) -> None:
    with machines.box(built_in(machines)) as box:
        box.run("rm -rf /opt/mrtrix3 /root/.cache/provision /srv/mrtrix3")
        provision(box, RESTORE.replace("/srv/store", "/srv/drive"))
        box.run("apt-get purge -qq -y libeigen3-dev zlib1g-dev libtiff-dev libpng-dev libfftw3-dev > /dev/null")
        box.write("/opt/module/cmd/count.cpp", MODULE)
        said = box.run("cd /opt/module; ln -s ../mrtrix3/build build; python3 ./build").stdout
        # Its own file, its version's, and the two that every command has of MRtrix3 are all there is to make.
        assert "[LB] bin/count" in said and "core/" not in said
        assert box.run("/opt/module/bin/count -version").stdout.startswith("== count")
        # MRtrix3 itself is as it was.
        box.run("mrinfo -version")
