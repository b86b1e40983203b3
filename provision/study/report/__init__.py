"""The report of a study: a page of all series, and a page for each subject."""

from __future__ import annotations

import hashlib
import html
import importlib.util
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from provision import __version__
from provision.display import page
from provision.errors import ProvisionError
from provision.machine import files
from provision.pictures import mrtrix3
from provision.study.records import ALL, INDEX
from provision.study.report import drawn, responses
from provision.study.report.chart import HEIGHT, WIDTH
from provision.study.report.gathered import DONE, Record, Series, Study, gathered, versions

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_NEEDED = ("vtkmodules", "nibabel", "matplotlib")
_KNOWN = re.compile(r'<meta name="provision" content="([^"]*)">')
_PLAIN = re.compile(r"[A-Za-z0-9+]{1,40}")


def write(out: Path, subjects: Iterable[str] | None = None) -> Path:
    """Write ``index.html`` and a page for each subject, from what is in an output folder.

    A page whose records are as they were is left as it is; so is one that is deleted drawn again.

    Parameters
    ----------
    out : pathlib.Path
        The output folder.
    subjects : iterable of str, optional
        The labels of the subjects whose pages to draw, with or without ``sub-``; all by default. The index always has
        all subjects.

    Returns
    -------
    pathlib.Path
        The index.

    Raises
    ------
    OSError
        If the folder cannot be written to. Missing or damaged files are reported on the pages.
    ProvisionError
        If a page of another program has the name of one of these; nothing is written.

    Examples
    --------
    >>> write(Path("derivatives"))  # doctest: +SKIP
    PosixPath('derivatives/index.html')
    """
    out = Path(out)
    wanted = None if subjects is None else {subject.removeprefix("sub-") for subject in subjects}
    study, templates, common = gathered(out), _templates(out), _common()
    _check_pages(out, study)
    facts: dict[str, Any] = {}
    for subject, digest in _digests(out, study, common).items():
        place, series = out / page_name(subject), study.subjects[subject]
        known = _known(place)
        if known.get("digest") != digest:
            if wanted is not None and subject not in wanted:
                continue
            known = _write_subject(place, digest, subject, series, study, templates)
        facts |= known["facts"]
    place = out / INDEX
    digest = _digest(common, _contents(out), repr(study.series).encode(), json.dumps(facts, sort_keys=True).encode())
    if _known(place).get("digest") != digest:
        _write_index(place, digest, facts, study, templates)
    return place


def changed(out: Path, subjects: Iterable[str] | None = None) -> list[str]:
    """Return the subjects, all by default, whose pages `write` would draw."""
    study = gathered(out)
    _check_pages(out, study)
    digests = _digests(out, study, _common())
    chosen = digests if subjects is None else {subject.removeprefix("sub-") for subject in subjects}
    return [one for one in digests if one in chosen and _known(out / page_name(one)).get("digest") != digests[one]]


def _check_pages(out: Path, study: Study) -> None:
    """Refuse to replace a page that is not from here; a damaged one begins as a whole one does."""
    for name in (INDEX, *map(page_name, study.subjects)):
        with suppress(FileNotFoundError), (out / name).open("rb") as stream:
            start = stream.read(1000)
            if start and b'<meta name="provision" ' not in start:
                hint = "Move it, or choose another output folder."
                raise ProvisionError(f"{out / name} is from another program.", hint=hint, code="file-exists")


def _digests(out: Path, study: Study, common: bytes) -> dict[str, str]:
    """Return, for each subject, a digest of all that its page is drawn from."""
    group = _contents(out, {record.series for record in study.group})
    return {
        subject: _digest(common, group, _contents(out, {one.name for one in series}), repr(series).encode())
        for subject, series in study.subjects.items()
    }


def page_name(subject: str) -> str:
    """Return the name of a subject's page.

    Examples
    --------
    >>> page_name("01")
    'sub-01.html'
    """
    if _PLAIN.fullmatch(subject):
        return f"sub-{subject}.html"
    # What is no label of BIDS may be no name of a file, either.
    plain = re.sub(r"[^A-Za-z0-9+]+", "-", subject)[:40].strip("-")
    return f"sub-{plain}-{hashlib.sha256(subject.encode()).hexdigest()[:8]}.html"


