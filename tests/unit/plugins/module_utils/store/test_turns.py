"""Who builds and who waits, and what counts as the same build."""

import pytest

from plugins.module_utils.provision.store.turns import build_of, choose, failed_alike

WANTED = {
    "name": "mrtrix3", "title": "MRtrix3", "version": "3.0.8", "repo": "here", "cpu": "auto", "commit": "",
    "prefix": "auto", "store": "auto", "origin": "source",
}  # fmt: skip
LOOK = {"store": "/store", "commands": []}
MACHINE = {"release": "debian-12", "arch": "x86_64", "own_cpu": "x86-64-v3", "glibc": "2.36"}


def build(host="one", wanted=(), look=(), machine=(), version="3.0.8"):
    return build_of({**WANTED, **dict(wanted)}, {**LOOK, **dict(look)}, {**MACHINE, **dict(machine)}, version, host)


def test_where_a_host_puts_things_does_not_change_its_build_whose_name_begins_like_the_archives():
    assert build().startswith("mrtrix3-3.0.8-debian12-x86_64-x86-64-v3-")
    assert build("two", {"prefix": "/srv/x", "store": "/mnt"}, {"store": "/mnt"}) == build()


@pytest.mark.parametrize(
    "other",
    [
        {"machine": {"own_cpu": "x86-64-v2"}}, {"machine": {"release": "debian-13"}}, {"machine": {"arch": "aarch64"}},
        {"machine": {"glibc": "2.31"}}, {"version": "3.0.7"}, {"wanted": {"repo": "there"}},
        {"wanted": {"commit": "abc"}}, {"wanted": {"cpu": "x86-64"}}, {"look": {"commands": ["mrinfo"]}},
        {"look": {"belongs_to": "mrtrix3-3.0.4"}}, {"look": {"mrtrix3": {"tree": "/opt/mrtrix3", "cpu": "x86-64"}}},
    ],
)  # fmt: skip
def test_whatever_an_archive_depends_on_makes_another_build(other):
    assert build(**other) != build()


@pytest.mark.parametrize("own", [{"wanted": {"cpu": "native"}}, {"look": {"store": ""}}])
def test_what_is_for_one_host_alone_or_would_not_be_saved_is_not_shared(own):
    assert build("one", **own) != build("two", **own) and build("one", **own) == build("one", **own)


def asked(build, tried=(), unsaved=""):
    return {"build": build, "tried": list(tried), "unsaved": unsaved}


def test_the_first_of_those_that_want_the_same_builds_and_the_others_wait():
    queued = {"one": asked("x"), "two": asked("y"), "three": asked("x"), "four": asked("x")}
    assert {choose(me, queued) for me in ("one", "three", "four")} == {("one", ("three", "four"))}
    assert choose("two", queued) == ("two", ())


def test_after_those_that_had_their_turn_comes_the_next_and_who_is_in_another_round_is_left_out():
    queued = {"one": asked("x"), "two": asked("x"), "three": asked("x", ["one"]), "four": asked("x", ["one"])}
    assert choose("four", queued) == ("three", ("four",))
    assert choose("four", {**queued, "four": asked("x", ["one", "three"])}) == ("four", ())


def test_a_host_that_cannot_save_its_build_is_the_last_choice():
    queued = {"one": asked("x", unsaved="full"), "two": asked("x")}
    assert choose("one", queued) == ("two", ("one",))
    assert choose("one", {"one": queued["one"]}) == ("one", ())


def test_only_two_failures_to_compile_with_the_same_message_are_alike():
    log = {"build_log": "/log", "code": "a"}
    failures = {"one": {"msg": "A", **log}, "two": {"msg": "B", **log}, "three": {"msg": "A", **log}}
    assert failed_alike(["one", "two"], failures) == {} == failed_alike(["four", "five"], failures)
    found = failed_alike(["one", "two", "three"], failures)
    assert (found["msg"], found["code"], found["hosts"]) == ("A", "a", ["one", "three"])
    root = {"msg": "It needs root."}
    assert failed_alike(["one", "two"], {"one": root, "two": root}) == {}
