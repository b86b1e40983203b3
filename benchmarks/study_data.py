#!/usr/bin/env python3
"""A study of phantom subjects in BIDS, some of them wrong in a known way, for measurements and tests of a whole study.

    python benchmarks/study_data.py FOLDER [--subjects 12]

One gradient table at the top is inherited by all but two subjects. The second and third subject have two sessions. The
last three are: an image that ends early, b-vectors with two axes swapped, and a single shell.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from provision.demo import bids
from provision.demo.phantom import Phantom

FEWEST = 5


@dataclass(frozen=True)
class Study:
    """The names of the series, such as ``sub-02_ses-1``, by what is to become of them."""

    folder: Path
    right: tuple[str, ...]  # multi-shell, to be processed
    single_shell: str  # b = 0 and 2000 s/mm², to be processed without grey matter
    corrupt: str  # its image ends early
    swapped: str  # the first two axes of its b-vectors are swapped

    @property
    def processed(self) -> tuple[str, ...]:
        """All that can be processed."""
        return (*self.right, self.single_shell)


def write(folder: Path, subjects: int = 12) -> Study:
    """Write the dataset; the same number of subjects gives the same bytes.

    All series have the tissue and the directions of `truth`; their noise differs.
    """
    if subjects < FEWEST:
        raise ValueError(f"At least {FEWEST} subjects are needed: {subjects}.")
    folder.mkdir(parents=True, exist_ok=True)
    description = {"Name": "Phantom subjects", "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    labels = [f"sub-{number:02d}" for number in range(1, subjects + 1)]
    *right, corrupt, swapped, single = labels
    right = [name for label in right for name in _sessions(label, labels)]
    for seed, name in enumerate([*right, corrupt, swapped, single]):
        scan = bids.make_scan(seed)
        image = folder / bids.image_of(name)
        image.parent.mkdir(parents=True, exist_ok=True)
        if name == single:
            scan = _one_shell(scan)
        scan.write_image(image)
        if name == swapped:
            scan = replace(scan, bvecs=scan.bvecs[:, [1, 0, 2]])
        own = name in (swapped, single)
        stem = image.parent / f"{name}_dwi" if own else folder / "dwi"
        scan.write_gradients(stem.with_suffix(".bvec"), stem.with_suffix(".bval"))
        if name == corrupt:
            whole = image.read_bytes()
            image.write_bytes(whole[: len(whole) // 2])
    return Study(folder, tuple(right), single, corrupt, swapped)


def truth() -> Phantom:
    """Return a scan with the tissue and the directions of every series."""
    return bids.make_scan(0)


def _sessions(label: str, labels: list[str]) -> list[str]:
    return [f"{label}_ses-1", f"{label}_ses-2"] if label in labels[1:3] else [label]


def _one_shell(scan: Phantom) -> Phantom:
    """Return the b=0 volumes and those of the shell at 2000 s/mm²."""
    shells = np.round(scan.bvals, -2)
    kept = (shells == 0) | (shells == 2000)
    return replace(scan, data=scan.data[..., kept], bvals=scan.bvals[kept], bvecs=scan.bvecs[kept])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--subjects", type=int, default=12)
    chosen = parser.parse_args()
    print(write(chosen.folder, chosen.subjects))
