"""What Ansible's events mean to a person."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.engine import events

from .any_input import ANY, SAID, TEXT, quickly


def failed(**result):
    data = {"role": "mrtrix3", "task": "Compile", "host": "localhost", "res": result}
    return {"event": "runner_on_failed", "event_data": data}


def test_a_tasks_own_sentence_is_kept_and_the_rest_is_what_to_do():
    found = events.failure(failed(msg="The prefix /x is a file.\nChoose another folder."))
    assert (found.message, found.hint) == ("The prefix /x is a file.", "Choose another folder.")
    assert (found.role, found.task, found.host) == ("mrtrix3", "Compile", "localhost")


def test_a_modules_hint_is_what_to_do():
    assert events.failure(failed(msg="No.", hint="Do this.")).hint == "Do this."


def test_an_ignored_failure_is_none():
    event = failed(msg="No.")
    event["event_data"]["ignore_errors"] = True
    assert events.failure(event) is None


@pytest.mark.parametrize(
    ("said", "code", "values"),
    [
        ("Missing sudo password", "sudo-password", []),
        ("sudo: a password is required", "sudo-password", []),
        ("cannot write: No space left on device", "disk-full", []),
        ("Unable to execute ssh command line on a controller: [Errno 2] No such file: b'ssh'", "not-installed", []),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1", "apt-locked", []),
        ("No package matching 'libfoo' is available", "no-package", ["'libfoo'"]),
        ("Temporary failure resolving 'deb.debian.org'", "unreachable", ["deb.debian.org"]),
        ("Request failed: <urlopen error [Errno 2] No such file or directory: '/x.tgz'>", "no-file", ["/x.tgz"]),
        ("Request failed HTTP Error 404: Not Found", "http-error", ["404: Not Found"]),
        ("The checksum for /x did not match aa11; it was bb22.", "wrong-checksum", ["aa11", "bb22"]),
    ],
)
def test_what_programs_say_is_told_in_a_sentence_with_what_to_do(said, code, values):
    found = events.failure(failed(msg="non-zero return code", stderr=said))
    assert found.code == code and said not in found.message and found.hint
    assert [value for value in values if value not in found.message] == []


CHECKSUM = "The checksum for /x did not match aa11; it was bb22."
NOT_THERE = "Request failed HTTP Error 404: Not Found"
NO_FILE = "Request failed: <urlopen error [Errno 2] No such file or directory: '/x.tgz'>"


@pytest.mark.parametrize(
    ("said", "role", "option"),
    [
        (CHECKSUM, "mrtrix3", "mrtrix3_archive_sha256"), (CHECKSUM, "ngrok", "ngrok_sha256"),
        (NOT_THERE, "mrtrix3", "mrtrix3_archive"), (NOT_THERE, "ngrok", "ngrok_download_url"),
        (NO_FILE, "mrtrix3", "mrtrix3_archive"), (NO_FILE, "ngrok", "ngrok_download_url"),
    ],
)  # fmt: skip
def test_what_to_check_is_the_option_of_the_role_that_failed(said, role, option):
    event = failed(msg=said)
    event["event_data"]["role"] = role
    assert re.findall(r"\w+_\w+", events.failure(event).hint) == [option]


@pytest.mark.parametrize("said", [CHECKSUM, NOT_THERE, NO_FILE])
@pytest.mark.parametrize("role", ["deps", "mrpeek", "one_of_my_own"])
def test_where_the_role_has_no_such_option_it_says_what_to_do_without_naming_one(said, role):
    event = failed(msg=said)
    event["event_data"]["role"] = role
    hint = events.failure(event).hint
    assert role in hint
    assert not re.search(r"_(archive|sha256|url)\b", hint)


def test_a_known_error_in_a_sentence_that_has_its_own_hint_is_told_in_that_sentence():
    found = events.failure(failed(msg=f"ngrok's agent could not be downloaded: {NOT_THERE}.", hint="Name another."))
    assert found.message == f"ngrok's agent could not be downloaded: {NOT_THERE}."
    assert found.hint == "Name another."


@pytest.mark.parametrize("said", ["non-zero return code", "The command exited with a non-zero return code."])
@pytest.mark.parametrize(
    ("command", "words"),
    [(["/usr/bin/git", "clone"], "git"), ("make; make install", "A command"), (["sh", "-ec", "make"], "A command")],
)
def test_a_program_that_failed_is_named_with_its_exit_code(said, command, words):
    found = events.failure(failed(msg=said, rc=3, cmd=command, stderr="no such thing"))
    assert found.message.startswith(f"{words} ") and " 3" in found.message and found.said == ("no such thing",)


def test_an_unreachable_host_is_named():
    event = failed(msg="Connection refused")
    event["event"] = "runner_on_unreachable"
    found = events.failure(event)
    assert found.code == "host-unreachable" and "localhost" in found.message and "Connection refused" in found.message


def test_a_task_without_words_still_gets_a_sentence():
    assert events.failure(failed()).message


def test_the_last_lines_of_the_program_that_failed_are_kept_but_not_told_twice():
    stderr = "\n".join([*map(str, range(20)), "", "cannot write: No space left on device  "])
    found = events.failure(failed(msg="non-zero return code", stderr=stderr, stdout="much"))
    assert found.said == ("11", "12", "13", "14", "15", "16", "17", "18", "19", "cannot write: No space left on device")
    assert events.failure(failed(msg="It broke: one.", stdout="0\nIt broke: one.")).said == ("0", "It broke: one.")
    assert events.failure(failed(msg="It broke: one.", stderr="  It broke: one.\n")).said == ()
    assert events.failure(failed(msg="It broke.", lines=["one", "two"], stderr="three")).said == ("one", "two")
    assert events.failure(failed(msg="It broke.")).said == ()


def test_the_report_is_what_the_roles_left_in_the_stats():
    data = {"artifact_data": {"provision": {"localhost": {"deps": {"python": "x"}}}}, "changed": {"a": 1, "b": 2}}
    event = {"event": "playbook_on_stats", "event_data": data}
    assert events.report(event) == {"localhost": {"deps": {"python": "x"}}}
    assert sum(events.changes(event).values()) == 3
    assert events.report({"event": "runner_on_ok"}) is None


def test_steps_say_where_the_run_is():
    start = {"event": "playbook_on_task_start", "event_data": {"role": "deps", "task": "Install packages"}}
    assert events.step(start) == events.Step("task", "deps", "Install packages")
    done = {"event": "runner_on_ok", "event_data": {"task": "t", "host": "h", "res": {"changed": True}}}
    assert events.step(done).changed
    assert events.step(done).note == ""
    done["event_data"]["res"] = {"msg": "Note: The store is gone."}
    assert events.step(done).note == "Note: The store is gone."
    assert events.step({"event": "verbose", "event_data": {}}) is None


@pytest.mark.parametrize(("said", "code"), [
    ("REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "host-key-changed"),
    ("Host key verification failed.", "host-key-unknown"),
    ("me@node1: Permission denied (publickey).", "ssh-denied"),
    ("ssh: connect to host node1 port 22: Connection refused", "host-unreachable"),
])  # fmt: skip
def test_why_a_machine_cannot_be_reached_has_a_code_of_its_own(said, code):
    said = f"Failed to connect to the host via ssh: {said}"
    found = events.failure({**failed(msg=said), "event": "runner_on_unreachable"})
    assert found.code == code and "via ssh:" not in found.message and found.hint


def test_a_connection_that_breaks_off_without_a_word_is_told_as_that():
    said = 'Task failed: Data could not be sent to remote host "node1". Make sure this host can be reached over ssh: '
    found = events.failure({**failed(msg=said), "event": "runner_on_unreachable"})
    assert found.code == "host-unreachable" and "Task failed" not in found.message and "ssh:" not in found.message


@pytest.mark.parametrize(("result", "code"), [
    ({"rc": 137, "module_stderr": "Killed"}, "killed"),
    ({"rc": -9}, "killed"),
    ({"rc": 127, "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found"}, "no-python"),
    ({"rc": 1, "module_stderr": "Traceback (most recent call last):\n  File x\nOSError: no"}, "module-error"),
    ({}, "module-error"),
])  # fmt: skip
def test_a_module_without_an_answer_is_told_by_how_it_ended(result, code):
    found = events.failure(failed(msg="MODULE FAILURE: No start of json char found", **result))
    assert found.code == code
    assert "json" not in found.message and "Traceback" not in "".join([found.message, *found.said])


def test_what_a_module_says_of_its_kind_is_the_code():
    assert events.failure(failed(msg="It broke.", hint="Mend it.", code="broken")).code == "broken"
    assert events.failure(failed(msg="It broke.")).code == "failed"


@pytest.mark.parametrize(
    ("words", "code"),
    [("mounted with noexec: no program can run there", "noexec"), ("mounted read-only", "read-only"),
     ("on a disk that is full: 1 MB are free", "disk-full")],
)  # fmt: skip
def test_a_disk_that_takes_no_programs_is_told_in_the_roles_words_and_has_a_code(words, code):
    result = {"msg": f"The prefix /opt/mrtrix3 is {words}.\nChoose another."}
    found = events.failure({"event": "runner_on_failed", "event_data": {"res": result}})
    assert (found.message, found.hint, found.code) == (f"The prefix /opt/mrtrix3 is {words}.", "Choose another.", code)


@pytest.mark.parametrize("said", [
    "What /srv/x has as 3.0.8 is not the commit that MRtrix3 released under that number: ffff.",
    "What /srv/x gave as 3.0.8 is not the commit that it has to be: ffff.",
    "mrtrix3_commit must be the 40 hexadecimal digits of a commit, not '3.0.8'.",
])  # fmt: skip
def test_another_commit_has_a_code_when_the_role_tells_it_in_the_end(said):
    failed = events.failure(
        {"event": "runner_on_failed", "event_data": {"role": "mrtrix3", "res": {"msg": f"{said}\nDo this."}}}
    )
    assert (failed.message, failed.hint, failed.code) == (said, "Do this.", "wrong-commit")


def test_a_run_shows_that_a_task_waits():
    from provision.engine.events import step

    line = "Waiting for provision run sshd (process 7, since 10:00:00), which is changing this machine."
    assert step({"event": "verbose", "stdout": f"{line}\n"}).note == line
    assert step({"event": "verbose", "stdout": "No config file found"}) is None


KINDS = st.sampled_from([
    "playbook_on_start", "playbook_on_task_start", "playbook_on_stats", "runner_on_ok", "runner_on_skipped",
    "runner_on_failed", "runner_on_unreachable", "verbose",
])  # fmt: skip


def some(names, values):
    """Return dictionaries with some of these names."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names.split(), values))


