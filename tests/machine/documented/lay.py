"""Lay out what the documentation presupposes: images in the folder this is run in, and a store with builds.

Compiling MRtrix3 takes half an hour. What is kept in the store as a build of 3.0.8 is therefore the distribution's
3.0.4, which calls itself 3.0.8 there, and as mrpeek a stand-in.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

from plugins.module_utils.provision.store import portable as portable
from plugins.module_utils.provision.store.pack import pack

OLD, NEW = b"3.0.4", b"3.0.8"
MRPEEK = "e6432bd6edcb"
SHAPE = (48, 48, 20)


def images() -> None:
    """Write what the pages show: volumes, an anatomical image, a map, FODs and tracks."""
    place = np.indices(SHAPE) - np.array([24, 24, 10]).reshape(3, 1, 1, 1)
    ball = (np.linalg.norm(place, axis=0) < 9).astype(np.float32)
    fods = np.zeros((*SHAPE, 6), np.float32)
    fods[(ball > 0) | (place[0] > 5)] = 0.28, 0, 0, -0.3, 0, 0.5
    series = np.stack([ball * 900 / volume for volume in range(1, 7)], axis=3)
    np.savetxt("dwi.bval", [[0, *[1000] * 5]], fmt="%d")
    np.savetxt("dwi.bvec", np.array([[0, 0, 0], *np.eye(3), [0.6, 0.8, 0], [0, 0.6, 0.8]]).T)
    for name, data in {"t1": ball * 100, "fa": ball, "mask": ball, "dwi": series, "wmfod": fods}.items():
        nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), np.eye(4)), f"{name}.nii.gz")
    for name, table in (("fa", []), ("dwi", ["-fslgrad", "dwi.bvec", "dwi.bval"]), ("wmfod", [])):
        subprocess.run(["mrconvert", "-quiet", "-force", f"{name}.nii.gz", f"{name}.mif", *table], check=True)
    line = np.stack([np.linspace(15, 33, 30), np.full(30, 24), np.full(30, 10)], axis=1)
    tracks = nibabel.streamlines.Tractogram([line], affine_to_rasmm=np.eye(4))
    nibabel.streamlines.save(tracks, "tracks.tck")


def mrtrix3(store: str) -> None:
    """Pack the distribution's MRtrix3, which calls itself a newer one."""
    folder = Path("/tmp/mrtrix3-build")
    shutil.copytree("/usr/lib/mrtrix3", folder, symlinks=True)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and OLD in (data := path.read_bytes()):
            path.write_bytes(data.replace(OLD, NEW))
    names = sorted(path.name for path in (folder / "bin").iterdir() if path.is_file() and os.access(path, os.X_OK))
    manifest = portable.describe(str(folder), "mrtrix3", NEW.decode(), "x86-64", names, [], build_seconds=1800)
    pack(str(folder), store, manifest)


def mrpeek(store: str) -> None:
    """Pack the stand-in, with the decoder of its pictures."""
    folder = Path("/tmp/mrpeek-build")
    (folder / "bin").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("mrpeek"), folder / "bin")
    (decoder,) = Path("/usr/lib").glob("*/libsixel.so.1")
    portable.bundle_libraries(str(folder), [str(decoder)])
    shutil.copy(decoder, folder / portable.BUNDLE / "libsixel.so.1")
    manifest = portable.describe(
        str(folder), "mrpeek", MRPEEK, "x86-64", ["mrpeek"], [], belongs_to="mrtrix3-3.0.8", build_seconds=11,
        repo="https://github.com/MRtrix3/mrpeek.git",
    )  # fmt: skip
    pack(str(folder), store, manifest)


images()
for place in sys.argv[1:]:
    mrtrix3(place)
    mrpeek(place)
    for name in ("mrtrix3", "mrpeek"):
        shutil.rmtree(f"/tmp/{name}-build")
