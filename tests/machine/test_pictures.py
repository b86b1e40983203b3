"""Pictures on a machine with MRtrix3 show each voxel of a file where MRtrix3 has it, with the value that it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from box import SUITES, Box, Machines
from layers import packaged

COMPARE = Path(__file__).with_name("pictures.py")
# How many images are made up at random; both versions of MRtrix3 read with the same code.
IMAGES = {"bookworm": 2, "trixie": 16}


@pytest.mark.parametrize("suite", SUITES)
def test_every_voxel_is_where_mrtrix3_has_it_whatever_the_users_settings(machines: Machines, suite: str) -> None:
    with machines.box(packaged(machines, suite)) as box:
        compare(box, IMAGES[suite])


def compare(box: Box, images: int) -> None:
    box.write("/root/.mrtrix.conf", "RealignTransform: 0\n")
    box.copy_in(COMPARE, "/srv/pictures.py")
    box.run("mkdir /srv/work")
    done = box.run(
        f"/root/project/.venv/bin/python /srv/pictures.py {images}", cwd="/srv/work", env={"PYTHONPATH": box.project}
    )
    result = json.loads(done.stdout)
    assert result["compared"] == images + 6 and result["differing"] == {}


@pytest.fixture
def box(machines: Machines):
    with machines.box(packaged(machines, "trixie")) as box:
        yield box


def test_a_damaged_file_is_refused_and_a_warning_is_passed_on(box: Box) -> None:
    box.run(".venv/bin/provision sample phantom --folder /srv/phantom")
    box.run("cd /srv; gzip -dc phantom/dwi.nii.gz > dwi.nii; head -c 100000 phantom/dwi.nii.gz > cut.nii.gz")
    box.run("cd /srv; head -c 1000000 dwi.nii > cut.nii; printf '<html>' > page.nii; touch empty.nii")
    for name, code in (("cut.nii.gz", "damaged"), ("cut.nii", "damaged"), ("page.nii", "unknown-format")):
        done = box.run(f".venv/bin/provision peek /srv/{name} -o /srv/x.png --json", check=False)
        assert json.loads(done.stdout)["error"]["code"] == code, done.stdout
    assert json.loads(box.run(".venv/bin/provision peek /srv/empty.nii -o /srv/x.png --json", check=False).stdout)[
        "error"
    ]
    box.run("test ! -e /srv/x.png; .venv/bin/provision peek /srv/dwi.nii -o /srv/x.png; test -s /srv/x.png")
    assert box.run("ls -A /tmp | grep provision-picture || true").stdout == ""
