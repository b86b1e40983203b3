"""What must take anything: events as another version of Ansible may send them, options as a person may type them."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.engine import catalog, events
from provision.errors import OptionError

quickly = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = st.text(max_size=40) | st.sampled_from(["", "deps", "non-zero return code", "Note: full", "{name}", "{0}"])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=10
)
KINDS = st.sampled_from([
    "playbook_on_start", "playbook_on_task_start", "playbook_on_stats", "runner_on_ok", "runner_on_skipped",
    "runner_on_failed", "runner_on_unreachable", "verbose",
])  # fmt: skip
# What other programs say, and events._KNOWN looks for, among anything.
SAID = st.lists(TEXT | st.sampled_from([
    "sudo: a password is required", "No space left on device", "E: Temporary failure resolving 'x'", "\x1b[31m", "\0",
    "No package matching 'x'", "HTTP Error 404: Not Found", "The checksum for x did not match a; it was b",
    "Failed to fetch x",
]), max_size=3).map("\n".join)  # fmt: skip


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
    assert type(events.changed(event)) is int
    assert isinstance(events.hosts(event), set) and isinstance(events.failed_hosts(event), set)


OPTIONS = [option for role in catalog.roles().values() for option in role.options.values()]
TYPES = {"str": str, "path": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}
WORDS = st.sampled_from(
    ["yes", "no", "1", "0x10", "1e400", "nan", "[", "[a, b]", "a=b", "{", "~", "é", "\ud800", "\0", "9" * 5000]
)


@settings(quickly, max_examples=300)
@given(st.sampled_from(OPTIONS), ANY | WORDS | st.binary(max_size=8))
def test_any_value_of_an_option_is_taken_as_its_type_or_refused(option, value):
    try:
        found = catalog.variables([role_of(option)], {option.name: value})[option.name]
    except OptionError as error:
        assert error.message and option.name in error.message
        return
    assert isinstance(found, TYPES[option.type]) and isinstance(found, bool) == (option.type == "bool")
    assert not option.choices or all(one in option.choices for one in (found if option.type == "list" else [found]))
    assert not isinstance(found, float) or math.isfinite(found)


def role_of(option):
    return next(role.name for role in catalog.roles().values() if option.name in role.options)


@quickly
@given(st.dictionaries(TEXT, ANY, max_size=3), st.lists(TEXT, max_size=3))
def test_any_options_of_any_roles_are_taken_or_refused(options, roles):
    try:
        catalog.variables(roles, options)
    except OptionError as error:
        assert error.message
