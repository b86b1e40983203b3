"""Print, as JSON, how far the peaks of FOD images are from the fibres of benchmarks/study_data.py, by kind of voxel.

angles.py FILE ...
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import nibabel
import numpy as np

from benchmarks.study_data import truth
from provision.pictures.angles import compare

directions = truth().directions
found = {}
with tempfile.TemporaryDirectory() as scratch:
    peaks = Path(scratch, "peaks.nii")
    for name in sys.argv[1:]:
        subprocess.run(["sh2peaks", "-quiet", "-force", "-num", "3", name, peaks], check=True)
        data = np.nan_to_num(nibabel.load(peaks).get_fdata()).reshape(*directions.shape[:3], -1, 3)
        found[name] = {kind: asdict(one) | {"passed": one.passed} for kind, one in compare(data, directions).items()}
print(json.dumps(found))
