"""The report of a demo: a self-contained HTML page, and a short form for a notebook."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from provision.errors import ProvisionError

if TYPE_CHECKING:
    from jinja2 import Environment

    from provision.demo.pipeline import DemoResult
    from provision.pictures.picture import Picture

    Drawn: TypeAlias = Picture | ProvisionError

_ANGLES = """\
{% macro angles(found) %}
<table>
<thead><tr><th>tissue<th>voxels<th>median<th>95th percentile<th>limit of median<th>result</thead>
<tbody>
{% for kind, angle in found.items() %}
<tr><th>{{ kind }}<td>{{ angle.voxels }}<td>{{ "%.2f°"|format(angle.median) }}<td>{{ "%.2f°"|format(angle.p95) }}
<td>{{ "%.2f°"|format(angle.limit) }}<td class="{{ verdict(angle.passed) }}">{{ verdict(angle.passed) }}</tr>
{% endfor %}
</tbody>
</table>
{% endmacro %}
{% macro verdict(passed) %}{{ "pass" if passed else "fail" }}{% endmacro %}
"""

_CELL = """\
{% from "angles" import angles %}
<div>
<p><b>{{ title }}</b></p>
<img src="{{ picture|uri }}" alt="FODs of the middle slice" style="max-width: 480px; width: 100%">
{{ angles(result.angles) if result.angles }}
<p>Full report: <a href="{{ result.report.as_posix() }}">{{ result.report }}</a></p>
</div>
"""

# The policy enforces that the page loads nothing from elsewhere.
_PAGE = """\
{% from "angles" import angles, verdict %}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
:root { --ink: #1d2329; --faint: #5c6670; --line: #dde1e6; --paper: #fff; --bar: #4c7fb8; --good: #17703a;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --faint: #9aa5b0; --line: #363d45; --paper: #15181c;
  --bar: #5b93d1; --good: #63c787; --bad: #ff8a80; } }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
figure { margin: 0; }
img { max-width: min(100%, 45rem); height: auto; border-radius: 6px; background: #000; }
figcaption, .note { color: var(--faint); font-size: .9rem; }
.note { border-left: 3px solid var(--line); padding-left: .8rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 1rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); font-weight: normal;
  white-space: nowrap; }
th:first-child { text-align: left; }
thead th { color: var(--faint); font-size: .9rem; }
.pass { color: var(--good); font-weight: 600; }
.fail { color: var(--bad); font-weight: 600; }
.times :is(th, td) { border: 0; padding: .15rem .8rem .15rem 0; }
.times td:last-child { width: 100%; }
.bar { height: .7rem; min-width: 2px; border-radius: 2px; background: var(--bar); }
pre { overflow-x: auto; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 6px; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{ title }}{% if result.passed is not none %}: <span class="{{ verdict(result.passed) }}">
{{- verdict(result.passed) }}</span>{% endif %}</h1>

{% macro figure(drawn, caption) %}
{% if drawn is drawing %}
<figure>
<img src="{{ drawn.png|uri }}" width="{{ drawn.width }}" height="{{ drawn.height }}" alt="{{ drawn.alt }}">
<figcaption>{{ caption }} {{ drawn.alt }}.</figcaption>
</figure>
{% else %}
<p class="note">{{ drawn }}</p>
{% endif %}
{% endmacro %}
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
</body>
</html>
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
    from jinja2 import DictLoader, Environment, StrictUndefined

    templates = Environment(
        loader=DictLoader({"page": _PAGE, "cell": _CELL, "angles": _ANGLES}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    templates.filters["uri"] = lambda png: f"data:image/png;base64,{base64.b64encode(png).decode()}"
    templates.tests["drawing"] = lambda drawn: not isinstance(drawn, ProvisionError)
    return templates
