"""The diffusion-weighted images of a BIDS folder, with their gradient tables."""

from __future__ import annotations

import os
from pathlib import Path

from provision import bids, paths
from provision.demo.sample import Sample
from provision.errors import OptionError

_SUFFIXES = ("_dwi.nii.gz", "_dwi.nii")


def scans(folder: str | os.PathLike) -> list[Sample]:
    """Find the diffusion-weighted images of a BIDS folder and their gradient tables.

    Parameters
    ----------
    folder : path-like
        The folder with the subjects, ``sub-01`` and so on, with or without sessions.

    Returns
    -------
    list of Sample
        One per image, sorted by name. ``name`` is such as ``sub-02_ses-1``.

    Raises
    ------
    OptionError
        If the folder does not exist, contains no such images, or an image has no gradient table, or several.

    Notes
    -----
    Gradient tables follow the inheritance principle of BIDS: a ``.bvec`` or ``.bval`` file may be beside its image or
    in any folder above it, up to `folder`. The nearest one whose name has no entity that the image lacks is used. Where
    several are in one folder, one must have all entities of the image.

    Examples
    --------
    >>> scans("study")  # doctest: +SKIP
    [sub-01: /content/study/sub-01/dwi/sub-01_dwi.nii.gz with gradients in /content/study/dwi.bvec and ...]
    """
    top = paths.absolute(folder)
    if not top.is_dir():
        hint = "Name the folder that contains sub-01, sub-02 and so on."
        raise OptionError(f"There is no folder {top}.", hint=hint, code="no-folder")
    images = sorted(path for path in top.glob("sub-*/**/*") if path.name.endswith(_SUFFIXES))
    if not images:
        raise OptionError(
            f"There are no diffusion-weighted images in {top}.",
            hint="BIDS names them sub-01/dwi/sub-01_dwi.nii.gz, or sub-01/ses-1/dwi/sub-01_ses-1_dwi.nii.gz.",
            code="no-file",
        )
    listing: dict[Path, list[Path]] = {}
    return [Sample(_name(image), image, *(_inherited(image, kind, top, listing) for kind in (".bvec", ".bval")))
            for image in images]  # fmt: skip


def _name(image: Path) -> str:
    return image.name.partition("_dwi.nii")[0]


def _inherited(image: Path, kind: str, top: Path, listing: dict[Path, list[Path]]) -> Path:
    """Return the file of a kind that applies to an image."""
    hint = f"Put {_name(image)}_dwi{kind} beside it, or dwi{kind}, for all images, into {top}."
    try:
        found = bids.inherited(image, _name(image), kind, top, listing)
    except OSError as error:
        raise OptionError(f"{error.filename} cannot be read: {error.strerror}.", code="no-file") from error
    except bids.Ambiguous as several:
        message = f"Several {kind} files apply to {image}: {several}."
        raise OptionError(message, hint=hint, code="no-file") from None
    if not found:
        raise OptionError(f"{image} has no {kind} file.", hint=hint, code="no-file")
    return found
