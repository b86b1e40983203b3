"""Which files of a BIDS folder apply to an image."""

from __future__ import annotations

from pathlib import Path

_KINDS = ("dwi.bval", "dwi.bvec", "dwi.json")


class Ambiguous(Exception):
    """Several files of a kind apply to an image; its text is their names."""


def visible(place: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing hidden, such as the ``._*`` files of macOS.

    Nothing is in one that is not there. One that cannot be read is an OSError: its content would be left out unnoticed.
    """
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def inherited(image: Path, name: str, suffix: str, top: Path, listing: dict[Path, list[Path]]) -> Path | None:
    """Return the nearest file of a kind that applies to a diffusion image, by BIDS's inheritance principle.

    Parameters
    ----------
    image : pathlib.Path
        The image.
    name : str
        Its name without ``_dwi.nii.gz``, such as ``"sub-01_ses-1"``.
    suffix : {".bval", ".bvec", ".json"}
        The kind of file.
    top : pathlib.Path
        The dataset.
    listing : dict of pathlib.Path to list of pathlib.Path
        What is known of folders; it is added to.

    Returns
    -------
    pathlib.Path or None
        A file beside the image or in a folder above it, all of whose entities the image has.

    Raises
    ------
    Ambiguous
        If several in one folder apply, and none of them has all entities of the image. The BIDS validator refuses that.
    """
    entities = {*name.split("_"), "dwi"}
    for place in image.parents:
        if place not in listing:
            listing[place] = [path for path in visible(place) if path.name.endswith(_KINDS)]
        candidates = {path: set(path.stem.split("_")) for path in listing[place] if path.suffix == suffix}
        fitting = {path: of_it for path, of_it in candidates.items() if of_it <= entities}
        exact = [path for path, of_it in fitting.items() if of_it == entities]
        if len(fitting) > 1 and not exact:
            raise Ambiguous(", ".join(path.name for path in fitting))
        if fitting:
            return (exact or list(fitting))[0]
        if place == top:
            break
    return None
