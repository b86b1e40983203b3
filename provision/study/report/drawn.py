"""What is measured and drawn of a series, as far as its files allow."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from provision import extras
from provision.errors import OptionError, ProvisionError, unexpected
from provision.pictures import mrtrix3
from provision.study.report.gathered import DONE, Series
from provision.words import printable

if TYPE_CHECKING:
    import numpy as np

    from provision.pictures.angles import Angles
    from provision.pictures.picture import Picture
    from provision.pictures.quality import Quality
    from provision.pictures.reader import Header

    Drawing: TypeAlias = Picture | ProvisionError

TRUTH = "truth.nii.gz"
"""The name of a file of true directions, in the layout of sh2peaks; a series' own is NAME_truth.nii.gz."""

_PEAKS, _MOST_VOXELS = 3, 5000
_SIZE = 900  # pixels
# A row of dwigradcheck's table: mean length in mm, axis flipped, axis permutation, axis basis.
_ROW = re.compile(r"^\s*(\d+\.?\d*)\s+(none|[012])\s+\(([012]), ([012]), ([012])\)\s+(\w+)", re.M)
# Of the longest mean length: from there on the table as it is may be right. Mirror images of the phantom, which is
# symmetric, differ by 0.87; swapped axes by 0.64.
_NEAR = 0.75
_LONGEST = 60


@dataclass
class Drawn:
    """Pictures and numbers of a series; the error takes the place of what there is not.

    Attributes
    ----------
    pictures : dict of str to Picture or ProvisionError
        ``"b0"``, ``"glyphs"`` and ``"quality"``.
    lines : list of str
        What the quality says, as sentences.
    snr : float, optional
        The signal-to-noise ratio at b=0.
    outliers : tuple of int, optional
        The number of slices that are outliers, and of the volumes that they are in.
    angles : dict of str to Angles, or ProvisionError
        Empty if the truth is not known.
    warnings : list of str
        What MRtrix3 says is odd.
    """

    pictures: dict[str, Drawing] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    snr: float | None = None
    outliers: tuple[int, int] | None = None
    angles: dict[str, Angles] | ProvisionError = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def draw(series: Series, out: Path) -> Drawn:
    """Draw and measure what there is of a series."""
    drawn = Drawn()
    with tempfile.TemporaryDirectory(prefix="provision-report-") as folder, warnings.catch_warnings(record=True) as odd:
        warnings.simplefilter("always", mrtrix3.ImageWarning)
        mean = Path(folder, f"{series.name} mean b=0.nii")
        measured = _tried(lambda: _measured(series, mean))
        if isinstance(measured, ProvisionError):
            drawn.pictures["b0"] = drawn.pictures["quality"] = measured
        else:
            _add_quality(drawn, measured, mean, series.output("mask"))
        drawn.pictures["glyphs"] = _tried(lambda: _glyphs(series, mean))
        drawn.angles = _tried(lambda: _angles(series, out, Path(folder)))
    drawn.warnings = sorted({printable(str(one.message)) for one in odd if one.category is mrtrix3.ImageWarning})
    return drawn


def check_of(series: Series) -> tuple[str, str, str]:
    """Return what the check of a series' gradients found, as `checked` does."""
    record = series.record("gradients")
    if record and record.state != DONE:
        return "", record.state, "fail"
    return checked(series.output("gradients"))


