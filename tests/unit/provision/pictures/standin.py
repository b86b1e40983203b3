"""A stand-in for MRtrix3's commands, in this process and for NIfTI alone, so that drawing is tested without MRtrix3.

What the real commands make of odd files is tested on a machine that has them (tests/machine/test_pictures.py).
"""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

from provision.errors import OptionError
from provision.pictures import mrtrix3


class StandIn:
    """The commands, and how they were called."""

    def __init__(self):
        self.calls = []
        self.tables = {}  # further entries of a header, by the file's name
        self.counts = {}  # the number of tracks that a file's header gives, by the file's name
        self._made = {}

    def command(self, name):
        return Path("/standin", name)

    def run(self, name, *arguments, of, folder, known=None):
        arguments = [str(one) for one in arguments]
        self.calls.append([name, *arguments])
        return getattr(self, f"_{name}")(arguments, of) or ""

    def _opened(self, path, of):
        """Return values and affine with the axes nearest to right, front and up."""
        if path in self._made:
            return self._made[path]
        try:
            image = nibabel.load(path)
        except nibabel.filebasedimages.ImageFileError as error:
            raise OptionError(f"MRtrix3 cannot read {of}: unknown format.", code="unknown-format") from error
        values = np.asanyarray(image.dataobj)
        if values.ndim < 3:
            values = values.reshape(values.shape + (1,) * (3 - values.ndim))
        axes = io_orientation(image.affine)
        return apply_orientation(values, axes), image.affine @ inv_ornt_aff(axes, values.shape[:3])

    def _mrinfo(self, arguments, of):
        if "-dwgrad" in arguments:
            return self._table(arguments)
        path, place = arguments[0], arguments[arguments.index("-json_all") + 1]
        values, affine = self._opened(path, of)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        whole = values.dtype.kind in "bui"
        about = {
            "size": list(values.shape), "spacing": [*map(float, spacing), *[1.0] * (values.ndim - 3)],
            "datatype": "CFloat32LE" if values.dtype.kind == "c" else "Int16LE" if whole else "Float32LE",
            "transform": (affine @ np.diag([*(1 / spacing), 1])).tolist(), "keyval": self.tables.get(Path(path).name),
        }  # fmt: skip
        Path(place).write_text(json.dumps(about))
        return None

    def _table(self, arguments):
        """Return the gradient table and its shells as mrinfo prints them; the directions stay as they are."""
        if "-fslgrad" in arguments:
            bvecs, bvals = arguments[arguments.index("-fslgrad") + 1 :][:2]
            rows = np.column_stack([np.loadtxt(bvecs).T, np.loadtxt(bvals)])
        else:
            rows = np.array(self.tables[Path(arguments[0]).name]["dw_scheme"], float)
        rounded = np.round(rows[:, 3], -2)
        groups = [np.flatnonzero(rounded == bvalue) for bvalue in np.unique(rounded)]
        lines = [" ".join(map(str, row)) for row in rows]
        lines.append(" ".join(str(rows[group, 3].mean()) for group in groups))
        lines.append(" ".join(",".join(map(str, group)) for group in groups))
        return "\n".join(lines)

    def _dwi2mask(self, arguments, of):
        path, place = [one for one in arguments if one.endswith((".mih", ".mif"))][:2]
        values, affine = self._opened(path, of)
        self._write(place, values.mean(axis=-1) > 50, affine)
        Path(place).touch()

    def _mrconvert(self, arguments, of):
        path, place, *options = arguments
        values, affine = self._opened(path, of)
        while "-coord" in options:
            at = options.index("-coord")
            axis, which = int(options[at + 1]), [int(one) for one in options[at + 2].split(",")]
            values = values.take(which, axis=axis)
            del options[at : at + 3]
        self._write(place, values, affine)

    def _mrtransform(self, arguments, of):
        from scipy.ndimage import map_coordinates

        values, affine = self._opened(arguments[0], of)
        shape, there = (lambda image, affine: (image.shape[:3], affine))(
            *self._opened(arguments[arguments.index("-template") + 1], of)
        )
        matrix = np.linalg.inv(affine) @ there
        order = 0 if arguments[arguments.index("-interp") + 1] == "nearest" else 1
        places = np.tensordot(matrix[:3, :3], np.indices(shape), 1) + matrix[:3, 3, None, None, None]
        # Up to the outer edges of the image, the value is that of the nearest voxel.
        edges = np.subtract(values.shape[:3], 0.5)[:, None, None, None]
        inside = ((places >= -0.5 - 1e-6) & (places <= edges + 1e-6)).all(axis=0)
        parts = [
            np.where(inside, map_coordinates(part.astype(float), places, order=order, mode="nearest"), 0)
            for part in np.moveaxis(values.reshape(*values.shape[:3], -1), -1, 0)
        ]
        result = np.stack(parts, -1).reshape(*shape, *values.shape[3:])
        self._write(arguments[1], result, there)

    def _tckinfo(self, arguments, of):
        return f"***\n    count:                {self.counts.get(Path(arguments[0]).name, 0)}\n"

    def _tckconvert(self, arguments, of):
        path, place = arguments
        try:
            nibabel.streamlines.save(nibabel.streamlines.load(path).tractogram, place)
        except Exception as error:
            raise OptionError(f"MRtrix3 cannot read {of}: invalid first line.", code="bad-image") from error

    def _write(self, place, values, affine):
        if place.endswith(".mih"):
            data = np.asarray(values, "<f4").tobytes(order="F")
            Path(place).with_suffix(".dat").write_bytes(data)
        self._made[place] = values, affine


@pytest.fixture
def mrtrix(monkeypatch):
    """MRtrix3's commands, as far as reading NIfTI and plain tracks goes."""
    standin = StandIn()
    monkeypatch.setattr(mrtrix3, "run", standin.run)
    monkeypatch.setattr(mrtrix3, "command", standin.command)
    return standin