RESULTS = some("msg stderr stdout module_stderr hint rc cmd lines changed code", SAID | ANY)
DATA = some("role task host ignore_errors artifact_data changed", TEXT | ANY).flatmap(
    lambda data: st.just(data) | RESULTS.map(lambda result: {**data, "res": result})
)
EVENTS = st.fixed_dictionaries({"event": KINDS | ANY}, optional={"event_data": DATA | ANY, "stdout": ANY, "pid": ANY})
FAILURES = st.fixed_dictionaries(
    {"event": st.sampled_from(["runner_on_failed", "runner_on_unreachable"]), "event_data": DATA | ANY}
)
ENDS = st.fixed_dictionaries({"event": st.just("playbook_on_stats")}, optional={"event_data": DATA | ANY})


@quickly
@given(EVENTS | FAILURES)
def test_a_step_of_any_event_is_made_of_text(event):
    step = events.step(event)
    if step:
        assert all(type(getattr(step, name)) is str for name in ("kind", "role", "task", "host", "note"))
        assert all(type(getattr(step, name)) is bool for name in ("changed", "skipped", "failed"))


@quickly
@given(EVENTS | FAILURES)
def test_a_failure_of_any_event_is_made_of_text(event):
    failure = events.failure(event)
    if failure:
        assert failure.message
        assert all(type(getattr(failure, name)) is str for name in ("message", "hint", "role", "task", "host", "code"))
        assert all(type(line) is str for line in failure.said)


