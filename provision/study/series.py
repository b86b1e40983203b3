"""placeholder"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Series:
    subject: str
    session: str
    name: str
    image: Path
    bval: Path | None
    bvec: Path | None
    shells: tuple
    problem: str = ""
    sidecar: Path | None = None

    @property
    def folder(self):
        return "/".join(filter(None, (f"sub-{self.subject}", self.session and f"ses-{self.session}", "dwi")))


def from_bids(folder, subjects=(), sessions=()):
    found = []
    for image in sorted(Path(folder).glob("sub-*/**/*_dwi.nii.gz")):
        name = image.name.removesuffix("_dwi.nii.gz")
        sub = name.split("_")[0][4:]
        ses = next((p[4:] for p in name.split("_") if p.startswith("ses-")), "")
        if subjects and sub not in subjects:
            continue
        bval = Path(folder, "dwi.bval")
        bvec = Path(folder, "dwi.bvec")
        sh = sorted({round(float(x) / 100) * 100 for x in bval.read_text().split()})
        found.append(Series(sub, ses, name, image, bval, bvec, tuple(sh)))
    return found


def from_pattern(*a):
    raise NotImplementedError
