"""The report of a study: what its pages show of records that are right, wrong or missing, and when they are drawn."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from provision.errors import ProvisionError
from provision.pictures import fod_render, mrtrix3
from provision.pictures.angles import Angles
from provision.pictures.picture import Picture
from provision.study import report
from provision.study.report import drawn, responses
from provision.study.report.gathered import Series, gathered

from ..page import PNG, Page

HOSTILE = "<script>alert('x')</script>"
MISSING = ProvisionError("VTK cannot draw on this machine.", hint="Install Mesa.")
WHITE, FLAT = "# Shells: 0,1000\n3000 0 0\n1500 -600 100\n", "# Shells: 0,1000\n3500\n1600\n"


@pytest.fixture(autouse=True)
def drawings(monkeypatch):
    """Stand-ins of the pictures, by the name of the series, and a list of what was drawn."""
    made, asked = {}, []

    def draw(series, out):
        asked.append(series.name)
        found = made.get(series.name) or drawn.Drawn()
        picture = Picture(PNG, 30, 20, f"picture of {series.name}")
        found.pictures = {"b0": picture, "glyphs": picture, "quality": picture, **found.pictures}
        return found

    monkeypatch.setattr(drawn, "draw", draw)
    made["asked"] = asked
    return made


def record(out: Path, series: str, step: str, content: object = None, **fields) -> Path:
    """Write a record, and its outputs with the text that is given for each."""
    outputs = fields.pop("outputs", {})
    for name, text in outputs.items():
        (out / f"{series}_{name}.txt").write_text(text)
    place = out / ".provision/records" / series / f"{step}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    said = {
        "step": step, "series": series, "subject": series[4:6], "session": "", "state": "done", "inputs": {},
        "outputs": {name: [{"path": f"{series}_{name}.txt", "size": 1, "mtime_ns": 1, "sha256": "0"}]
                    for name in outputs},
        "commands": [[f"do_{step}", "a b.nii"]], "versions": {"mrtrix3": "3.0.8"}, "host": "node1",
        "started": "2026-11-30T08:00:00Z", "seconds": 12.3, "memory": 345678901, "threads": 1, "log": "", **fields,
    }  # fmt: skip
    place.write_text(content if isinstance(content, str) else json.dumps(said))
    return place


def failed(out: Path, series: str, step: str, error: str, **fields) -> Path:
    return record(out, series, step, **{"state": "failed", "error": error, "command": f"do_{step}", **fields})


def pages(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("*.html"))


def test_there_is_an_index_and_a_page_for_each_subject_with_all_its_sessions(tmp_path):
    for series in ("sub-01", "sub-02_ses-1", "sub-02_ses-2"):
        record(tmp_path, series, "mask")
    index = report.write(tmp_path)
    assert index == tmp_path / "index.html"
    assert pages(tmp_path) == ["index.html", "sub-01.html", "sub-02.html"]
    assert {"sub-02.html#sub-02_ses-1", "sub-02.html#sub-02_ses-2"} < set(Page(index).all("a", "href"))
    assert {"sub-02_ses-1", "sub-02_ses-2"} == set(Page(tmp_path / "sub-02.html").all("section", "id"))


def test_failed_series_come_first_with_the_reason(tmp_path):
    record(tmp_path, "sub-01", "mask")
    failed(tmp_path, "sub-02", "mask", "do_mask: [ERROR] no such volume")
    index = Page(report.write(tmp_path))
    assert [one.name for one in gathered(tmp_path).series] == ["sub-02", "sub-01"]
    links = [link for link in index.all("a", "href") if "#" in link]
    assert links == ["sub-02.html#sub-02", "sub-02.html#sub-02", "sub-01.html#sub-01"]
    assert "no such volume" in index.text and "1 failed" in index.text
    assert "no such volume" in Page(tmp_path / "sub-02.html").text


def test_a_step_of_the_group_that_failed_is_reported_with_the_failed_series(tmp_path):
    record(tmp_path, "sub-01", "mask")
    failed(tmp_path, "group", "group_response", "too few voxels")
    assert "too few voxels" in Page(report.write(tmp_path)).text


def test_pages_load_nothing_and_run_nothing(tmp_path):
    record(tmp_path, "sub-01", "response", outputs={"response_wm": WHITE})
    report.write(tmp_path)
    for name in pages(tmp_path):
        page = Page(tmp_path / name)
        assert all(source.startswith("data:") for source in page.all("img", "src"))
        assert not {"script", "link", "iframe"} & {tag for tag, _ in page.elements}
        (policy,) = (one["content"] for tag, one in page.elements if tag == "meta" and "http-equiv" in one)
        assert "default-src 'none'" in policy
        assert "width=device-width" in page.html


@pytest.mark.parametrize("field", ["error", "subject", "host", "started", "log", "command", "session"])
def test_what_records_say_is_text(tmp_path, field):
    place = failed(tmp_path, "sub-01", "mask", "x")
    place.write_text(json.dumps(json.loads(place.read_text()) | {field: HOSTILE}))
    report.write(tmp_path)
    for name in pages(tmp_path):
        assert "<script" not in (tmp_path / name).read_text("utf-8")


def test_what_steps_versions_commands_checks_and_warnings_say_is_text(tmp_path, drawings):
    drawings["sub-01"] = drawn.Drawn({"glyphs": ProvisionError(HOSTILE)}, [HOSTILE], warnings=[HOSTILE])
    record(
        tmp_path, "sub-01", "<b>step", commands=[[HOSTILE]], versions={HOSTILE: HOSTILE},
        outputs={"gradients": f"{HOSTILE}\n", "response_wm": WHITE},
    )  # fmt: skip
    report.write(tmp_path)
    assert HOSTILE in Page(tmp_path / "sub-01.html").text
    for name in pages(tmp_path):
        html = (tmp_path / name).read_text("utf-8")
        assert "<script" not in html and "<b>step" not in html


@pytest.mark.parametrize("subject", ["../../above", "/etc/x", "a b", HOSTILE, "é", "x" * 300])
def test_a_page_is_in_the_output_folder_whatever_its_subject_is_called(tmp_path, subject):
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    record(out, "sub-01", "mask", subject=subject)
    index = Page(report.write(out))
    (name,) = set(pages(out)) - {"index.html"}
    assert re.fullmatch(r"sub-[A-Za-z0-9+-]{1,60}\.html", name)
    assert [path.name for path in tmp_path.rglob("*.html") if path.parent != out] == []
    assert f"{name}#sub-01" in index.all("a", "href")


def test_two_subjects_never_share_a_page():
    assert len({report.page_name(subject) for subject in ("a b", "a-b", "a_b", "ab")}) == 4


@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", "{}", '{"state": "odd"}', "\x00", "[" * 5000, '{"state": null}'],
    ids=["empty", "cut", "null", "list", "nothing", "state", "binary", "deep", "no state"],
)
def test_a_damaged_record_is_reported_and_the_rest_is_shown(tmp_path, content):
    record(tmp_path, "sub-01", "mask", seconds=77)
    place = record(tmp_path, "sub-01", "fod", content)
    record(tmp_path, "sub-02", "mask")
    index = Page(report.write(tmp_path))
    (one,) = gathered(tmp_path).series[0].failed
    assert (one.series, one.step, one.state) == ("sub-01", "fod", "damaged")
    assert str(place.relative_to(tmp_path)) in index.text
    assert "1 min 17 s" in Page(tmp_path / "sub-01.html").text
    assert pages(tmp_path) == ["index.html", "sub-01.html", "sub-02.html"]


@pytest.mark.parametrize(
    "wrong", [None, 5, "x", [1], {"a": 1}, [[1]], [{"path": 5}], {"gradients": [{"path": "\0"}]}, -1, 1e400]
)
def test_a_field_of_another_type_is_taken_as_missing(tmp_path, wrong):
    for name in ("inputs", "outputs", "commands", "versions", "seconds", "memory", "started", "log", "host", "subject"):
        place = record(tmp_path, "sub-01", name)
        place.write_text(json.dumps(json.loads(place.read_text()) | {name: wrong}))
    report.write(tmp_path)
    assert "index.html" in pages(tmp_path) and len(pages(tmp_path)) >= 2


def test_pages_whose_records_are_as_they_were_are_not_drawn_again(tmp_path, drawings):
    for series in ("sub-01", "sub-02"):
        record(tmp_path, series, "mask")
    report.write(tmp_path)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in pages(tmp_path)}
    report.write(tmp_path)
    assert drawings["asked"] == ["sub-01", "sub-02"]
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in pages(tmp_path)} == before


def test_a_changed_record_draws_its_page_and_the_index_again_and_no_other(tmp_path, drawings):
    for series in ("sub-01", "sub-02"):
        record(tmp_path, series, "mask")
    report.write(tmp_path)
    failed(tmp_path, "sub-02", "fod", "it broke")
    index = Page(report.write(tmp_path))
    assert drawings["asked"] == ["sub-01", "sub-02", "sub-02"]
    assert "it broke" in index.text


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:200])])
def test_a_page_that_is_gone_or_damaged_is_drawn_again(tmp_path, drawings, damage):
    record(tmp_path, "sub-01", "mask")
    report.write(tmp_path)
    whole = (tmp_path / "sub-01.html").read_text("utf-8")
    damage(tmp_path / "sub-01.html")
    report.write(tmp_path)
    assert drawings["asked"] == ["sub-01", "sub-01"]
    assert (tmp_path / "sub-01.html").read_text("utf-8") == whole


@pytest.mark.parametrize("name", ["index.html", "sub-02.html"])
def test_a_page_of_another_program_is_left_alone_and_no_report_is_drawn_around_it(tmp_path, drawings, name):
    for series in ("sub-01", "sub-02"):
        record(tmp_path, series, "mask")
    (tmp_path / name).write_text("<html><title>QSIPrep</title></html>")
    for call in (report.write, report.changed):
        with pytest.raises(ProvisionError) as raised:
            call(tmp_path)
        assert raised.value.code == "file-exists" and name in raised.value.message
    assert (tmp_path / name).read_text() == "<html><title>QSIPrep</title></html>"
    assert pages(tmp_path) == [name] and drawings["asked"] == []


def test_only_the_pages_of_chosen_subjects_are_drawn_and_the_index_has_all(tmp_path, drawings):
    for series in ("sub-01", "sub-02"):
        record(tmp_path, series, "mask")
    index = Page(report.write(tmp_path, ["sub-02"]))
    assert drawings["asked"] == ["sub-02"]
    assert "sub-01" in index.text and "sub-02" in index.text


def test_nothing_is_left_of_pages_but_themselves(tmp_path):
    record(tmp_path, "sub-01", "mask")
    report.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".provision", "index.html", "sub-01.html"}


@pytest.mark.parametrize("folder", ["", ".provision/records"])
def test_a_folder_without_records_has_an_index(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert "no records" in Page(report.write(tmp_path)).text


def test_the_numbers_of_a_subject_are_in_the_index_also_when_its_page_is_not_drawn(tmp_path, drawings):
    angles = {"single fibre": Angles(1040, 0.69, 1.4, 3.0), "crossing": Angles(120, 12.34, 20.0, 10.0)}
    drawings["sub-01"] = drawn.Drawn(snr=23.45, outliers=(3, 2), angles=angles)
    record(tmp_path, "sub-01", "mask")
    report.write(tmp_path)
    (tmp_path / "index.html").unlink()
    text = Page(report.write(tmp_path)).text
    assert drawings["asked"] == ["sub-01"]
    for shown in ("23.4", "3 slices of 2 volumes", "0.69°", "12.34°"):
        assert shown in text


def test_angles_are_shown_where_the_truth_is_known_alone(tmp_path, drawings):
    drawings["sub-01"] = drawn.Drawn(angles={"single fibre": Angles(1040, 0.69, 1.4, 3.0)})
    record(tmp_path, "sub-01", "mask")
    record(tmp_path, "sub-02", "mask")
    report.write(tmp_path)
    shown = {name: "true fibres" in Page(tmp_path / f"sub-{name}.html").text for name in ("01", "02")}
    assert shown == {"01": True, "02": False}


def test_a_picture_that_cannot_be_drawn_is_replaced_by_the_reason(tmp_path, drawings):
    drawings["sub-01"] = drawn.Drawn({"glyphs": MISSING})
    record(tmp_path, "sub-01", "mask")
    report.write(tmp_path)
    page = Page(tmp_path / "sub-01.html")
    assert str(MISSING) in page.text and len(page.all("img", "src")) == 2


def test_a_page_has_the_times_memory_versions_and_commands_of_each_step(tmp_path):
    record(tmp_path, "sub-01", "mask")
    record(tmp_path, "sub-01", "fod", seconds=75, versions={"mrtrix3": "3.0.4"})
    report.write(tmp_path)
    text = Page(tmp_path / "sub-01.html").text
    for shown in ("12 s", "1 min 15 s", "345.7 MB", "3.0.8 (1 step)", "3.0.4 (1 step)", "do_mask 'a b.nii'"):
        assert shown in text


def test_a_log_is_linked_if_it_is_in_the_folder(tmp_path):
    out = tmp_path / "out"
    (out / "logs").mkdir(parents=True)
    for name in ("out/logs/a b.log", "secret"):
        (tmp_path / name).touch()
    logs = ("logs/a b.log", "logs/none.log", "../secret", "javascript:x", str(tmp_path / "secret"), "logs")
    for number, log in enumerate(logs):
        record(out, "sub-01", f"step{number}", log=log)
    report.write(out)
    assert Page(out / "sub-01.html").all("a", "href") == ["index.html", "logs/a%20b.log"]


def test_steps_are_in_the_order_in_which_they_were_first_started(tmp_path):
    record(tmp_path, "sub-01", "b", started="2026-11-30T08:00:00Z")
    record(tmp_path, "sub-01", "a", started="2026-11-30T09:00:00Z")
    record(tmp_path, "sub-02", "b", started="2026-12-30T08:00:00Z")
    record(tmp_path, "sub-02", "0", "{")
    assert gathered(tmp_path).steps == ["b", "a", "0"]


def test_the_group_response_says_which_series_it_came_from(tmp_path):
    for series in ("sub-01", "sub-02_ses-1", "sub-03"):
        record(tmp_path, series, "response", outputs={"response_wm": WHITE})
    given = [{"path": f"{series}_response_wm.txt"} for series in ("sub-01", "sub-02_ses-1")]
    given.append({"path": "gone/sub-09_label-WM_response.txt"})
    record(tmp_path, "group", "group_response", inputs={"response_wm": given})
    study = gathered(tmp_path)
    assert study.contributors(study.group[0]) == ["sub-01", "sub-02_ses-1", "sub-09"]
    assert "sub-01, sub-02_ses-1, sub-09" in Page(report.write(tmp_path)).text


def test_a_response_function_is_read_with_its_b_values(tmp_path):
    (tmp_path / "wm.txt").write_text(WHITE)
    found = responses.read(tmp_path / "wm.txt")
    assert found.bvalues == (0, 1000) and found.coefficients[1] == (1500, -600, 100)
    assert found.means[0] == (0, pytest.approx(3000 / math.sqrt(4 * math.pi)))


@pytest.mark.parametrize(
    "text", ["", "# Shells: 0\n", "3000\n", "# Shells: 0,1\n3\n", "# Shells: 0\nx\n", "# Shells: 0\nnan\n"]
)
def test_a_damaged_response_function_is_left_out(tmp_path, text):
    record(tmp_path, "sub-01", "response", outputs={"response_wm": text, "response_gm": FLAT})
    assert list(responses.of_series(gathered(tmp_path).series[0])) == ["gm"]
    report.write(tmp_path)
    assert "grey matter" in Page(tmp_path / "sub-01.html").text


def test_the_shape_is_that_of_mrtrix3s_harmonics():
    coefficients = (1500.0, -600.0, 100.0, -30.0)
    angles = np.linspace(0, np.pi, 7)
    directions = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=-1)
    whole = np.zeros(28)
    whole[[0, 3, 10, 21]] = coefficients  # of order 0
    wanted = fod_render.sh_basis(directions, 6) @ whole
    assert [responses.zonal(coefficients, math.cos(angle)) for angle in angles] == pytest.approx(wanted)


def test_the_fibre_points_up_and_the_signal_is_largest_across_it():
    points = responses.Response((1000,), ((1500, -600, 100),)).shape(0)
    assert max(points, key=lambda point: math.hypot(*point))[1] == pytest.approx(0, abs=1e-6)
    assert min(points, key=lambda point: math.hypot(*point))[0] == pytest.approx(0, abs=1e-6)


def means(scale: float, shells=(0, 1000)) -> list[tuple[float, float]]:
    return [(b, scale * 900 * math.exp(-b / 1000)) for b in shells]


def test_a_series_far_from_all_others_is_marked_in_the_chart(tmp_path):
    for number, scale in enumerate((1.0, 1.02, 0.98, 1.01, 0.99, 2.0)):
        text = f"# Shells: 0,1000\n{3000 * scale}\n{1500 * scale}\n"
        record(tmp_path, f"sub-0{number}", "response", outputs={"response_gm": text})
    report.write(tmp_path)
    study = gathered(tmp_path)
    (chart,) = responses.group_charts({one.name: responses.of_series(one) for one in study.series}, study)
    assert [line.name for line in chart.lines if line.look == "apart"] == ["sub-05"]
    assert len(chart.lines) == 6


@pytest.mark.parametrize(
    ("scales", "found"),
    [
        ([1, 1, 1, 1, 1.09], []),
        ([1, 1, 1, 1, 1.2], ["4"]),
        ([1, 1.2, 0.8, 1.1, 0.9, 1.5], []),
        ([1, 1, 1, 3], []),
    ],
    ids=["small share", "far", "within the spread", "too few to judge"],
)
def test_series_are_judged_by_the_spread_of_all_and_a_share(scales, found):
    assert responses.differing({str(at): means(scale) for at, scale in enumerate(scales)}) == found


def test_series_are_compared_with_those_of_the_same_shells():
    same = {str(at): means(1) for at in range(5)}
    assert responses.differing({**same, "other": means(3, (0, 3000)), "near": means(3, (0, 1010))}) == ["near"]


def test_the_groups_response_takes_the_b_values_of_a_series_where_it_has_none(tmp_path):
    record(tmp_path, "sub-01", "response", outputs={"response_wm": WHITE})
    record(
        tmp_path,
        "group",
        "group_response",
        outputs={"group_response_wm": "# by responsemean\n3100 0 0\n1600 -600 90\n"},
    )
    study = gathered(tmp_path)
    like = responses.of_series(study.series[0])["wm"]
    found = responses.group_response(study.group[0].outputs["group_response_wm"][0], like)
    assert found.bvalues == (0, 1000) and found.coefficients[0][0] == 3100


def test_series_of_other_shells_have_a_group_response_of_their_own(tmp_path):
    for series, group, level in (("sub-01", "group_b0b1000", 3000), ("sub-02", "group_b0b3000", 9000)):
        text = f"# Shells: 0,1000\n{level}\n{level / 2}\n"
        record(tmp_path, series, "response", outputs={"response_wm": text})
        given = [{"path": f"{series}_response_wm.txt"}]
        record(tmp_path, group, "group_response", inputs={"response_wm": given}, outputs={"group_response_wm": text})
        record(tmp_path, series, "fod", inputs={"group_response_wm": [{"path": f"{group}_group_response_wm.txt"}]})
    study = gathered(tmp_path)
    assert [study.contributors(group) for group in study.group] == [["sub-01"], ["sub-02"]]
    for series in study.series:
        own, group = responses.series_charts(series)[0].lines
        assert own.points == group.points
    (chart,) = responses.group_charts({one.name: responses.of_series(one) for one in study.series}, study)
    assert [line.name for line in chart.lines if line.look == "group"] == ["group b0b1000", "group b0b3000"]


def listed(out: Path, *rows: tuple[str, ...]) -> None:
    """Write the list of failures."""
    head = ("subject", "session", "series", "step", "command", "error", "log")
    (out / "failed.tsv").write_text("\n".join("\t".join(row) for row in (head, *rows)) + "\n")


def test_series_that_could_not_be_started_are_reported_with_the_reason(tmp_path, drawings):
    record(tmp_path, "sub-01", "mask")
    report.write(tmp_path)
    listed(tmp_path, ("02", "n/a", "sub-02", "data", "n/a", "There is no .bvec file.", "n/a"))
    index = Page(report.write(tmp_path))
    assert [one.name for one in gathered(tmp_path).series] == ["sub-02", "sub-01"]
    assert "There is no .bvec file." in index.text and "n/a" not in index.text
    assert "There is no .bvec file." in Page(tmp_path / "sub-02.html").text
    assert drawings["asked"] == ["sub-01", "sub-02"]
    assert gathered(tmp_path).steps == ["mask"]
    listed(tmp_path, ("02", "n/a", "sub-02", "data", "n/a", "The image is damaged.", "n/a"))
    report.write(tmp_path)
    assert "The image is damaged." in Page(tmp_path / "sub-02.html").text


def test_a_record_counts_more_than_the_list_of_failures(tmp_path):
    record(tmp_path, "sub-01", "mask")
    listed(tmp_path, ("01", "n/a", "sub-01", "mask", "do_mask", "it broke", "n/a"))
    assert not gathered(tmp_path).series[0].failed


@pytest.mark.parametrize("content", [b"", b"\0\xff\n\0", b"a\tb\n1\n", b"series\n" + b"x" * 200_000])
def test_a_damaged_list_of_failures_does_no_harm(tmp_path, content):
    record(tmp_path, "sub-01", "mask")
    (tmp_path / "failed.tsv").write_bytes(content)
    report.write(tmp_path)
    assert "sub-01.html" in pages(tmp_path)


TABLE = """Mean length     Axis flipped    Axis permutations    Axis basis
{}
"""


@pytest.mark.parametrize(
    ("rows", "words", "look"),
    [
        (["31.27  none  (0, 1, 2)  scanner", "20.00  2  (0, 1, 2)  image"], "as stored", "pass"),
        (["31.27  none  (0, 2, 1)  scanner", "18.00  none  (0, 1, 2)  image"], "axes 0, 2, 1, not as stored", "fail"),
        (["31.27  2  (0, 1, 2)  image", "30.00  none  (0, 1, 2)  image"], "as stored, or axis 2 flipped", "warn"),
        (["31.27  1  (0, 1, 2)  image"], "axis 1 flipped, not as stored", "fail"),
    ],
    ids=["right", "swapped", "undecided", "flipped"],
)
def test_the_table_of_dwigradcheck_is_said_in_short(tmp_path, rows, words, look):
    (tmp_path / "check.txt").write_text(TABLE.format("\n".join(rows)))
    _text, short, found = drawn.checked(tmp_path / "check.txt")
    assert short.startswith(words) and found == look


@pytest.mark.parametrize(
    ("said", "words", "look"),
    [
        ({"passed": True, "best": "x,y,z", "scores": {"x,y,z": 15.0}}, "as stored", "pass"),
        ({"passed": True, "best": "x,y,z", "scores": {}}, "not judged", "warn"),
        ({"passed": False, "best": "y,x,z", "scores": {"x,y,z": 5.0}}, "y,x,z, not as stored", "fail"),
    ],
    ids=["right", "too little", "swapped"],
)
def test_our_own_check_is_said_in_short(tmp_path, said, words, look):
    (tmp_path / "check.json").write_text(json.dumps(said))
    _text, short, found = drawn.checked(tmp_path / "check.json")
    assert short.startswith(words) and found == look


def test_a_check_that_failed_is_reported_as_such(tmp_path):
    failed(tmp_path, "sub-01", "gradients", "The b-vectors do not fit the image.")
    assert drawn.check_of(gathered(tmp_path).series[0]) == ("", "failed", "fail")


def test_another_check_is_shown_by_its_first_line(tmp_path):
    (tmp_path / "check.txt").write_text("\nThe table is right.\nmore\n")
    assert drawn.checked(tmp_path / "check.txt")[1:] == ("The table is right.", "")


def test_a_check_that_is_gone_is_reported(tmp_path):
    assert drawn.checked(tmp_path / "gone.txt")[2] == "warn"


@pytest.fixture
def real(monkeypatch):
    """The true function, on a machine without MRtrix3."""

    def missing(name):
        raise ProvisionError("MRtrix3 is not installed.", code="not-installed")

    monkeypatch.undo()
    monkeypatch.setattr(mrtrix3, "command", missing)


def test_without_mrtrix3_there_are_pages_that_say_so(tmp_path, drawings, real):
    dwi = [{"path": "dwi.nii.gz"}]
    record(tmp_path, "sub-01", "response", inputs={"dwi": dwi}, outputs={"response_wm": WHITE, "fod_wm": ""})
    report.write(tmp_path)
    page = Page(tmp_path / "sub-01.html")
    assert page.text.count("MRtrix3 is not installed.") == 3 and page.all("polyline", "points")


def test_outputs_that_were_never_made_leave_sentences(tmp_path, drawings, real):
    failed(tmp_path, "sub-01", "mask", "it broke")
    report.write(tmp_path)
    page = Page(tmp_path / "sub-01.html")
    assert not page.all("img", "src") and page.text.count("There are no FODs.") == 1


def test_an_error_that_nobody_foresaw_costs_a_picture_and_not_the_page(tmp_path, drawings, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(drawn, "_glyphs", lambda *_: 1 / 0)
    record(tmp_path, "sub-01", "mask")
    report.write(tmp_path)
    assert "ZeroDivisionError" in Page(tmp_path / "sub-01.html").text


def test_the_raw_series_and_its_table_are_the_first_that_a_step_was_given(tmp_path):
    first = {"dwi": [{"path": "/raw/dwi.nii.gz"}, {"path": "/raw/dwi.bvec"}], "bval": [{"path": "/raw/x"}]}
    record(tmp_path, "sub-01", "denoise", inputs=first, started="2026-11-30T07:00:00Z")
    record(tmp_path, "sub-01", "mask", inputs={"dwi": [{"path": "sub-01/dwi/denoised.mif"}]})
    series = gathered(tmp_path).series[0]
    assert [str(path) for path in (series.input("dwi"), series.table("bval"), series.table("bvec"))] == [
        "/raw/dwi.nii.gz", "/raw/x", "/raw/dwi.bvec"
    ]  # fmt: skip


def truths(tmp_path: Path, *names: str) -> list[Path]:
    """Where the truth of a series in a data set is found, among files of these names."""
    out, bids = tmp_path / "out", tmp_path / "bids"
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    out.mkdir(exist_ok=True)
    bids.mkdir(exist_ok=True)
    (bids / "dataset_description.json").touch()
    dwi = [{"path": str(bids / "sub-01/dwi/sub-01_dwi.nii.gz")}]
    record(out, "sub-01", "fod", inputs={"dwi": dwi}, outputs={"fod_wm": ""})
    series: Series = gathered(out).series[0]
    return [place for place in drawn._truths(series, out) if place.is_file()]


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (["bids/truth.nii.gz"], "bids/truth.nii.gz"),
        (["bids/truth.nii.gz", "bids/sub-01/dwi/sub-01_truth.nii.gz"], "bids/sub-01/dwi/sub-01_truth.nii.gz"),
        (["bids/truth.nii.gz", "out/truth.nii.gz"], "out/truth.nii.gz"),
        (["truth.nii.gz"], None),
        (["bids/sub-02/truth.nii.gz"], None),
    ],
    ids=["inherited", "nearest", "output first", "above the data set", "another subject"],
)
def test_the_truth_is_the_nearest_file_within_the_data_set_or_the_output(tmp_path, there, found):
    assert truths(tmp_path, *there)[:1] == ([tmp_path / found] if found else [])


def test_at_most_some_thousand_voxels_are_compared_and_they_are_spread_evenly():
    few = np.zeros((10, 10, 10), bool)
    few[2:5] = True
    assert (drawn._some(few) == few).all()
    many = drawn._some(np.ones((100, 50, 8), bool))
    assert many.sum() == 5000 and many[:50].sum() == 2500
