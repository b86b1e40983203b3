"""ANTs from an archive of programs in the shape of its own, and from Debian 13's package, whose N4 finds a field."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from box import Box, Machines
from layers import packaged, provision, refused, snapshot

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
def box(ready_trixie: Box) -> Box:
    # As of a tool whose commands need a variable.
    ready_trixie.run("sed -i 's|^  store:|  environment: {ANTSPATH: PREFIX/bin}\\n&|' roles/ants/vars/main.yml")
    ready_trixie.cut_network()
    return ready_trixie


def line(box: Box, path: Path, version: str, more: str = "") -> str:
    """Bring an archive to the machine, and return what asks for it."""
    box.copy_in(path, f"/srv/{path.name}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = f"--archive file:///srv/{path.name} --archive-sha256 {digest}"
    return f"run ants --origin archive --version {version} {source} {more}"


def test_an_archive_is_installed_moved_repaired_and_removed(box: Box, tmp_path: Path) -> None:
    before = snapshot(box)
    first = line(box, archive(tmp_path, "2.5.4"), "2.5.4")
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


# A scan of the phantom under a coil that is brighter on one side, and how well what N4 finds of that is the truth.
FIELD = """
import nibabel, numpy, subprocess, json
from pathlib import Path
subprocess.run(["provision", "sample", "phantom", "--folder", "/srv/phantom"], check=True)
scan = nibabel.load("/srv/phantom/dwi.nii.gz")
data = scan.get_fdata()
x, y, z = numpy.meshgrid(*(numpy.linspace(-1, 1, size) for size in data.shape[:3]), indexing="ij")
field = numpy.exp(0.4 * x - 0.2 * y**2)
nibabel.save(nibabel.Nifti1Image((data * field[..., None]).astype("float32"), scan.affine), "/srv/biased.nii.gz")
grad = ["-fslgrad", "/srv/phantom/bvecs", "/srv/phantom/bvals"]
subprocess.run(["dwi2mask", "/srv/biased.nii.gz", "/srv/mask.nii.gz", *grad], check=True)
words = ["/srv/biased.nii.gz", "/srv/corrected.nii.gz", "-mask", "/srv/mask.nii.gz", "-bias", "/srv/bias.nii.gz", *grad]
subprocess.run(["dwibiascorrect", "ants", *words], check=True)
mask = nibabel.load("/srv/mask.nii.gz").get_fdata() > 0
found, truth = nibabel.load("/srv/bias.nii.gz").get_fdata()[mask], field[mask]
ratio = found / truth
print(json.dumps({
    "correlation": float(numpy.corrcoef(numpy.log(found), numpy.log(truth))[0, 1]),
    "slope": float(numpy.polyfit(numpy.log(truth), numpy.log(found), 1)[0]),
    "spread": float(ratio.std() / ratio.mean()),
}))
"""


def with_ants(machines: Machines) -> Path:
    """Return trixie with the distribution's MRtrix3 and ANTs."""
    install = "apt-get install -y -qq --no-install-recommends ants > /dev/null"
    return machines.layer(packaged(machines, "trixie"), "ants", lambda box: box.run(install), key=[install])


def test_n4_of_the_distribution_finds_a_known_field(machines: Machines) -> None:
    with machines.box(with_ants(machines)) as box:
        box.cut_network()
        error = refused(box, "run ants --version any --origin package")
        assert error["code"] == "does-not-run" and "ants_commands" in error["hint"]  # its registration crashes
        line = "run ants --version any --commands N4BiasFieldCorrection"
        report = provision(box, line)["hosts"]["localhost"]["ants"]
        assert (report["origin"], report["bin"]) == ("package", "/usr/lib/ants")
        assert provision(box, line)["changed"] == 0
        box.write("/srv/field.py", FIELD)
        path = {"PATH": "/root/project/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        found = json.loads(box.run("python /srv/field.py", env=path).stdout.splitlines()[-1])
        print(found)
        assert found["correlation"] > 0.9
        provision(box, "remove ants --yes")
        box.run("! test -e /usr/local/bin/N4BiasFieldCorrection; test -x /usr/lib/ants/N4BiasFieldCorrection")
