"""FSL from a channel of stand-ins on the loopback: MRtrix3's own script finds them in the environment that is made."""

from __future__ import annotations

import json
from pathlib import Path

import channel
import pytest
from box import Box, Machines
from layers import agree, packaged, provision, refused

from provision.engine import content

RUN = "run fsl --lock /srv/lock.json --conda-mirror /srv/mirror"
# It says how it was called, and makes the image that it was asked for where that is a matter of copying.
STANDIN = """#!/bin/sh
echo "a stand-in for FSL's $(basename $0): $@" >> /srv/called
echo "FSLDIR=$FSLDIR FSLOUTPUTTYPE=$FSLOUTPUTTYPE" >> /srv/called
case $(basename $0) in
    fslmaths) cp "$1" "$4.nii" ;;
    bet2) cp "$1" "$2.nii" ;;
    topup | eddy*) exit 7 ;;
esac
"""
PROGRAMS = {
    "fsl-avwutils": ("fslmaths", "fslsplit"), "fsl-bet2": ("bet", "bet2"), "fsl-eddy": ("eddy_cpu",),
    "fsl-fast4": ("fast",), "fsl-topup": ("topup", "applytopup"),
}  # fmt: skip


@pytest.fixture
def box(machines: Machines, tmp_path: Path):
    """A machine with MRtrix3, without a network, and with such a channel."""
    made = []
    for name, programs in PROGRAMS.items():
        files = {f"bin/{program}": STANDIN.encode() for program in programs}
        made.append(channel.made(tmp_path / "mirror/channel", name, files))
    for entry in made:
        entry["url"] = f"https://conda.invalid/channel/linux-64/{Path(entry['url']).name}"
    lock = {**channel.lock("fsl", *made, version="2401.2"), "programs_of": list(PROGRAMS)}
    (tmp_path / "lock.json").write_text(json.dumps(lock))
    with machines.box(packaged(machines, "trixie")) as box:
        box.copy_in(tmp_path / "mirror", "/srv/mirror")
        box.copy_in(tmp_path / "lock.json", "/srv/lock.json")
        box.run("touch /srv/called; chmod 666 /srv/called")
        box.cut_network()
        yield box


def test_the_locks_of_the_role_have_the_packages_with_these_programs() -> None:
    for name in ("conda", "cuda"):
        lock = json.loads((content.root() / f"roles/fsl/files/{name}.lock.json").read_text("utf-8"))
        assert set(PROGRAMS) <= set(lock["programs_of"])


def test_mrtrix3s_script_finds_it_once_its_licence_is_accepted_and_nothing_is_kept_in_the_store(box: Box) -> None:
    error = refused(box, RUN)
    assert error["code"] == "licence" and "licence" in error["hint"]
    report = provision(box, f"{RUN} --licence non-commercial --store /srv/drive")["hosts"]["localhost"]["fsl"]
    assert report["environment"] == {"FSLDIR": "/opt/fsl/env", "FSLOUTPUTTYPE": "NIFTI_GZ"}
    assert provision(box, f"{RUN} --store /srv/drive")["changed"] == 0  # accepted once is enough
    agree(box, "fsl", lock="/srv/lock.json", conda_mirror="/srv/mirror")
    box.run("test ! -e /srv/drive")
    assert (
        json.loads(box.run("./bootstrap provision doctor --for dwifslpreproc --json", check=False).stdout)["ok"]
        is False
    )
    box.run("provision sample phantom --folder /srv/phantom", env={"PATH": "/root/project/.venv/bin:/usr/bin:/bin"})
    box.run("rm /srv/called; touch /srv/called; chmod 666 /srv/called")
    done = box.run(
        "bash -lc 'cd /srv; dwifslpreproc phantom/dwi.nii.gz out.mif -fslgrad phantom/bvecs phantom/bvals "
        '-rpe_none -pe_dir ap -eddy_options " --slm=linear"\'',
        check=False,
    )
    called = box.read("/srv/called")
    assert done.returncode != 0 and "eddy_cpu" in called and "--slm=linear" in called and "--imain=" in called
    assert "FSLDIR=/opt/fsl/env FSLOUTPUTTYPE=NIFTI_GZ" in called
    provision(box, "remove fsl --yes")
    box.run("test ! -e /opt/fsl -a ! -e /etc/profile.d/provision-fsl.sh; test ! -e /usr/local/bin/topup")
    assert refused(box, RUN)["code"] == "licence"
