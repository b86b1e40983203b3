"""What records promise: which steps are due, and which are not."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from provision.study import records
from provision.study.records import Records, path_of

from .builders import RESPONSE, step

RECORD = path_of("sub-01", "response")
OUTPUT = "sub-01/dwi/sub-01_response.txt"


@pytest.fixture
def done(lab):
    """A study of one step of one series, which is done."""
    lab.steps = (RESPONSE,)
    lab.add("01")
    assert lab.ran() == ["sub-01/response"]
    return lab


@pytest.fixture
def read(monkeypatch):
    """The files whose content is read."""
    found = []
    digest = records.sha256_of
    monkeypatch.setattr(records, "sha256_of", lambda path: found.append(path) or digest(path))
    return found


def touch(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 5_000_000_000))


def noted(lab):
    return json.loads((lab.out / RECORD).read_text())


def test_what_is_done_is_not_done_again_and_nothing_is_read(done, read):
    assert done.ran() == [] and read == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"state": "done"}', '{"inputs": {}, "outputs": []}', '{"inputs": 1, "outputs": {}}',
     '{"inputs": {"dwi": [1]}, "outputs": {}}', '{"inputs": {"dwi": [{"path": []}]}, "outputs": {}}'],
)  # fmt: skip
def test_a_step_whose_record_is_damaged_is_due(done, text):
    (done.out / RECORD).write_text(text)
    assert done.ran() == ["sub-01/response"] and noted(done)["state"] == "done"


@pytest.mark.parametrize(
    ("field", "value"),
    [("seconds", "x"), ("memory", None), ("state", "odd"), ("log", 5), ("outputs", {}), ("outputs", {"response": []})],
)
def test_a_step_whose_record_was_edited_to_make_no_sense_is_due(done, field, value):
    (done.out / RECORD).write_text(json.dumps({**noted(done), field: value}))
    assert done.ran() == ["sub-01/response"] and noted(done)["state"] == "done"


@pytest.mark.parametrize("path", [5, "a\0b"])
def test_a_step_whose_record_names_no_file_is_due(done, path):
    record = noted(done)
    record["outputs"]["response"][0]["path"] = path
    (done.out / RECORD).write_text(json.dumps(record))
    assert done.ran() == ["sub-01/response"]


@pytest.mark.parametrize("key", ["step", "series", "state", "definition", "inputs", "outputs"])
def test_a_step_whose_record_lacks_something_is_due(done, key):
    (done.out / RECORD).write_text(json.dumps({name: value for name, value in noted(done).items() if name != key}))
    assert done.ran() == ["sub-01/response"] and key in noted(done)


def test_a_step_without_a_record_is_due(done):
    (done.out / RECORD).unlink()
    assert done.ran() == ["sub-01/response"]


def test_a_step_that_was_changed_is_due(done):
    done.steps = (step("response", "dwi", commands=(("response", "-x"),)),)
    assert done.ran() == ["sub-01/response"] and done.ran() == []


def test_a_step_whose_input_was_changed_is_due_also_at_the_same_size(done):
    done.image("01").write_text("image of 10")
    touch(done.image("01"))
    (task,) = done.run()
    assert task.state == "done" and task.reason == ""
    assert (done.out / OUTPUT).read_text() == "image of 10"


def moved(lab) -> None:
    """Move the dataset and the output folder."""
    lab.data, lab.out = (path.rename(path.with_name(f"{path.name}-moved")) for path in (lab.data, lab.out))
    lab.series = [replace(series, image=lab.data / series.image.name) for series in lab.series]


def test_what_was_moved_is_not_done_again_and_read_once(done, read):
    moved(done)
    assert done.ran() == [] and read == [str(done.image("01"))]
    (file,) = noted(done)["inputs"]["dwi"]
    assert file["path"] == str(done.image("01"))
    assert done.ran() == [] and len(read) == 1


def test_a_step_whose_input_is_another_file_of_the_same_size_and_time_is_due(done):
    times = done.image("01").stat().st_mtime_ns
    moved(done)
    done.image("01").write_text("image of 10")
    os.utime(done.image("01"), ns=(times, times))
    assert done.ran() == ["sub-01/response"]


@pytest.mark.parametrize("change", [os.unlink, lambda path: path.write_text(""), lambda path: path.write_text("other")])
def test_a_step_whose_output_is_missing_or_changed_is_due(done, change):
    change(done.out / OUTPUT)
    assert done.ran() == ["sub-01/response"] and (done.out / OUTPUT).read_text() == "image of 01"


@pytest.mark.parametrize("which", ["input", "output"])
def test_a_touched_file_of_the_same_content_is_read_once(done, read, which):
    path = done.image("01") if which == "input" else done.out / OUTPUT
    touch(path)
    assert done.ran() == [] and read == [str(path)]
    (file,) = noted(done)[f"{which}s"]["dwi" if which == "input" else "response"]
    assert file["mtime_ns"] == path.stat().st_mtime_ns
    assert done.ran() == [] and len(read) == 1


def test_a_file_that_two_steps_read_is_looked_at_once(done, read):
    done.steps = (RESPONSE, step("mask", "dwi"))
    done.run()
    touch(done.image("01"))
    assert done.ran() == [] and len(read) == 1


def test_a_reason_says_what_changed(done):
    known = Records(done.out)
    inputs = {"dwi": [str(done.image("01"))]}
    assert known.reason({}, RESPONSE.definition, inputs) != ""
    assert known.reason(known.read(RECORD), RESPONSE.definition, inputs) == ""
    assert "step" in known.reason(known.read(RECORD), "other", inputs)
    done.image("01").write_text("longer than before")
    assert "dwi" in known.reason(known.read(RECORD), RESPONSE.definition, inputs)
    assert known.reason(known.read(RECORD), RESPONSE.definition, None) == ""
    (done.out / OUTPUT).unlink()
    assert "response" in known.reason(known.read(RECORD), RESPONSE.definition, None)
