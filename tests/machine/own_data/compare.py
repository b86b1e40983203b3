"""Say how far what the notebook found of the made-up subjects is from what they were made of, as JSON.

Run in the folder with its results, by the project's Python.
"""

import json
import subprocess

import nibabel
import numpy as np

from provision.demo import bids
from provision.demo.phantom import Tissue
from provision.pictures.angles import peak_angles

KINDS = {"single": (Tissue.SINGLE, 1), "crossing": (Tissue.CROSSING, 2)}


def read(command: str) -> np.ndarray:
    """Return the image that a command writes, whose voxels are in the order of the truth."""
    subprocess.run(f"{command} /tmp/image.nii -quiet -force", shell=True, check=True)
    return nibabel.load("/tmp/image.nii").get_fdata()


found = {}
for seed, name in enumerate(bids.SCANS):
    truth = bids.make_scan(seed)
    fa = read(f"mrconvert {name}/fa.mif -strides 1,2,3")
    peaks = read(f"sh2peaks -num 3 {name}/wmfod.mif").reshape(*truth.tissue.shape, -1, 3)
    found[name] = {"FA grey": float(np.median(fa[truth.tissue == Tissue.GREY]))}
    for kind, (tissue, fibres) in KINDS.items():
        here = truth.tissue == tissue
        angles = peak_angles(np.nan_to_num(peaks[here]), truth.directions[here][:, :fibres])
        found[name] |= {kind: float(np.median(angles)), f"FA {kind}": float(np.median(fa[here]))}
for tissue in ("wm", "gm", "csf"):
    found[tissue] = np.loadtxt(f"{tissue}.txt", ndmin=2)[:, 0].tolist()
print(json.dumps(found))
