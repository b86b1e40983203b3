"""A small BIDS folder: two simulated subjects, three scans, and one gradient table for all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from provision.demo.phantom import Phantom, make_phantom

SCANS = ("sub-01", "sub-02_ses-1", "sub-02_ses-2")
"""Subject and session of each scan; the second subject has two sessions."""

SHAPE = (18, 18, 12)
"""Voxels of each scan: with fewer, ``dwi2response dhollander`` finds fewer than two for grey matter."""

_DESCRIPTION_FILE = "dataset_description.json"
_DESCRIPTION = json.dumps({"Name": "A made-up phantom", "BIDSVersion": "1.9.0", "DatasetType": "raw"}, indent=2) + "\n"


def image_of(name: str) -> Path:
    """Return the path of a scan's image in the BIDS folder."""
    return Path(*name.split("_"), "dwi", f"{name}_dwi.nii.gz")


def write(folder: Path) -> None:
    """Write the folder; the gradient table and the true directions are at the top, and apply to all images."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _DESCRIPTION_FILE).write_text(_DESCRIPTION, encoding="utf-8")
    for seed, name in enumerate(SCANS):
        scan = make_scan(seed)
        (folder / image_of(name)).parent.mkdir(parents=True, exist_ok=True)
        scan.write_image(folder / image_of(name))
        scan.write_gradients(folder / "dwi.bvec", folder / "dwi.bval")
    scan.write_truth(folder / "truth.nii.gz")
    (folder / ".bidsignore").write_text("truth.nii.gz\n", encoding="utf-8")


def make_scan(seed: int) -> Phantom:
    """Return one scan: b = 0, 16 directions at b = 1000 and 64 at b = 2000 s/mm²."""
    whole = make_phantom(SHAPE, seed=seed)
    shells = np.round(whole.bvals, -2)
    kept = (shells == 0) | (shells == 2000)
    kept[np.flatnonzero(shells == 1000)[::4]] = True
    return replace(whole, data=whole.data[..., kept], bvals=whole.bvals[kept], bvecs=whole.bvecs[kept])


def is_ours(folder: Path) -> bool:
    """Return whether `write` has written a folder, at least its first file."""
    description = folder / _DESCRIPTION_FILE
    return description.is_file() and description.read_text(encoding="utf-8", errors="replace") == _DESCRIPTION
