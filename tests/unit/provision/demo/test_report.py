"""A demo's page: what it tells, that it needs nothing but itself, and what a notebook shows."""

import base64
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.demo import report
from provision.demo.pipeline import Angles, DemoResult
from provision.errors import OptionError, ProvisionError
from provision.pictures import glyphs, peek, reader
from provision.pictures.picture import Picture

from ..page import PNG, Page

MISSING = ProvisionError("mrpeek is not installed.", hint='Install it: provision.run("mrpeek").')
DRAWN = {"glyphs": Picture(PNG, 30, 20, "FODs of axial slice 2"), "peek": Picture(PNG, 40, 10, "slices of dwi.mif")}
COMMANDS = ["mrinfo -version", "mrconvert 'a b.nii' dwi.mif"]


def result(folder: Path = Path("/out"), **fields) -> DemoResult:
    angles = {"single fibre": Angles(120, 0.441, 0.92, 3.0), "crossing": Angles(12, 11.5, 20.0, 10.0)}
    given = {
        "data": "phantom",
        "angles": angles,
        "steps": {"mrconvert": 0.5, "dwi2fod": 2.0},
        "versions": {"mrtrix3": "3.0.8", "python": "3.11.7"},
        "settings": {"size": [24, 20, 8], "snr": 40.0, "seed": 3},
    }
    return DemoResult(folder, **{**given, **fields})


def page(drawn=DRAWN, commands=COMMANDS, **fields) -> Page:
    return Page(report.page(result(**fields), drawn, commands))


# The page


