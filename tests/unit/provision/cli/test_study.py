"""The command ``process``, with a study of our own in place of one that is run."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from provision.cli import flags, study
from provision.cli.main import _parser
from provision.errors import ProvisionError
from provision.study.process import process
from provision.study.summary import Row, Study

from .doubles import Calls, help_of, provision, refused

DONE = Row("sub-01", "01", "", "done", 2, 2, 2, 4.0)
FAILED = Row("sub-02", "02", "", "failed", 0, 2, 1, step="mask", error="no brain")


@pytest.fixture
def calls(monkeypatch):
    calls = Calls(Study(Path("/out"), (DONE,), ("A note.",)))
    monkeypatch.setattr("provision.process", calls)
    return calls


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("", {}),  # what is not given has the function's default
        ("--participant-label 01 02", {"participant_label": ["01", "02"]}),
        ("--participant_label 01 --participant-label sub-02", {"participant_label": ["01", "sub-02"]}),
        ("--session-label 1", {"session_label": ["1"]}),
        ("--session_label 1 2", {"session_label": ["1", "2"]}),
        ("--pattern {subject}/dwi.nii.gz", {"pattern": "{subject}/dwi.nii.gz"}),
        ("--steps denoise,csd", {"steps": ["denoise", "csd"]}),
        ("--steps ./my.yml,", {"steps": ["./my.yml"]}),
        ("--jobs 2 --nthreads 4 --mem 7.5", {"jobs": 2, "nthreads": 4, "mem": 7.5}),
        ("--n_cpus 4 --mem_gb 8", {"nthreads": 4, "mem": 8.0}),
        ("--executor tcp://head:8786 --scratch /fast", {"executor": "tcp://head:8786", "scratch": "/fast"}),
        ("--retry-failed --dry-run --scrub", {"retry_failed": True, "dry_run": True, "scrub": True}),
        ("--redo mask,fod", {"redo": ["mask", "fod"]}),
        ("--no-report", {"report": False}),
    ],
)
def test_what_is_written_is_what_the_function_is_given(calls, line, given):
    assert provision(f"process bids out participant {line}") == 0
    assert calls == [(("bids", "out", "participant"), given)]


def test_the_level_is_one_of_a_bids_app(calls):
    assert provision("process bids out group") == 0
    assert calls[0][0] == ("bids", "out", "group")


def test_flags_are_the_parameters_of_the_function():
    ours = {action.dest for action in flags.subcommands(_parser(None))["process"]._actions}
    assert ours - {"json", "help"} == set(inspect.signature(process).parameters) - {"progress"}


def test_a_study_is_printed_as_a_table(calls, capsys):
    assert provision("process bids out participant") == 0
    said = capsys.readouterr().out
    assert [word for word in ("sub-01", "done", "2/2", "A note.", "/out") if word not in said] == []


def test_json_is_all_there_is_on_standard_output(calls, capsys):
    assert provision("process bids out participant --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["out"] == "/out" and found["changed"] and found["notes"] == ["A note."]
    assert [(row["series"], row["state"], row["done"]) for row in found["series"]] == [("sub-01", "done", 2)]


@pytest.mark.parametrize("json", ["", "--json"])
def test_a_series_that_failed_is_a_failure(calls, capsys, json):
    calls.returns = Study(Path("/out"), (DONE, FAILED))
    assert provision(f"process bids out participant {json}") == 1
    assert "no brain" in capsys.readouterr().out


def test_a_run_that_could_not_be_finished_is_a_failure(calls, capsys):
    calls.raises = ProvisionError("Another run is at work.", code="study-busy")
    assert provision("process bids out participant --json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "study-busy"


def test_an_interrupted_run_can_be_told_from_a_failed_one(calls):
    calls.raises = KeyboardInterrupt()
    assert provision("process bids out participant") == 130


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("process", ["BIDS_DIR", "OUT_DIR", "LEVEL"]),
        ("process bids out", ["LEVEL"]),
        ("process bids out all", ["'all'", "participant", "group"]),
        ("process bids out participant more", ["'more'", "process"]),
        ("process bids out participant --jobs 0", ["--jobs", "'0'"]),
        ("process bids out participant --jobs 1.5", ["--jobs", "'1.5'", "whole"]),
        ("process bids out participant --nthreads -1", ["--nthreads", "'-1'"]),
        ("process bids out participant --mem much", ["--mem", "'much'"]),
        ("process bids out participant --mem nan", ["--mem", "'nan'"]),
        ("process bids out participant --mem inf", ["--mem", "'inf'"]),
        ("process bids out participant --participant-label", ["--participant-label"]),
    ],
)
def test_a_wrong_line_is_refused_in_a_sentence(calls, capsys, line, values):
    refused(line, "usage", values, capsys)
    assert calls == []


def test_help_has_the_flags_and_exit_codes(capsys):
    said = help_of("process --help", capsys)
    assert [word for word in ("--participant-label", "--retry-failed", "exit codes", "130") if word not in said] == []


def test_examples_in_help_are_right_usage(calls):
    lines = [line.strip() for line in study._EXAMPLES.splitlines() if line.strip().startswith("provision")]
    lines = [line.split("   ")[0].removeprefix("provision ").replace("'", "") for line in lines]
    assert len(lines) > 5 and [provision(line) for line in lines] == [0] * len(lines)
    assert calls[-1][1]["pattern"] == "{subject}/{session}/dwi.nii.gz"
