"""Files of tracks, MRtrix3's own and those of other programs."""

import gzip
import io

import nibabel
import numpy as np

LINES = [np.array([[0, 0, 0], [1, 0, 0], [2, 0.5, 0]], np.float32), np.array([[0, 1, 0], [0, 2, 1]], np.float32)]


def tck(path, lines=LINES):
    """Write tracks as MRtrix3 does."""
    tractogram = nibabel.streamlines.Tractogram(lines, affine_to_rasmm=np.eye(4))
    nibabel.streamlines.TckFile(tractogram).save(str(path))
    return path


def streamlines(name: str) -> bytes:
    """A file of tracks as its own program writes it."""
    stream = io.BytesIO()
    if ".trk" in name:
        tractogram = nibabel.streamlines.Tractogram([np.eye(3, dtype=np.float32)], affine_to_rasmm=np.eye(4))
        nibabel.streamlines.TrkFile(tractogram).save(stream)
    elif ".tt" in name:
        from scipy.io import savemat

        savemat(stream, {"dimension": [3, 4, 5], "track": np.arange(20, dtype=np.uint8)}, format="4")
    else:
        import zipfile

        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("header.json", "{}")
    content = stream.getvalue()
    return gzip.compress(content) if name.endswith(".gz") else content