def test_page_asks_no_other_file_and_no_server_for_anything():
    html = report.page(result(), DRAWN, COMMANDS)
    seen = Page(html)
    links = [
        value
        for _, attributes in seen.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster")
    ]
    assert len(links) == 2 and all(link.startswith("data:image/png;base64,") for link in links)
    assert not {"script", "link", "iframe", "object", "base"} & {name for name, _ in seen.elements}
    assert "url(" not in html and "@import" not in html
    (policy,) = [m["content"] for m in seen.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")


def test_page_holds_the_pictures_with_their_size_and_words():
    images = page().all("img")
    assert [base64.b64decode(image["src"].partition(",")[2]) for image in images] == [PNG, PNG]
    assert [(image["width"], image["height"], image["alt"]) for image in images] == [
        ("30", "20", "FODs of axial slice 2"),
        ("40", "10", "slices of dwi.mif"),
    ]


def test_picture_that_could_not_be_drawn_is_told_of_with_what_to_do():
    seen = page({**DRAWN, "peek": MISSING})
    assert 'mrpeek is not installed. Install it: provision.run("mrpeek").' in seen.text
    assert len(seen.all("img")) == 1


def test_page_tells_angles_limits_and_verdicts():
    text = re.sub(r"\s+", " ", page().text)
    assert "single fibre1200.44°0.92° 3.00°pass" in text
    assert "crossing1211.50°20.00° 10.00°fail" in text
    assert "MRtrix3 3.0.8 missed the phantom's fibres: fail" in text


def test_page_of_a_demo_that_passed_says_so_in_its_title():
    good = {"single fibre": Angles(120, 0.441, 0.92, 3.0)}
    assert "MRtrix3 3.0.8 found the phantom's fibres: pass" in page(angles=good).text


def test_page_of_data_without_truth_has_no_verdict():
    seen = page(data="sherbrooke_3shell", angles={}, settings={})
    assert "MRtrix3 3.0.8 made FODs of sherbrooke_3shell" in seen.text
    assert "Angle between" not in seen.text
    assert not {"pass", "fail"} & {attributes.get("class") for _, attributes in seen.elements}


def test_page_tells_versions_settings_and_commands_each_on_its_line():
    seen = page()
    text = re.sub(r"\s+", " ", seen.text)
    assert "python3.11.7" in text
    assert "24 x 20 x 8 voxels with a signal-to-noise ratio of 40.0, simulated with the seed 3" in text
    assert "mrinfo -version\nmrconvert 'a b.nii' dwi.mif" in seen.text


def test_bars_are_as_long_as_their_steps_against_the_longest():
    seen = page()
    widths = [box["style"] for box in seen.all("div") if box.get("class") == "bar"]
    assert widths == ["width: 25.0%", "width: 100.0%"]
    assert "total2.5 s" in re.sub(r"\s+", " ", seen.text)


def test_steps_that_took_no_time_have_bars_of_no_length():
    widths = [box["style"] for box in page(steps={"mrconvert": 0.0}).all("div") if box.get("class") == "bar"]
    assert widths == ["width: 0.0%"]


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_what_is_told_cannot_change_the_page(hostile):
    drawn = {"glyphs": Picture(PNG, 1, 1, hostile), "peek": ProvisionError(hostile)}
    told = page(drawn, [hostile], folder=Path(hostile), versions={"mrtrix3": hostile, hostile: "1"})
    expected = page({"glyphs": DRAWN["glyphs"], "peek": MISSING})
    assert [name for name, _ in told.elements] == [name for name, _ in expected.elements]
    assert told.text.count(hostile) >= 5


def test_page_is_readable_in_light_and_dark():
    html = report.page(result(), DRAWN, COMMANDS)
    light, dark = (dict(re.findall(r"(--\w+): (#\w+)", part)) for part in html.split("prefers-color-scheme", 1))
    assert set(light) == set(dark) and {"--ink", "--paper", "--good", "--bad"} <= set(light)
    for colours in (light, dark):
        for name in ("--ink", "--faint", "--good", "--bad"):
            assert contrast(colours[name], colours["--paper"]) > 4.5, name


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by the Web Content Accessibility Guidelines, which ask for 4.5 or more of text."""
    bright, dull = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dull + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# Its pictures


class EightVolumes(nullcontext):
    """A reader of eight volumes, whatever the image."""

    def __enter__(self):
        return SimpleNamespace(header=SimpleNamespace(volumes=8))


def test_pictures_are_drawn_of_the_demos_files_and_saved(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(glyphs, "glyphs", lambda image, **options: asked.update({image: options}) or DRAWN["glyphs"])
    monkeypatch.setattr(peek, "peek", lambda image, **options: asked.update({image: options}) or DRAWN["peek"])
    monkeypatch.setattr(reader, "Reader", EightVolumes)
    assert report.pictures(tmp_path) == DRAWN
    assert asked == {
        tmp_path / "wmfod.mif": {"background": tmp_path / "fod_l0.nii.gz"},
        tmp_path / "dwi.mif": {"volume": 7},
    }
    assert (tmp_path / "glyphs.png").read_bytes() == (tmp_path / "peek.png").read_bytes() == PNG


def test_picture_that_cannot_be_drawn_leaves_its_reason_and_the_other_picture(tmp_path, monkeypatch):
    def missing(image, **options):
        raise OptionError("VTK is not installed.")

    monkeypatch.setattr(glyphs, "glyphs", missing)
    monkeypatch.setattr(peek, "peek", lambda image, **options: DRAWN["peek"])
    monkeypatch.setattr(reader, "Reader", EightVolumes)
    drawn = report.pictures(tmp_path)
    assert str(drawn["glyphs"]) == "VTK is not installed."
    assert drawn["peek"] is DRAWN["peek"]
    assert not (tmp_path / "glyphs.png").exists()


# In a notebook


def test_notebook_shows_the_glyphs_or_else_the_peaks_with_angles_and_a_link(tmp_path):
    (tmp_path / "fod.png").write_bytes(b"peaks")
    found = result(tmp_path)
    for name, content in (("fod.png", b"peaks"), ("glyphs.png", b"glyphs")):
        (tmp_path / name).write_bytes(content)
        seen = Page(found._repr_html_())
        (image,) = seen.all("img")
        assert base64.b64decode(image["src"].partition(",")[2]) == content
        assert [link["href"] for link in seen.all("a")] == [str(tmp_path / "report.html")]
        assert "0.44°" in seen.text and "fail" in seen.text


def test_notebook_shows_no_table_where_there_are_no_angles(tmp_path):
    (tmp_path / "fod.png").write_bytes(b"peaks")
    seen = Page(result(tmp_path, angles={}, data="sherbrooke_3shell")._repr_html_())
    assert not seen.all("table") and "made FODs of sherbrooke_3shell" in seen.text
