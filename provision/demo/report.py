"""The report of a demo: a self-contained HTML page, and a short form for a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from provision.display.page import page_templates
from provision.errors import ProvisionError

if TYPE_CHECKING:
    from jinja2 import Environment

    from provision.demo.pipeline import DemoResult
    from provision.pictures.picture import Picture

    Drawn: TypeAlias = Picture | ProvisionError

_CELL = """\
{% from "macros.html" import angles %}
<div>
<p><b>{{ title }}</b></p>
<img src="{{ picture|uri }}" alt="FODs of the middle slice" style="max-width: 480px; width: 100%">
{{ angles(result.angles) if result.angles }}
<p>Full report: <a href="{{ result.report.as_posix() }}">{{ result.report }}</a></p>
</div>
"""

_PAGE = """\
{% extends "page.html" %}
{% from "macros.html" import angles, figure, verdict %}
{% block body %}
<h1>{{ title }}{% if result.passed is not none %}: <span class="{{ verdict(result.passed) }}">
{{- verdict(result.passed) }}</span>{% endif %}</h1>

<h2>Fibre orientation distributions</h2>
{{ figure(pictures.glyphs, "The amplitude along each direction, over its mean in grey. Red runs from left to right, "
  "green from front to back, blue from foot to head; the patient's left is on the right.") }}

{% if result.angles %}
<h2>Angle between found and true fibres</h2>
<div class="wide">{{ angles(result.angles) }}</div>
{% endif %}

<h2>The data</h2>
{{ figure(pictures.peek, "As mrpeek shows them:") }}
{% if result.settings %}
<p>A phantom of {{ result.settings.size|join(" x ") }} voxels with a signal-to-noise ratio of
{{ result.settings.snr }}, simulated with the seed {{ result.settings.seed }}.</p>
{% else %}
<p>{{ result.data }}.</p>
{% endif %}

<h2>Times</h2>
<table class="times">
{% for name, seconds in result.steps.items() %}
<tr><th>{{ name }}<td>{{ "%.1f"|format(seconds) }} s
<td><div class="bar" style="width: {{ "%.1f"|format(100 * seconds / longest) }}%"></div></tr>
{% endfor %}
<tr><th>total<td>{{ "%.1f"|format(result.seconds) }} s<td></tr>
</table>

<h2>Versions</h2>
<div class="wide"><table>
{% for name, version in result.versions.items() %}
<tr><th>{{ name }}<td>{{ version }}</tr>
{% endfor %}
</table></div>

<h2>Commands</h2>
<p class="note">Run in {{ result.folder }}; their output is in {{ result.log.name }}.</p>
<pre>{{ commands|join("\n") }}</pre>
{% endblock %}
"""


def pictures(folder: Path) -> dict[str, Drawn]:
    """Draw a demo's pictures and save each as NAME.png; where one cannot be drawn, its error takes its place."""
    from provision.pictures.glyphs import glyphs
    from provision.pictures.peek import peek
    from provision.pictures.reader import Reader

    def last() -> Any:
        with Reader(folder / "dwi.mif") as reader:
            volume = reader.header.volumes - 1
        return peek(folder / "dwi.mif", volume=volume)

    drawn = {
        "glyphs": _tried(lambda: glyphs(folder / "wmfod.mif", background=folder / "fod_l0.nii.gz")),
        "peek": _tried(last),
    }
    for name, picture in drawn.items():
        if not isinstance(picture, ProvisionError):
            picture.save(folder / f"{name}.png")
    return drawn


def _tried(draw: Callable[[], Any]) -> Drawn:
    try:
        return draw()
    except ProvisionError as error:
        return error


def page(result: DemoResult, drawn: Mapping[str, Drawn], commands: Sequence[str]) -> str:
    """Return the report: an HTML page with its pictures embedded, which loads no other file."""
    longest = max(result.steps.values(), default=0) or 1
    fields = {"result": result, "pictures": drawn, "commands": commands, "longest": longest, "title": _title(result)}
    return _templates().get_template("page").render(fields).lstrip()


def cell(result: DemoResult) -> str:
    """Return the short form: the main picture, the angles, and a link to the report."""
    picture = (result.glyphs if result.glyphs.exists() else result.picture).read_bytes()
    return _templates().get_template("cell").render(result=result, picture=picture, title=_title(result))


def _title(result: DemoResult) -> str:
    mrtrix3 = f"MRtrix3 {result.versions['mrtrix3']}"
    if result.passed is None:
        return f"{mrtrix3} made FODs of {result.data}"
    return f"{mrtrix3} {'found' if result.passed else 'missed'} the phantom's fibres"


def _templates() -> Environment:
    from jinja2 import DictLoader

    return page_templates(DictLoader({"page": _PAGE, "cell": _CELL}))