@quickly
@given(SAID | TEXT, TEXT)
def test_any_text_is_explained_in_text(text, role):
    found = events.explain(text, role)
    assert {type(one) for one in found} == {str} and any(found) == bool(found[0])


@quickly
@given(EVENTS | ENDS)
def test_a_report_of_any_event_is_one_of_roles_by_host(event):
    report = events.report(event)
    for roles in (report or {}).values():
        assert all(isinstance(one, dict) for one in roles.values())


@quickly
@given(ENDS)
def test_what_has_changed_in_any_event_is_a_number(event):
    assert all(type(count) is int for count in events.changes(event).values())
    assert isinstance(events.hosts(event), set) and isinstance(events.failed_hosts(event), set)


GOOD = {"number": 145, "total": 401, "unit": "steps", "share": 0.3}


@pytest.mark.parametrize("wrong", [
    b"", b"[[[", b"[" * 4000, b"\xff\xfe", b"[1, 2]", b'{"number": 145, "total": 401, "unit": "steps"',
    *(json.dumps({**GOOD, **one}).encode() for one in (
        {"number": "145"}, {"number": -1}, {"number": True}, {"number": 1.5}, {"number": 2**70}, {"number": None},
        {"total": "{{ secret }}"}, {"total": [1]}, {"unit": "\x1b[2J"}, {"unit": ["steps"]}, {"unit": "secrets"},
        {"share": 2}, {"share": -0.1}, {"share": "0.3"}, {"share": float("nan")}, {"share": float("inf")},
    )),
])  # fmt: skip
def test_what_a_host_says_is_nothing_but_numbers_of_a_known_unit(wrong):
    assert events.work(json.dumps({**GOOD, "what": "\x1b[2J", "host": "another"}).encode()) == GOOD
    assert events.work(wrong) is None


@quickly
@given(some("number total unit share", ANY | st.sampled_from([3, 0.5, "bytes", "steps"])) | ANY)
def test_whatever_a_host_says_is_numbers_or_nothing(said):
    found = events.work(json.dumps(said, default=str).encode()) or GOOD
    assert set(found) == set(GOOD) and found["unit"] in ("bytes", "steps")
    assert all(type(found[name]) is int and found[name] >= 0 for name in ("number", "total"))
    assert found["share"] is None or 0 <= found["share"] <= 1
