"""What an image and its gradient table show before anything is computed."""

from __future__ import annotations

import gzip
import json
import math
import os
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.errors import OptionError
from provision.pictures import mrtrix3
from provision.words import format_bytes

if TYPE_CHECKING:
    import numpy as np

# As MRtrix3 3.0.8 has them: core/dwi/shells.h (DWI_SHELLS_EPSILON, DWI_SHELLS_MIN_LINKAGE) and core/dwi/gradient.h
# (DWI_BZERO_THRESHOLD_DEFAULT).
BZERO = 10.0
"""The largest b-value in s/mm² of a volume without diffusion weighting."""
EPSILON = 80.0
"""B-values that differ by less, in s/mm², are of one shell."""
_LINKAGE = 3
FEWEST = 6
"""Gradient directions that are needed: a tensor has six numbers."""
_ROUNDED = 50
_LARGEST_FILE, _LARGEST_NUMBER = 10_000_000, 1e6
_CHUNK = 1 << 20


class Problem(Exception):
    """One sentence: why a series cannot be processed."""


def check_content(path: Path) -> None:
    """Refuse a file of git-annex or DataLad whose content has not been fetched, and an unreadable or empty one."""
    try:
        with path.open("rb") as file:
            start = file.read(1000)
    except FileNotFoundError:
        raise Problem(f"The content of {path.name} is missing: run 'datalad get {path}'.") from None
    except OSError as error:
        raise Problem(f"{path.name} cannot be read: {error.strerror}.") from None
    if start.startswith(b"/annex/objects/"):  # an unlocked file
        raise Problem(f"The content of {path.name} is missing: run 'datalad get {path}'.")
    if not start:
        raise Problem(f"{path.name} is empty.")


def read_numbers(path: Path) -> np.ndarray:
    """Return a text file of numbers, shape (rows, columns), as MRtrix3 reads it (core/math/math.h)."""
    import numpy as np

    check_content(path)
    if path.stat().st_size > _LARGEST_FILE:
        raise Problem(f"{path.name} is too large for a gradient table ({format_bytes(path.stat().st_size)}).")
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    lines = (line.partition("#")[0].translate(str.maketrans(",;", "  ")).split() for line in text.split("\n"))
    rows = [[_number(word, path) for word in words] for words in lines if words]
    if not rows:
        raise Problem(f"{path.name} contains no numbers.")
    if len({len(row) for row in rows}) > 1:
        raise Problem(f"The rows of {path.name} differ in length.")
    return np.array(rows)


def _number(word: str, path: Path) -> float:
    try:
        number = float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        number = math.nan
    if abs(number) <= _LARGEST_NUMBER:
        return number
    # MRtrix3 3.0.8 takes NaN for b=0, 3.0.3 computes with it and fails.
    advice = "; a b=0 volume has the direction 0 0 0" if word.lower() == "nan" else ""
    raise Problem(f"{path.name} contains {word[:20]!r}, which is not a usable number{advice}.")


def read_gradients(bval: Path, bvec: Path | None) -> np.ndarray:
    """Return the table of a pair of files, x y z b per volume, shape (V, 4), along the axes of the image.

    B-vectors are zero without a file of them, and where all is b=0, whose own or inherited ones say nothing.
    """
    import numpy as np

    b = read_numbers(bval)
    if 1 not in b.shape:
        raise Problem(f"{bval.name} must have one row or one column, not {b.shape[0]} x {b.shape[1]} numbers.")
    b = b.reshape(-1)
    if bvec is None or b.max() <= BZERO:
        return np.column_stack([np.zeros((len(b), 3)), b])
    directions = read_numbers(bvec)
    # MRtrix3 takes both orders (load_bvecs_bvals of core/dwi/gradient.cpp); of three by three, rows are axes.
    if directions.shape[0] == 3:
        directions = directions.T
    if directions.shape[1] != 3:
        raise Problem(f"{bvec.name} must have three rows or three columns.")
    if len(b) != len(directions):
        raise Problem(f"{bval.name} has {len(b)} b-values, but {bvec.name} has {len(directions)} directions.")
    return np.column_stack([directions, b])


def scaled(table: np.ndarray) -> np.ndarray:
    """Return the table with unit vectors, and b-values scaled by the squares of their lengths where these differ."""
    import numpy as np

    # get_DW_scheme of MRtrix3's core/dwi/gradient.cpp, with its default -bvalue_scaling.
    squares = (table[:, :3] ** 2).sum(axis=1)
    some = squares > 0
    b = table[:, 3]
    if some.any() and np.abs(np.log(squares[some])).max() > 0.01:
        b = b * squares
    return np.column_stack([table[:, :3] / np.sqrt(np.where(some, squares, 1))[:, np.newaxis], b])


