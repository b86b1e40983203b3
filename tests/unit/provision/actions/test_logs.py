"""What is told of past runs."""

from __future__ import annotations

import json

import pytest

from provision.actions import logs
from provision.cli.main import main
from provision.engine import logbook
from provision.errors import OptionError, ProvisionError

RECAP = "PLAY RECAP\nlocalhost                  : ok=5    changed={}    unreachable={}    failed={}    skipped=9\n"


@pytest.fixture
def folder(state_place):
    return state_place / "logs"


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_the_newest_run_comes_first_with_what_was_run(folder):
    write(folder, "20261123T120000.000001-deps+mrtrix3.log", RECAP.format(2, 0, 0))
    write(folder, "20261123T130000.000001-remove+sshd.log", RECAP.format(0, 0, 0))
    write(folder, "notes.log", "somebody else's")
    found = logs.logs()
    assert [log.roles for log in found] == [("remove", "sshd"), ("deps", "mrtrix3")]
    assert [line.split()[0] for line in repr(found).splitlines()[:-1]] == ["1", "2"]
    assert "2026-11-23 13:00 UTC" in repr(found) and "2 changes" in repr(found) and "deps mrtrix3" in repr(found)
    assert ">remove sshd</td>" in found._repr_html_()


def test_the_last_run_comes_first_and_is_kept_after_the_clock_was_set_back(folder, monkeypatch):
    write(folder, "20991123T120000.000001-old.log", "x")
    monkeypatch.setattr(logbook, "_KEPT", 2)
    for name in ("one", "two"):
        path, problem = logbook.write("x", [name])
        assert path.exists() and not problem
    assert [log.roles for log in logs.logs()] == [("two",), ("one",)]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (RECAP.format(0, 0, 0), "nothing changed"),
        (RECAP.format(1, 0, 0), "1 change"),
        (RECAP.format(1, 0, 0) + RECAP.format(2, 0, 0), "3 changes"),
        (RECAP.format(1, 0, 1), "failed"),
        (RECAP.format(1, 1, 0), "failed"),
        ("TASK [Compile]\n", "did not end"),
    ],
)
def test_how_it_ended_is_read_from_the_closing_lines(folder, text, outcome):
    write(folder, "20261123T120000.000001-mrtrix3.log", text)
    assert logs.log(1).outcome == outcome


def test_looking_makes_no_folder(folder):
    assert len(logs.logs()) == 0 and "There are no logs in" in repr(logs.logs())
    assert not folder.exists()


@pytest.mark.parametrize("number", [0, 2, -1])
def test_a_log_that_does_not_exist_is_wrong_usage(folder, number):
    write(folder, "20261123T120000.000001-deps.log", "said")
    with pytest.raises(OptionError) as refused:
        logs.log(number)
    assert refused.value.code == "no-log" and str(number) in refused.value.message


def test_a_log_that_has_been_deleted_since_says_so(folder):
    write(folder, "20261123T120000.000001-deps.log", "said")
    log = logs.log(1)
    log.path.unlink()
    with pytest.raises(ProvisionError) as failed:
        _ = log.text
    assert failed.value.code == "no-log" and str(log.path) in failed.value.message and failed.value.hint


def test_the_command_prints_the_table_or_one_log_or_json(folder, capsys):
    write(folder, "20261123T120000.000001-deps.log", "the older\n")
    write(folder, "20261123T130000.000001-mrtrix3.log", "the newer\n")
    for line, said in (("logs 2", "the older\n"), ("logs --last", "the newer\n"), ("logs 1", "the newer\n")):
        assert main(line.split()) == 0 and capsys.readouterr().out == said
    assert main(["logs"]) == 0 and "did not end" in capsys.readouterr().out
    assert main(["logs", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["logs"]
    assert [log["roles"] for log in told] == [["mrtrix3"], ["deps"]] and "text" not in told[0]
    assert main(["logs", "1", "--json"]) == 0 and json.loads(capsys.readouterr().out)["text"] == "the newer\n"
    assert main(["logs", "3"]) == 2 and main(["logs", "x"]) == 2