def checked(path: Path | None) -> tuple[str, str, str]:
    """Return what the check of the gradients printed, its result in short, and how that looks.

    Examples
    --------
    >>> checked(None)
    ('', '', '')
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path else ""
    except OSError as error:
        return "", printable(f"{path.name if path else ''}: {error.strerror}"), "warn"
    with suppress(ValueError):
        said = json.loads(text)
        if isinstance(said, dict) and isinstance(said.get("passed"), bool):
            return _own_check(said)
    rows = [
        (float(row[1]), row[2] == "none" and row.group(3, 4, 5) == ("0", "1", "2"), row) for row in _ROW.finditer(text)
    ]
    if not rows:
        first = printable(next((line for line in text.splitlines() if line.strip()), ""))
        return text, first if len(first) <= _LONGEST else f"{first[:_LONGEST]} ...", ""
    best, is_plain, row = max(rows, key=lambda row: row[0])
    if is_plain:
        return text, "as stored", "pass"
    plain = max((length for length, plain, _ in rows if plain), default=0.0)
    change = f"axis {row[2]} flipped" if row[2] != "none" else f"axes {', '.join(row.group(3, 4, 5))}"
    share = plain / best if best else 0.0
    if share >= _NEAR:
        return text, f"as stored, or {change} ({share:.0%})", "warn"
    return text, f"{change}, not as stored ({share:.0%})", "fail"


def _own_check(said: dict[str, Any]) -> tuple[str, str, str]:
    """Return what `provision.study.gradient_check` found."""
    text = json.dumps(said, indent=1)
    if not said.get("scores"):
        return text, "not judged: too few voxels have a direction", "warn"
    if said["passed"]:
        return text, "as stored", "pass"
    return text, printable(f"{said.get('best')}, not as stored"), "fail"


def _tried(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ProvisionError as error:
        return error
    except Exception as error:  # whatever a damaged file causes, the rest of the page is still of use
        return unexpected(error)


def _measured(series: Series, mean: Path) -> Quality:
    """Measure the series, and write its mean at b=0."""
    from provision.pictures import quality
    from provision.pictures.reader import Reader

    extras.require("view", "Pictures of a study", "nibabel", "matplotlib")
    dwi, bvals, bvecs = series.input("dwi"), series.table("bval"), series.table("bvec")
    if dwi is None:
        raise OptionError("No record says which images the series has.", code="no-file")
    found = quality.measure(dwi, bvals=bvals, bvecs=bvecs, mask=series.output("mask"))
    if bzero := [volume for shell in found.shells if shell.bvalue <= quality.BZERO for volume in shell.volumes]:
        with Reader(dwi) as reader:
            _save(reader.read(bzero).mean(axis=-1), reader.header, mean)
    return found


def _add_quality(drawn: Drawn, measured: Quality, mean: Path, mask: Path | None) -> None:
    import numpy as np

    from provision.pictures import qc
    from provision.pictures.peek import peek

    drawn.lines, drawn.snr = measured.lines(), measured.snr
    if not np.isnan(measured.scores).all():
        drawn.outliers = (sum(map(len, measured.outliers.values())), len(measured.outliers))
    drawn.pictures["quality"] = _tried(lambda: qc.draw(measured, _SIZE))
    if mean.exists():
        drawn.pictures["b0"] = _tried(lambda: peek(mean, overlay=mask, crosshair=False, size=_SIZE))
    else:
        drawn.pictures["b0"] = OptionError("The series has no volume at b=0.", code="nothing-to-show")


def _save(values: np.ndarray, header: Header, path: Path) -> None:
    import nibabel
    import numpy as np

    nibabel.save(nibabel.Nifti1Image(np.asarray(values, np.float32), header.affine), path)


def _fod(series: Series) -> Path:
    path = series.output("normalised_wm", "fod_wm")
    if path is None:
        raise OptionError("There are no FODs.", code="no-file")
    return path


def _glyphs(series: Series, mean: Path) -> Picture:
    from provision.pictures.glyphs import glyphs

    return glyphs(_fod(series), kind="fod", background=mean if mean.exists() else None, size=_SIZE)


def _angles(series: Series, out: Path, folder: Path) -> dict[str, Angles]:
    """Return the angles between the peaks of the FODs and the true fibres; empty if these are not known."""
    truth = next((place for place in _truths(series, out) if place.is_file()), None)
    if truth is None or series.output("normalised_wm", "fod_wm") is None:
        return {}
    import numpy as np

    from provision.pictures.angles import compare
    from provision.pictures.reader import Reader

    fod, peaks, mask = _fod(series), folder / "peaks.mif", folder / "fibres.nii"
    with Reader(truth) as known, Reader(fod) as image:
        header = known.header
        if header.volumes != 6:
            raise OptionError(f"{truth} has {header.volumes} volumes instead of 6.", code="wrong-image")
        if image.header.shape[:3] != header.shape[:3] or not np.allclose(image.header.affine, header.affine, atol=1e-3):
            raise OptionError(f"{truth} is not on the grid of {fod.name}.", code="wrong-image")
        directions = np.nan_to_num(known.read()).reshape(*header.shape[:3], 2, 3)
    fibres = directions.any(axis=(3, 4))
    directions[fibres & ~_some(fibres)] = 0
    _save(_some(fibres), header, mask)
    mrtrix3.run("sh2peaks", fod, peaks, "-num", str(_PEAKS), "-mask", mask, of=fod.name, folder=folder)
    with Reader(peaks) as found:
        return compare(found.read().reshape(*header.shape[:3], _PEAKS, 3), directions)


def _some(voxels: np.ndarray) -> np.ndarray:
    """Return some of the voxels, evenly spread: sh2peaks takes half a millisecond for each."""
    import numpy as np

    places = np.flatnonzero(voxels)
    chosen = np.zeros_like(voxels)
    chosen.flat[places[:: max(1, -(-len(places) // _MOST_VOXELS))]] = True
    return chosen


def _truths(series: Series, out: Path) -> Iterator[Path]:
    """Yield where the truth may be: the folders of the output and the image, and those above, up to the data set's."""
    for start in filter(None, (series.output("normalised_wm", "fod_wm"), series.input("dwi"))):
        for place in start.parents:
            yield from (place / f"{series.name}_{TRUTH}", place / TRUTH)
            if place == out or (place / "dataset_description.json").is_file():
                break
