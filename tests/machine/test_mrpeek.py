"""What the role mrpeek promises, on fresh machines.

The module that is built is a small one of this project's own, `standin`, unless PROVISION_TEST_MRPEEK_REPO names a
clone of the real mrpeek.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from box import SUITES, Box, Machines
from layers import agree, bring_builds, built_in, provision, refused, snapshot, take_builds

SOURCE = Path(os.environ.get("PROVISION_TEST_MRPEEK_REPO") or Path(__file__).parent / "standin")
ROLE = "run mrpeek --mrpeek-repo /srv/mrpeek --mrpeek-version main"
COMMIT = "git init -q -b main && git add -A && git -c user.name=t -c user.email=t@example.org commit -q -m mrpeek"
# Draws an image of known grey levels, and tells what is wrong in the picture.
DRAW = """
import sys
sys.path.insert(0, "/root/project")
from plugins.module_utils.provision.tool import mrpeek as module
print(module.wrong_in_picture(module.draw("mrpeek"), module.decoder_in(sys.argv[1])) or "as it should be")
"""


def bring_repository(box: Box, folder: Path) -> None:
    """Make the repository /srv/mrpeek of a module's files."""
    with tarfile.open(folder / "mrpeek.tar", "w") as tar:
        for name in ("cmd", "src"):
            if (SOURCE / name).exists():
                tar.add(SOURCE / name, name)
    box.copy_in(folder / "mrpeek.tar", "/srv/mrpeek.tar")
    box.run(f"mkdir /srv/mrpeek && cd /srv/mrpeek && tar xf ../mrpeek.tar && {COMMIT}")


@pytest.fixture(scope="module")
def viewer(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bookworm root with MRtrix3 built from source and mrpeek built against it, and packed in /srv/drive."""

    def build(box: Box) -> None:
        bring_repository(box, tmp_path_factory.mktemp("mrpeek"))
        provision(box, f"{ROLE} --store /srv/drive")

    return machines.layer(built_in(machines), "viewer", build)


@pytest.fixture
def built(machines: Machines, viewer: Path) -> Iterator[Box]:
    with machines.box(viewer) as box:
        yield box


@pytest.fixture(scope="module")
def archive(machines: Machines, viewer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive of that mrpeek and nothing else."""
    with machines.box(viewer) as box:
        return take_builds(box, tmp_path_factory.mktemp("store"), "mrpeek-*")


def picture(box: Box, prefix: str = "/opt/mrpeek") -> str:
    """Return what is wrong in the picture that the mrpeek on PATH draws of an image of known grey levels."""
    box.write("/tmp/draw.py", DRAW)
    return box.run(f"/root/project/.venv/bin/python /tmp/draw.py {prefix}").stdout.strip()


def test_a_viewer_built_against_the_mrtrix3_that_is_there_draws_what_it_should(built: Box) -> None:
    assert picture(built) == "as it should be"


def test_a_second_run_changes_nothing(built: Box) -> None:
    result = provision(built, f"{ROLE} --store /srv/drive")
    report = result["hosts"]["localhost"]["mrpeek"]
    assert (report["origin"], report["mrtrix3"], report["version"]) == ("source", "3.0.3", "main")
    assert result["changed"] == 0
    agree(built, "mrpeek", mrpeek_repo="/srv/mrpeek", mrpeek_version="main", store="/srv/drive")


def test_the_viewer_outlives_the_mrtrix3_it_was_built_against(built: Box) -> None:
    built.run("mv /opt/mrtrix3 /opt/moved")
    assert picture(built) == "as it should be"


def test_a_broken_viewer_is_put_right(built: Box) -> None:
    built.run("rm /opt/mrpeek/bin/mrpeek")
    assert provision(built, f"{ROLE} --store /srv/drive")["hosts"]["localhost"]["mrpeek"]["origin"] == "store"
    assert picture(built) == "as it should be"


def test_absent_takes_away_what_the_role_installed_and_nothing_else(built: Box) -> None:
    provision(built, "run mrpeek --mrpeek-state absent")
    built.run("! test -e /opt/mrpeek && ! test -e /usr/local/bin/mrpeek && /opt/mrtrix3/bin/mrinfo -version")
    assert "libsixel1" not in built.run("dpkg-query -W").stdout


@pytest.mark.parametrize("suite", SUITES)
def test_a_kept_viewer_draws_on_a_bare_machine_without_network_mrtrix3_or_a_package(
    machines: Machines, archive: Path, suite: str
) -> None:
    with machines.box(machines.ready(suite)) as box:
        bring_builds(archive, box)
        box.cut_network()
        before = box.run("dpkg-query -W").stdout
        role = f"{ROLE} --store /srv/store --mrpeek-prefix /srv/tools/viewer"
        assert provision(box, role)["hosts"]["localhost"]["mrpeek"]["origin"] == "store"
        assert picture(box, "/srv/tools/viewer") == "as it should be"
        assert box.run("dpkg-query -W").stdout == before


def test_a_repository_that_cannot_be_reached_is_named(machines: Machines) -> None:
    with machines.box(built_in(machines), offline=True) as box:
        before = snapshot(box)
        error = refused(box, "run mrpeek --store none")
        assert error["code"] == "unreachable" and "https://github.com/MRtrix3/mrpeek.git" in error["message"]
        assert "mrpeek_repo" in error["hint"]
        assert snapshot(box) == before
