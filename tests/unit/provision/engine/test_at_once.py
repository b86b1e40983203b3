"""When a run may be answered without starting Ansible, and when not."""

import json
import os

import pytest

import provision
from provision.engine import at_once, content
from provision.engine.runner import Outcome
from provision.machine import look

WANTED = {"mrtrix3": {"name": "mrtrix3", "version": "auto", "state": "present", "conda": {}}}
READY = {"mrtrix3": {"version": "3.0.8"}}


@pytest.fixture
def kept(state_place):
    return state_place / "wanted"


@pytest.fixture(autouse=True)
def looked(monkeypatch):
    """Let the machine be as wanted; return what the look was asked, and in which environment."""
    asked = []

    def look_at(roles):
        asked.append((roles, dict(os.environ)))
        return {"due": [], "ready": READY}

    monkeypatch.setattr(look, "read_here", dict)
    monkeypatch.setattr(look, "look", look_at)
    return asked


def test_where_nothing_is_due_the_answer_is_what_the_roles_report():
    at_once.keep("question", WANTED)
    assert at_once.outcome("question") == Outcome(0, 0.0, {"localhost": READY}, None)


def test_the_look_is_asked_for_what_was_wanted_as_a_run_asks_for_it(looked, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    at_once.keep("question", WANTED)
    at_once.outcome("question")
    ((asked, _),) = looked
    files = str(content.root() / "roles" / "mrtrix3" / "files")
    common = {"folder": str(tmp_path), "shell": True, "can_become": False, "leaving": []}
    assert asked == {"mrtrix3": {**WANTED["mrtrix3"], **common, "here": str(tmp_path), "files": files}}


def test_the_look_has_the_environment_of_a_run_and_the_caller_has_his_own_again(looked, monkeypatch):
    # A language that exists would be kept by the C library for what it said meanwhile, as long as the process lasts.
    for name, value in (("LANGUAGE", "xx"), ("LC_ALL", "xx_XX"), ("ANSIBLE_FORKS", "1"), ("PATH", "/usr/bin")):
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    at_once.keep("question", WANTED)
    at_once.outcome("question")
    ((_, during),) = looked
    assert during["LC_ALL"] == "C.UTF-8" and during["PATH"].endswith(":/usr/bin")
    assert not {"LANGUAGE", "ANSIBLE_FORKS"} & during.keys()
    assert dict(os.environ) == before


@pytest.mark.parametrize("answer", [{"due": ["mrtrix3"], "ready": {}}, {}, None])
def test_what_is_due_or_goes_wrong_is_left_to_a_run(monkeypatch, answer):
    monkeypatch.setattr(look, "look", lambda roles: answer)
    at_once.keep("question", WANTED)
    assert at_once.outcome("question") is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mrtrix3": 1}', "\xff"])
def test_what_was_kept_and_cannot_be_read_is_left_to_a_run(kept, text):
    at_once.keep("question", WANTED)
    (kept / "question.json").write_text(text, encoding="latin-1")
    assert at_once.outcome("question") is None


def test_what_another_user_has_written_is_not_looked_for(kept, monkeypatch, looked):
    at_once.keep("question", WANTED)
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    assert at_once.outcome("question") is None and looked == []


def test_nothing_is_kept_of_a_role_that_was_stopped_or_removed(kept):
    at_once.keep("question", {"sshd": {"state": "stopped"}})
    at_once.keep("", WANTED)
    assert not kept.exists()


def test_what_is_kept_is_for_its_owner_alone_limited_and_forgotten_on_request(kept, monkeypatch):
    monkeypatch.setattr("provision.engine.kept._MOST", 2)
    for number in range(4):
        at_once.keep(f"question{number}", WANTED)
    names = sorted(path.name for path in kept.iterdir())
    assert len(names) == 2 and json.loads((kept / names[0]).read_text()) == WANTED
    assert {path.stat().st_mode & 0o777 for path in (kept, *kept.iterdir())} == {0o700, 0o600}
    at_once.forget()
    assert not kept.exists()


@pytest.fixture
def content_of_our_own(monkeypatch, tmp_path):
    folder = tmp_path / "content"
    (folder / "plugins" / "module_utils").mkdir(parents=True)
    (folder / "plugins" / "module_utils" / "look.py").touch()
    (folder / "roles").mkdir()
    (folder / "roles" / "main.yml").touch()
    monkeypatch.setattr(content, "root", lambda: folder)
    monkeypatch.setattr(provision, "_IMPORTED_AT", float("inf"))
    return folder


def test_a_question_is_another_one_once_anything_it_is_made_from_has_changed(content_of_our_own, monkeypatch, tmp_path):
    digests = [at_once.digest(["deps"], {})]

    def ask(roles=("deps",), options=None):
        digests.append(at_once.digest(roles, options or {}))

    ask(["deps", "mrtrix3"])
    ask(options={"deps_groups": ["run"]})
    monkeypatch.chdir(tmp_path)
    ask()
    monkeypatch.setenv("HOME", str(tmp_path))
    ask()
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")
    ask()
    monkeypatch.setattr(provision, "__version__", "9")
    ask()
    monkeypatch.setattr("provision.notebook.in_notebook", lambda: True)
    ask()
    (content_of_our_own / "roles" / "main.yml").write_text("a")
    ask()
    (content_of_our_own / "roles" / "more.yml").touch()
    ask()
    assert len(set(digests)) == len(digests) and "" not in digests


def test_the_same_question_has_the_same_digest(content_of_our_own):
    (content_of_our_own / "README.md").touch()  # nothing that a run reads
    (content_of_our_own / "plugins" / "__pycache__").mkdir()
    first = at_once.digest(["deps"], {"a": 1, "b": 2})
    (content_of_our_own / "plugins" / "__pycache__" / "look.pyc").touch()
    (content_of_our_own / "README.md").write_text("a")
    assert at_once.digest(["deps"], {"b": 2, "a": 1}) == first


def test_a_process_that_runs_older_code_than_there_is_asks_ansible(content_of_our_own, monkeypatch):
    monkeypatch.setattr(provision, "_IMPORTED_AT", 0.0)
    assert at_once.digest(["deps"], {}) == ""
