"""Stand-ins for MRtrix3's commands that find the true fibres, or fail as they are told."""

import sys
from pathlib import Path

import pytest

from provision.demo.pipeline import run_demo

SIZE = (16, 16, 4)
NAMES = ("mrinfo", "mrconvert", "dwi2mask", "dwi2response", "dwi2fod", "sh2peaks")
# What finds the true fibres, or the image of one volume that the picture is drawn over.
FINDS = """
import os, sys
import nibabel, numpy
truth = nibabel.load("truth.nii.gz")
if sys.argv[1] == "sh2peaks":
    cosine, sine = (f(numpy.radians(float(os.environ.get("TURNED", 0)))) for f in (numpy.cos, numpy.sin))
    turn = numpy.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    peaks = truth.get_fdata().reshape(*truth.shape[:3], 2, 3) @ turn.T
    third = numpy.full((*truth.shape[:3], 1, 3), numpy.nan)
    found = numpy.concatenate([-peaks[..., ::-1, :] if "SWAPPED" in os.environ else peaks, third], axis=3)
    image = nibabel.Nifti1Image(found.reshape(*truth.shape[:3], 9).astype("f4"), truth.affine)
    if "OTHER_AXES" in os.environ:
        image = image.as_reoriented([[1, 1], [0, -1], [2, -1]])
else:
    image = nibabel.Nifti1Image(truth.get_fdata()[..., 0].astype("f4"), truth.affine)
nibabel.save(image, sys.argv[2])
"""
# All of the commands: each does no more than the demo's later steps need.
STAND_IN = f"""#!/bin/sh
name=${{0##*/}}
if [ "$name" = "$FAILING" ]; then seq -f 'line %.0f' 0 19; exit 3; fi
case $name/$2 in
  mrinfo/*) echo '== mrinfo 3.0.8-12-gabc =='; exit ;;
  sh2peaks/* | */fod_l0.nii.gz) exec '{sys.executable}' -c '{FINDS}' "$name" "$2" ;;
esac
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Path:
    """The folder of the stand-ins."""
    return scripts(tmp_path_factory.mktemp("mrtrix3") / "bin", dict.fromkeys(NAMES, STAND_IN))


def scripts(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def shell(tmp_path: Path, text: str, name: str = "command") -> dict:
    """What `run_command` needs to run one shell script called `name`."""
    folder = scripts(tmp_path / "shell", {name: f"#!/bin/sh\n{text}\n"})
    return {
        "folder": tmp_path,
        "environment": {"PATH": f"{folder}:/usr/bin:/bin"},
        "log": tmp_path / "the.log",
    }


def run(tmp_path: Path, commands: Path, **options):
    """Run the demo with the stand-ins; variables for them go into `told`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.pop("told", {}).items():
            patch.setenv(name, value)
        settings = {
            "bin": commands,
            "data": "phantom",
            "size": SIZE,
            "snr": 40,
            "seed": 0,
            "on_step": lambda step: None,
        }
        return run_demo(tmp_path / "demo", **settings | options)


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "demo" / "demo.log").read_text()
