"""What is left of a run for people: the table, the list of what failed, and the descriptions."""

from __future__ import annotations

import csv
import errno
import json
import os

import pytest

from provision.errors import ProvisionError
from provision.study import summary

from .builders import Pool, step, write


@pytest.fixture
def study(lab):
    """Run what is due; return the table of it."""

    def run(pool=None, **settings):
        tasks = lab.run(pool, **settings)
        found = summary.study(lab.out, lab.series, tasks, ["A note."])
        summary.write(found, tasks, all_series=settings.get("whole", True))
        return found

    return run


def failed(lab):
    with (lab.out / "failed.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


def provenance(lab, subject):
    return lab.out / f"sub-{subject}/dwi/sub-{subject}_provenance.json"


def test_a_row_says_how_much_is_done_and_how_long_it_took(lab, study):
    lab.add("01")
    (row,) = study().rows
    assert (row.series, row.subject, row.session, row.state) == ("sub-01", "01", "", "done")
    assert (row.done, row.total, row.ran, row.seconds) == (2, 2, 2, 4.0)
    (row,) = study().rows
    assert (row.state, row.done, row.ran, row.seconds) == ("done", 2, 0, 4.0)


def test_a_study_has_changed_if_a_step_was_run(lab, study):
    lab.add("01")
    assert study().changed and not study().changed


def test_a_series_that_failed_is_in_the_list_with_step_command_and_error(lab, study):
    lab.add("01", "02")
    pool = Pool(lab.out)
    pool.fails["sub-01/response"] = "no white matter"
    found = study(pool)
    assert not found.ok and [row.series for row in found.failed] == ["sub-01"]
    assert failed(lab) == [{
        "subject": "01", "session": "n/a", "series": "sub-01", "step": "response", "command": "fail",
        "error": "no white matter", "log": "logs/sub-01_response.log",
    }]  # fmt: skip


def test_the_list_of_what_failed_is_empty_when_nothing_fails_any_more(lab, study):
    lab.add("01")
    pool = Pool(lab.out)
    pool.fails["sub-01/response"] = "no"
    study(pool)
    assert study(retry_failed=True).ok and failed(lab) == []


def test_what_failed_in_an_earlier_run_stays_in_the_list(lab, study):
    lab.add("01")
    pool = Pool(lab.out)
    pool.fails["sub-01/response"] = "no"
    study(pool)
    assert not study().ok and failed(lab)[0]["error"] == "no"


def test_what_failed_stays_in_the_list_unless_a_run_over_the_whole_dataset_does_not_find_it(lab, study):
    lab.add("01", "02")
    pool = Pool(lab.out)
    pool.fails["sub-01/response"] = "no"
    study(pool)
    del lab.series[0]
    assert study(whole=False).ok and [row["series"] for row in failed(lab)] == ["sub-01"]
    assert study().ok and failed(lab) == []


@pytest.mark.parametrize("content", [b"subject\treason\n01\tmoved\n", b"\xff\xfe\0", b"my notes"])
def test_a_list_of_failures_of_another_program_is_left_alone_and_named(lab, content):
    lab.add("01")
    lab.out.mkdir()
    (lab.out / "failed.tsv").write_bytes(content)
    tasks = lab.run()
    found = summary.write(summary.study(lab.out, lab.series, tasks), tasks)
    assert (lab.out / "failed.tsv").read_bytes() == content and found.ok
    assert "failed.tsv" in found.notes[-1] and provenance(lab, "01").is_file()


def test_any_error_is_one_cell_of_the_list(lab, study):
    lab.add("01")
    pool = Pool(lab.out)
    pool.fails["sub-01/response"] = 'a\tb\nc "d"'
    study(pool)
    assert [row["error"] for row in failed(lab)] == ['a\tb\nc "d"']


def test_a_series_whose_average_failed_has_failed_too(lab, study):
    lab.add("01")
    pool = Pool(lab.out)
    pool.fails["group_b0b1000b2000/mean"] = "no"
    (row,) = study(pool).rows
    assert (row.state, row.step, row.done) == ("failed", "fod", 1) and "mean" in row.error


def test_a_series_with_a_problem_has_failed_and_one_left_out_has_not(lab):
    lab.add("01", problem="It has no gradient table.")
    lab.add("02", note="It has b=0 volumes only.")
    found = summary.study(lab.out, lab.series, [])
    assert [(row.state, row.error) for row in found.rows] == [
        ("failed", "It has no gradient table."), ("left out", "It has b=0 volumes only."),
    ]  # fmt: skip
    assert len(found.failed) == 1


@pytest.mark.parametrize(("settings", "state"), [({"whole": False}, "waiting"), ({"level": "group"}, "waiting")])
def test_a_series_that_waits_has_not_failed(lab, study, settings, state):
    lab.add("01")
    lab.run(whole=False)
    found = study(**settings)
    assert found.rows[0].state == state and found.ok and failed(lab) == []


def test_what_would_be_run_is_due(lab):
    lab.add("01")
    scheduler = lab.scheduler()
    scheduler.foresee()
    found = summary.study(lab.out, lab.series, scheduler.tasks)
    assert found.rows[0].state == "due" and found.rows[0].step == "response" and found.ok and not found.changed


def test_a_study_is_a_table_and_data(lab, study):
    lab.add("01")
    broken = summary.Row("sub-02", "02", "", "failed", error="\x1b[31m<b>")
    found = summary.Study(lab.out, (*study().rows, broken), ("A note.",))
    for text in (str(found), found._repr_html_()):
        assert [part for part in ("sub-01", "2/2", "failed", "A note.", str(lab.out)) if part not in text] == []
    assert "\x1b[31m" not in str(found) and "<b>" not in found._repr_html_()
    data = json.loads(json.dumps(found.to_dict()))
    assert data["changed"] and [row["state"] for row in data["series"]] == ["done", "failed"]


def test_a_series_of_which_something_was_run_gets_its_provenance(lab, study):
    lab.add("01")
    study()
    found = json.loads(provenance(lab, "01").read_text())
    assert found["series"] == "sub-01" and [each["step"] for each in found["steps"]] == ["response", "fod"]


def test_a_series_that_an_interrupted_run_has_done_gets_its_provenance_from_the_next(lab, study):
    lab.steps = (step("denoise", "dwi", "dwi"),)
    lab.steps[0].outputs["dwi"] = "desc-x_dwi.nii.gz"
    lab.add("01")
    lab.run()
    assert not study().changed
    assert [each["step"] for each in json.loads(provenance(lab, "01").read_text())["steps"]] == ["denoise"]
    described = lab.out / "sub-01/dwi/sub-01_desc-x_dwi.json"
    assert json.loads(described.read_text()) == {"SkullStripped": False}
    before = [path.stat().st_ino for path in (provenance(lab, "01"), described)]
    study()
    assert [path.stat().st_ino for path in (provenance(lab, "01"), described)] == before
    lab.run(redo=frozenset(["denoise"]))
    record = json.loads((lab.out / ".provision/records/sub-01/denoise.json").read_text())
    study()
    assert json.loads(provenance(lab, "01").read_text())["steps"] == [record]


def test_a_series_that_came_later_is_named_also_where_its_name_begins_that_of_another(lab):
    lab.add("01_run-2")
    assert "without" not in summary.notes(lab.run(), False)[0]
    lab.add("01", "02")
    assert "is from 1 series, without sub-01, sub-02;" in summary.notes(lab.run(), False)[0]


def test_a_step_of_the_group_that_reads_nothing_has_no_note(lab):
    lab.steps = (step("template", "", level="group"), step("fod", "dwi template"))
    lab.add("01")
    assert summary.notes(lab.run(), False) == []


def test_the_folder_is_described_as_derivatives_of_its_dataset(lab):
    write(lab.data / "dataset_description.json", '{"Name": "My study", "BIDSVersion": "1.9.0"}')
    summary.describe(lab.out, lab.data)
    found = json.loads((lab.out / "dataset_description.json").read_text())
    assert found["Name"].startswith("My study") and found["DatasetType"] == "derivative"
    assert found["GeneratedBy"][0]["Name"] == "provision" and found["GeneratedBy"][0]["Version"]
    assert found["SourceDatasets"] == [{"URL": lab.data.as_uri()}]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_folder_that_cannot_be_described_is_no_bug_of_ours(lab, monkeypatch, number):
    def failing(path, _):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(summary, "write_json", failing)
    with pytest.raises(ProvisionError, match=r"dataset_description\.json") as raised:
        summary.describe(lab.out, lab.data)
    assert raised.value.code == "study-folder"


def test_files_that_bids_does_not_know_are_ignored(lab):
    summary.describe(lab.out, lab.data)
    lines = (lab.out / ".bidsignore").read_text().splitlines()
    assert {"failed.tsv", "*_provenance.json", "*.html", "*_dwimap.*", "logs", "group"} <= set(lines)


def test_a_dataset_without_a_description_gives_its_name(lab):
    summary.describe(lab.out, lab.data)
    assert json.loads((lab.out / "dataset_description.json").read_text())["Name"].startswith("data")


@pytest.mark.parametrize("name", ["dataset_description.json", ".bidsignore"])
def test_a_description_that_is_there_stays(lab, name):
    write(lab.out / name, "{}")
    summary.describe(lab.out, lab.data)
    assert (lab.out / name).read_text() == "{}" and len(list(lab.out.iterdir())) == 2