def _write_subject(
    place: Path, digest: str, subject: str, series: Sequence[Series], study: Study, templates: Environment
) -> dict[str, Any]:
    """Draw a subject's page, and return what the index takes from it."""
    parts, facts = [], {}
    for one in series:
        pictures = drawn.draw(one, study.out)
        gradients = drawn.check_of(one)
        charts = responses.series_charts(one)
        parts.append({"series": one, "drawn": pictures, "gradients": gradients, "charts": charts})
        facts[one.name] = _facts(pictures, gradients)
    about = {"digest": digest, "facts": facts}
    title = f"Subject {subject}" if subject != series[0].name else subject
    fields = {"title": title, "about": json.dumps(about), "parts_of": parts, "study": study}
    _write(place, templates, "subject.html", fields)
    return about


def _facts(pictures: drawn.Drawn, gradients: tuple[str, str, str]) -> dict[str, Any]:
    """Return the numbers for the index, as JSON has them."""
    angles = {} if isinstance(pictures.angles, ProvisionError) else pictures.angles
    return {
        "snr": pictures.snr,
        "outliers": pictures.outliers,
        "gradients": gradients[1:],
        "angles": {kind: [found.median, found.passed] for kind, found in angles.items()},
    }


def _write_index(place: Path, digest: str, facts: Mapping[str, Any], study: Study, templates: Environment) -> None:
    number, failed = len(study.series), sum(bool(one.failed) for one in study.series)
    kinds = dict.fromkeys(kind for fact in facts.values() for kind in fact["angles"])
    found = {one.name: responses.of_series(one) for one in study.series}
    title = f"{number} series of {len(study.subjects)} subject{'s' * (len(study.subjects) != 1)}"
    fields = {
        "title": f"{title}, {failed} failed" if failed else title,
        "about": json.dumps({"digest": digest}),
        "study": study,
        "facts": facts,
        "kinds": list(kinds),
        "charts": responses.group_charts(found, study),
        "failed": failed,
        "rule": responses,
    }
    _write(place, templates, "index.html", fields)


def _write(place: Path, templates: Environment, name: str, fields: Mapping[str, Any]) -> None:
    files.write_text(str(place), templates.get_template(name).render(fields).lstrip())


def _templates(out: Path) -> Environment:
    from jinja2 import FileSystemLoader

    def link(record: Record) -> str:
        """Return the address of a step's log, if it is in the output folder."""
        place = Path(record.log)
        is_inside = record.log and not place.is_absolute() and ".." not in place.parts and "\0" not in record.log
        return quote(place.as_posix()) if is_inside and (out / place).is_file() else ""

    templates = page.page_templates(FileSystemLoader(_HERE))
    templates.filters |= {
        "link": link,
        "page_name": page_name,
        "shown": shlex.join,
        "date": lambda text: text.replace("T", " ").replace("Z", " UTC"),
    }
    templates.globals |= {"versions": versions, "DONE": DONE, "WIDTH": WIDTH, "HEIGHT": HEIGHT}
    return templates


def _known(place: Path) -> dict[str, Any]:
    """Return what a page says of itself; nothing if there is no page, or it is damaged."""
    try:
        with place.open(encoding="utf-8") as stream:
            found = _KNOWN.search(stream.readline() + "".join(stream.readline() for _ in range(9)))
        known = json.loads(html.unescape(found[1])) if found else {}
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _common() -> bytes:
    """Return what all pages depend on: this code, and what there is to draw with."""
    code = [*_HERE.glob("*.*"), *Path(page.__file__).parent.glob("*.html")]
    there = [str(importlib.util.find_spec(name) is not None) for name in _NEEDED]
    try:
        there.append(str(mrtrix3.command("mrconvert")))
    except ProvisionError:
        there.append("")
    return _digest(*(path.read_bytes() for path in sorted(code)), " ".join([__version__, *there]).encode()).encode()


def _contents(out: Path, names: Iterable[str] | None = None) -> bytes:
    """Return a digest of all records, or of those of some series."""
    folders = [out / ALL / name for name in sorted(names)] if names is not None else [out / ALL]
    parts = []
    for folder in folders:
        for place in sorted(folder.rglob("*.json")):
            parts.append(str(place.relative_to(out)).encode())
            try:
                parts.append(place.read_bytes())
            except OSError as error:
                parts.append(str(error).encode())
    return _digest(*parts).encode()


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()