def shells(table: np.ndarray) -> tuple[int, ...]:
    """Return the b-values of the shells of a scaled table, rounded to 50 s/mm²; 0 first where there are b=0 volumes."""
    import numpy as np

    # clusterBvalues of MRtrix3's core/dwi/shells.cpp. Sorted, its clusters are runs without a gap; a volume near fewer
    # than three others starts none.
    b = np.sort(table[:, 3])
    weighted = b[b > BZERO]
    runs = np.split(weighted, np.flatnonzero(np.diff(weighted) >= EPSILON) + 1)
    means = [run.mean() for run in runs if len(run) >= _LINKAGE]
    rounded = sorted({max(_ROUNDED, _ROUNDED * round(mean / _ROUNDED)) for mean in means})
    return (0, *rounded) if len(weighted) < len(b) else tuple(rounded)


def check_table(table: np.ndarray) -> None:
    """Refuse a scaled table of which no fibre directions can be computed."""
    import numpy as np

    if table[:, 3].min() < 0:
        raise Problem("There are negative b-values.")
    weighted = table[table[:, 3] > BZERO]
    undirected = int((~weighted[:, :3].any(axis=1)).sum())
    if undirected:
        raise Problem(f"{undirected} of the diffusion-weighted volumes have no gradient direction.")
    if len(weighted) == len(table):
        raise Problem("There is no b=0 volume.")
    # Opposite directions are the same, and so are those less than a degree apart.
    same = np.tril(np.abs(weighted[:, :3] @ weighted[:, :3].T) > math.cos(math.radians(1)), -1)
    directions = int((~same.any(axis=1)).sum())
    if directions < FEWEST:
        raise Problem(f"There are only {directions} gradient directions; at least {FEWEST} are needed.")
    found = shells(table)
    if len(found) < 2 or len(found) > math.sqrt(len(table)):  # the limit of MRtrix3
        raise Problem("The b-values do not form shells.")


def count_volumes(image: Path) -> int:
    """Return the number of volumes of a NIfTI image; refuse one that is damaged or ends early.

    The compressed data are not read: that a file is whole shows in the size that gzip stores at its end. A changed byte
    in the middle is left to MRtrix3, which reads everything anyway.
    """
    import nibabel

    check_content(image)
    try:
        # By its types nibabel's image may have no array.
        opened: Any = nibabel.load(image)
        shape = [int(side) for side in opened.shape]
        expected = int(opened.dataobj.offset) + math.prod(shape) * opened.get_data_dtype().itemsize
    except Exception as error:  # whatever nibabel makes of damaged headers
        reason = " ".join(str(error).split())[:120].replace(str(image), image.name).rstrip(".")
        raise Problem(f"{image.name} is damaged or not an image: {reason or type(error).__name__}.") from None
    if min(shape, default=0) < 1 or any(side > 1 for side in shape[4:]):
        raise Problem(f"{image.name} has the size {' x '.join(map(str, shape))}, but must have four dimensions.")
    whole = _holds(image, expected) if image.suffix == ".gz" else image.stat().st_size >= expected
    if not whole:
        raise Problem(
            f"{image.name} is truncated or damaged: it does not hold the {format_bytes(expected)} of its size."
        )
    return shape[3] if len(shape) > 3 else 1


def _holds(image: Path, expected: int) -> bool:
    """Return whether a gzip file holds as many bytes, or more."""
    with image.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(4), "little") == expected % 2**32:
            return True
    # Truncated, longer, or several streams in a row, as bgzip writes them: only reading shows which.
    total = 0
    try:
        with gzip.open(image) as stream:
            while total < expected and (chunk := stream.read(_CHUNK)):
                total += len(chunk)
    except (EOFError, OSError, zlib.error):
        return False
    return total >= expected


def read_mif(image: Path) -> tuple[int, np.ndarray | None]:
    """Return the number of volumes of an image that MRtrix3 reads, and the gradient table in its header, if any."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="provision-study-") as scratch:
        header = Path(scratch, "header.json")
        try:
            mrtrix3.run("mrinfo", image, "-json_all", header, of=image.name, folder=Path(scratch))
        except OptionError as error:
            raise Problem(error.message) from None
        about = json.loads(header.read_text("utf-8", errors="replace"))
    size = about["size"]
    if any(side > 1 for side in size[4:]):
        raise Problem(f"{image.name} has the size {' x '.join(map(str, size))}, but must have four dimensions.")
    table = (about.get("keyval") or {}).get("dw_scheme")
    if table is None:
        return (size[3] if len(size) > 3 else 1), None
    rows = np.array(table, float)
    if rows.ndim != 2 or rows.shape[1] < 4 or not (np.abs(rows) <= _LARGEST_NUMBER).all():
        raise Problem(f"The gradient table in the header of {image.name} is damaged.")
    return (size[3] if len(size) > 3 else 1), rows[:, :4]
