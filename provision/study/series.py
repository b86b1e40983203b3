"""The diffusion series of a dataset: a BIDS folder, or any folder whose paths follow a pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import bids, extras, paths
from provision.errors import OptionError, unknown
from provision.study import checks
from provision.study.worker import is_gone

if TYPE_CHECKING:
    import numpy as np

_NIFTI = (".nii.gz", ".nii")
_DWI = tuple(f"_dwi{end}" for end in _NIFTI)
_IMAGES = (*_NIFTI, ".mif.gz", ".mif")
_LABEL = "[0-9A-Za-z+]+"  # as BIDS allows
_PARTS = re.compile("_part-(phase|real|imag)(_|$)")
_CAPITALS = "must end in small letters, as in dwi.nii.gz: rename it."


@dataclass(frozen=True)
class Series:
    """One diffusion series of one subject.

    Attributes
    ----------
    subject, session : str
        Labels without ``sub-`` and ``ses-``; the session is empty where there are none.
    name : str
        The prefix of its outputs, unique in the dataset: ``sub-01_ses-1_dir-AP``.
    image : pathlib.Path
        The image, an absolute path.
    bval, bvec : pathlib.Path or None
        Its gradient table in FSL's format; None where the image has the table itself, or there is none.
    shells : tuple of int
        The b-values of its shells, rounded to 50 s/mm², 0 first: ``(0, 1000, 2000)``.
    problem : str
        One sentence: why it cannot be processed; empty if it can.
    note : str
        One sentence: why it is left out, which is not a failure (b=0 volumes only, or phase images); mostly empty.
    sidecar : pathlib.Path or None
        The nearest JSON file that applies to it; fields of others further up are not in it.
    """

    subject: str
    session: str
    name: str
    image: Path
    bval: Path | None = None
    bvec: Path | None = None
    shells: tuple[int, ...] = ()
    problem: str = ""
    note: str = ""
    sidecar: Path | None = None

    @property
    def folder(self) -> str:
        """The folder of its outputs in that of the study: ``sub-01/ses-1/dwi``."""
        session = [f"ses-{self.session}"] if self.session else []
        return "/".join([f"sub-{self.subject}", *session, "dwi"])


def from_bids(folder: str | os.PathLike, subjects: Sequence[str] = (), sessions: Sequence[str] = ()) -> list[Series]:
    """Find the diffusion series of a BIDS folder, and what is wrong with them.

    Parameters
    ----------
    folder : path-like
        The folder with the subjects, ``sub-01`` and so on. It is not validated.
    subjects, sessions : sequence of str, optional
        Labels to choose, with or without ``sub-`` or ``ses-``; all by default.

    Returns
    -------
    list of Series
        Sorted by name. Those with a ``problem`` cannot be processed, those with a ``note`` need not be.

    Raises
    ------
    OptionError
        If the folder does not exist or has no diffusion series, there is no such label, or the name of an image does
        not fit its folder.
    ProvisionError
        If the library for BIDS, ``ancpbids``, is not installed.

    Notes
    -----
    Gradient tables follow BIDS's inheritance principle: the nearest file, beside the image or in a folder above it,
    all of whose entities the image has. Where several are in one folder and none has all of the image's, it is a
    problem, as it is to the BIDS validator.

    Examples
    --------
    >>> from_bids("study", ["01"])  # doctest: +SKIP
    [Series(subject='01', session='', name='sub-01', ..., shells=(0, 1000, 2000), problem='', note='')]
    """
    top = _folder(folder)
    listed, unread = _listed_bids(top)
    found = [*(_of_bids(top / name) for name in _bids_images(top, listed)), *unread]
    if not found:
        raise OptionError(
            f"There are no diffusion images in {top}.",
            hint="In a BIDS folder they are sub-*/dwi/*_dwi.nii.gz or sub-*/ses-*/dwi/*_dwi.nii.gz; for any other "
            "folder, describe their paths: --pattern '{subject}/dwi.nii.gz'.",
            code="no-file",
        )
    listing: dict[Path, list[Path]] = {}
    chosen = _unique(_chosen(found, subjects, sessions), top)
    for series in chosen:
        if not series.problem:
            _check_name(series, top)
    return [_checked(_with_inherited(series, top, listing)) for series in chosen]


def from_pattern(
    folder: str | os.PathLike,
    pattern: str,
    subjects: Sequence[str] = (),
    sessions: Sequence[str] = (),
    *,
    out: Path | None = None,
) -> list[Series]:
    """Find the diffusion series of a folder that is not BIDS, and what is wrong with them.

    Parameters
    ----------
    folder : path-like
        The folder that the pattern is relative to.
    pattern : str
        The paths of the images, such as ``{subject}/{session}/dwi.nii.gz`` or ``{subject}_*.mif``: ``{subject}`` and,
        optionally, ``{session}`` are labels, and ``*`` is anything within a name.
    subjects, sessions : sequence of str, optional
        Labels to choose; all by default.
    out : pathlib.Path, optional
        A folder that is not looked into: that of the results, which may be in the dataset.

    Returns
    -------
    list of Series
        Sorted by name. Labels have only the letters and digits of what the pattern found, as BIDS wants them.

    Raises
    ------
    OptionError
        If the folder does not exist, the pattern is not allowed, it finds nothing or two images with one label, or
        there is no such label.
    ProvisionError
        If there are MIF images, and MRtrix3, which reads them, is not installed.

    Notes
    -----
    The gradient table of ``X.nii.gz`` is ``X.bval`` and ``X.bvec``, else ``bvals`` and ``bvecs`` in its folder, else
    the only ``*.bval`` and ``*.bvec`` of a folder with one image. A MIF image may have it in its header.

    Examples
    --------
    >>> from_pattern("data", "{subject}/{session}/dwi.nii.gz")  # doctest: +SKIP
    [Series(subject='S01', session='1', name='sub-S01_ses-1', ..., problem='', note='')]
    """
    extras.require("study", "Diffusion images", "nibabel")
    top = _folder(folder)
    parts = _compiled(pattern)
    every = [replace(_labelled(path, labels, top), problem=problem)
             for path, labels, problem in _matches(top, parts, {}, out and out.resolve())]  # fmt: skip
    found = [series for series in every if not series.problem]
    names = {series.name for series in found}
    found += {series.name: series for series in every if series.problem and series.name not in names}.values()
    if not found:
        raise OptionError(
            f"No image in {top} matches {pattern}.",
            hint="{subject} and {session} stand for labels and * for anything within a name; the path is relative to "
            "the folder, and ends in .nii.gz, .nii, .mif.gz or .mif.",
            code="no-file",
        )
    together = [series.image.parent for series in found]
    chosen = _unique(_chosen(found, subjects, sessions), top)
    return [_checked(_with_neighbours(series, together.count(series.image.parent) == 1)) for series in chosen]


def _folder(folder: str | os.PathLike) -> Path:
    top = paths.absolute(folder)
    if not top.is_dir():
        raise OptionError(f"There is no folder {top}.", hint="Give the folder of the dataset.", code="no-folder")
    if not os.access(top, os.R_OK | os.X_OK):
        raise OptionError(f"You have no permission to read {top}.", hint="Ask its owner for it.", code="no-folder")
    return top


# BIDS


def _listed_bids(top: Path) -> tuple[list[Path], list[Series]]:
    """Return what is in the folders of diffusion series, and a series for each folder or name that cannot be."""
    found: list[Path] = []
    unread: list[Series] = []

    def listed(place: Path) -> list[Path]:
        try:
            return bids.visible(place)
        except OSError as error:
            if is_gone(error):
                raise
            of_it = place if place.name == "dwi" else place / "dwi"
            name = "_".join(of_it.relative_to(top).parts[:-1])
            problem = f"{place.relative_to(top)} cannot be read: {error.strerror}."
            unread.append(replace(_of_bids(of_it / name), problem=problem))
            return []

    for subject in (path for path in bids.visible(top) if path.name.startswith("sub-")):
        within = listed(subject)
        sessions = [path for path in within if path.name.startswith("ses-")]
        for place in (*sessions, subject) if within else ():
            found += listed(place / "dwi")
    for path in found:
        match = re.fullmatch(r"(.+)_dwi\.nii(\.gz)?", path.name, re.IGNORECASE)
        if match and not path.name.endswith(_DWI):
            unread.append(replace(_of_bids(path), name=match[1], problem=f"{path.name} {_CAPITALS}"))
    return found, unread


def _bids_images(top: Path, listed: Sequence[Path]) -> list[str]:
    """Return the paths of the diffusion images among files, relative to the folder."""
    extras.require("study", "BIDS folders", "ancpbids", "nibabel")
    import ancpbids

    class Listed(ancpbids.LocalVfs):
        """The files named to it: a description that cannot be read is no reason to stop."""

        def exists(self, path: str) -> bool:
            return False

    # Left to itself, the library would list derivatives and .git too, follow links in a circle, and unpickle a file of
    # the dataset.
    names = [str(path.relative_to(top)) for path in listed]
    options = ancpbids.DatasetOptions(ignore_pickle_file=True)
    dataset = ancpbids.load_dataset(str(top), options, vfs=Listed(), paths=names)
    found: Any = dataset.query(suffix="dwi", extension=list(_NIFTI), scope="raw")
    images = [image.get_relative_path() for image in found]
    strange = [name for name in names if name.endswith(_DWI) and name not in set(images)]
    if strange:
        raise _misnamed(strange[0])
    return images


def _of_bids(image: Path) -> Series:
    """Return the series of an image, with the labels of its folders."""
    above = image.parent.parent
    session = above.name.removeprefix("ses-") if above.name.startswith("ses-") else ""
    subject = (above.parent if session else above).name.removeprefix("sub-")
    return Series(subject, session, _stem(image).removesuffix("_dwi"), image)


def _check_name(series: Series, top: Path) -> None:
    """Refuse an image whose name would put its outputs beside those of another."""
    own = f"sub-{series.subject}" + (f"_ses-{series.session}" if series.session else "")
    if re.fullmatch(rf"sub-{_LABEL}(_ses-{_LABEL})?", own) and re.fullmatch(
        rf"{re.escape(own)}(_[A-Za-z]+-{_LABEL})*", series.name
    ):
        return
    raise _misnamed(series.image.relative_to(top))


def _misnamed(image: str | Path) -> OptionError:
    return OptionError(
        f"The name of {image} does not fit BIDS or its folder.",
        hint="Rename it, such as sub-01/ses-1/dwi/sub-01_ses-1_dir-AP_dwi.nii.gz; labels are letters and digits.",
        code="bad-name",
    )


def _with_inherited(series: Series, top: Path, listing: dict[Path, list[Path]]) -> Series:
    if series.problem:
        return series
    found: dict[str, Path | None] = {}
    for suffix in (".json", ".bval", ".bvec"):
        try:
            found[suffix] = bids.inherited(series.image, series.name, suffix, top, listing)
        except OSError as error:
            if is_gone(error):
                raise
            return replace(series, problem=f"{error.filename} cannot be read: {error.strerror}.")
        except bids.Ambiguous as several:
            if suffix != ".json":  # most steps do not need it
                return replace(series, problem=f"Several {suffix} files apply to it: {several}.")
    return replace(series, sidecar=found.get(".json"), bval=found[".bval"], bvec=found[".bvec"])


# Patterns


def _compiled(pattern: str) -> list[re.Pattern[str]]:
    """Return one regular expression for each name of a path."""
    known = ("{subject}", "{session}")
    words = [re.split(r"(\{[^{}]*\}|\*)", name) for name in pattern.split("/")]
    wrong = [word for name in words for word in name if "{" in word and word not in known]
    message = ""
    if "{subject}" not in pattern:
        message = f"The pattern {pattern} has no {{subject}}."
    elif wrong:
        message = f"The pattern {pattern} contains {wrong[0]}, which is not {{subject}} or {{session}}."
    elif pattern.startswith("/") or ".." in pattern.split("/"):
        message = f"The pattern {pattern} leads out of the folder."
    elif "**" in pattern:
        message = f"The pattern {pattern} contains **; * stands for anything within one name."
    if message:
        raise OptionError(message, hint="For example: --pattern '{subject}/{session}/dwi.nii.gz'.", code="bad-value")
    return [_expression(name) for name in words if name not in ([""], ["."])]


def _expression(words: Iterable[str]) -> re.Pattern[str]:
    text, seen = "", set()
    for word in words:
        if word == "*":
            text += ".*"
        elif not word.startswith("{"):
            text += re.escape(word)
        elif word in seen:
            text += f"(?P={word[1:-1]})"
        else:
            seen.add(word)
            text += f"(?P<{word[1:-1]}>.+?)"
    return re.compile(text, re.DOTALL)


def _matches(
    place: Path, parts: Sequence[re.Pattern[str]], labels: dict[str, str], out: Path | None
) -> Iterator[tuple[Path, dict, str]]:
    """Yield the images below a folder whose names match, with the labels found; one label has one value in a path.

    What cannot be read, a folder of a subject or an image by its name, is yielded with that problem.
    """
    if out and place.name == out.name and place.resolve() == out:
        return
    try:
        paths_in = bids.visible(place)
    except OSError as error:
        if is_gone(error):
            raise
        if "subject" in labels:
            yield place, labels, f"{place.name} cannot be read: {error.strerror}."
        return
    for path in paths_in:
        match = parts[0].fullmatch(path.name)
        if not match or any(labels.get(kind, label) != label for kind, label in match.groupdict().items()):
            continue
        if len(parts) > 1:
            yield from _matches(path, parts[1:], labels | match.groupdict(), out)
        elif path.name.lower().endswith(_IMAGES):
            problem = "" if path.name.endswith(_IMAGES) else f"{path.name} {_CAPITALS}"
            yield path, labels | match.groupdict(), problem


def _labelled(image: Path, labels: dict[str, str], top: Path) -> Series:
    clean = {kind: _label(label, kind[:3], strict=True) for kind, label in labels.items()}
    if not all(clean.values()):
        message = f"The labels of {image.relative_to(top)} have no letters or digits."
        raise OptionError(message, hint="Rename it.", code="bad-name")
    name = "_".join(f"{kind[:3]}-{clean[kind]}" for kind in ("subject", "session") if kind in clean)
    return Series(clean["subject"], clean.get("session", ""), name, image)


def _with_neighbours(series: Series, is_alone: bool) -> Series:
    """Return the series with the gradient table beside its image."""
    if series.problem:
        return series
    place, stem = series.image.parent, _stem(series.image)
    if (place / f"{stem}.json").is_file():
        series = replace(series, sidecar=place / f"{stem}.json")
    for bval, bvec in ((f"{stem}.bval", f"{stem}.bvec"), ("bvals", "bvecs")):
        if any(os.path.lexists(place / name) for name in (bval, bvec)):
            found = [place / name if os.path.lexists(place / name) else None for name in (bval, bvec)]
            return replace(series, bval=found[0], bvec=found[1])
    # The only table of a folder with several images may be that of another one.
    both = [[path for path in bids.visible(place) if path.suffix == suffix] for suffix in (".bval", ".bvec")]
    if is_alone and all(len(found) == 1 for found in both):
        return replace(series, bval=both[0][0], bvec=both[1][0])
    return series


# Both


def _stem(image: Path) -> str:
    return next((image.name.removesuffix(end) for end in _IMAGES if image.name.endswith(end)), image.name)


def _label(text: str, kind: str, strict: bool = False) -> str:
    """Return a label without ``sub-`` or ``ses-``; only its letters and digits if strict."""
    plain = text.removeprefix(f"{kind}-")
    return re.sub("[^0-9A-Za-z]", "", plain) if strict else plain


def _chosen(found: Sequence[Series], subjects: Sequence[str], sessions: Sequence[str]) -> list[Series]:
    """Return the series with the labels asked for, sorted by name; refuse a label that does not exist."""
    left = list(found)
    for kind, labels in (("subject", subjects), ("session", sessions)):
        known = sorted({getattr(series, kind) for series in left} - {""})
        # A label as the path has it is as good as its letters and digits.
        wanted = {label: next((one for one in _spellings(label, kind[:3]) if one in known), None) for label in labels}
        for label, one in wanted.items():
            if one is None:
                raise unknown(kind, label, known, where=" with diffusion images")
        if labels:
            left = [series for series in left if getattr(series, kind) in wanted.values()]
    return sorted(left, key=lambda series: (series.name, series.image))


def _spellings(label: str, kind: str) -> tuple[str, str]:
    return _label(label, kind), _label(label, kind, strict=True)


def _unique(found: list[Series], top: Path) -> list[Series]:
    """Refuse two images whose outputs would have the same names."""
    images: dict[str, Path] = {}
    for series in found:
        # Some drives do not tell large from small letters.
        other = images.setdefault(series.name.lower(), series.image)
        if other != series.image:
            raise OptionError(
                f"{other.relative_to(top)} and {series.image.relative_to(top)} would both be {series.name}.",
                hint="Rename or remove one of them, or use a narrower pattern.",
                code="bad-name",
            )
    return found


def _checked(series: Series) -> Series:
    """Return the series with its shells, or with what is wrong."""
    if series.problem:
        return series
    if part := _PARTS.search(series.name):
        kind = {"phase": "the phase", "real": "the real part", "imag": "the imaginary part"}[part[1]]
        return replace(series, note=f"{series.image.name} is {kind}, not the magnitude.")
    try:
        return _from_mif(series) if ".mif" in series.image.suffixes[-2:] else _from_nifti(series)
    except checks.Problem as problem:
        return replace(series, problem=str(problem))


def _from_nifti(series: Series) -> Series:
    if series.bval is None and series.bvec is None:
        volumes = checks.count_volumes(series.image)
        if volumes <= checks.FEWEST:
            # Converters write no table where all is b=0.
            return replace(
                series, note=f"{_volumes(volumes)} without a gradient table: too few for a diffusion series."
            )
        raise checks.Problem(f"{series.image.name} has no gradient table (.bval and .bvec).")
    if series.bval is None:
        raise checks.Problem(f"{series.image.name} has a .bvec file, but no .bval file.")
    table = checks.read_gradients(series.bval, series.bvec)
    if series.bvec is None and table[:, 3].max() > checks.BZERO:
        raise checks.Problem(f"{series.image.name} has a .bval file, but no .bvec file.")
    return _with_shells(series, table, checks.count_volumes(series.image), of=series.bval.name)


def _from_mif(series: Series) -> Series:
    checks.check_content(series.image)
    volumes, table = checks.read_mif(series.image)
    if table is None:
        if series.bval is None or series.bvec is None:
            raise checks.Problem(f"{series.image.name} has no gradient table, and there is none beside it.")
        table = checks.read_gradients(series.bval, series.bvec)
        return _with_shells(series, table, volumes, of=series.bval.name)
    return _with_shells(replace(series, bval=None, bvec=None), table, volumes, of="its gradient table")


def _with_shells(series: Series, table: np.ndarray, volumes: int, *, of: str) -> Series:
    if len(table) != volumes:
        raise checks.Problem(f"{series.image.name} has {_volumes(volumes)}, but {of} has {len(table)} b-values.")
    table = checks.scaled(table)
    if table[:, 3].max() <= checks.BZERO:
        return replace(series, shells=(0,), note=f"{_volumes(volumes)} at b=0 only: left out.")
    checks.check_table(table)
    return replace(series, shells=checks.shells(table))


def _volumes(number: int) -> str:
    return f"{number} volume" + ("s" if number != 1 else "")
