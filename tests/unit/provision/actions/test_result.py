"""What a run gives back."""

import copy
import json
import pickle
import re

import pytest

from provision.actions.result import Report, Result, details, sentence

MRTRIX3 = {"version": "3.0.8", "prefix": "/opt/mrtrix3", "origin": "package", "seconds": 700.0}
DEPS = {"packages": ["zlib1g", "g++"], "python": "/usr/bin/python3"}


@pytest.fixture
def one():
    return Result(0, 2.1, {"localhost": {"deps": DEPS, "mrtrix3": MRTRIX3}})


@pytest.fixture
def two():
    return Result(3, 75.0, {"node-1": {"mrtrix3": MRTRIX3}, "node-2": {"mrtrix3": {**MRTRIX3, "version": "3.0.4"}}})


def test_on_one_host_roles_are_attributes(one):
    assert one.mrtrix3.version == "3.0.8"
    assert one.deps["packages"] == ["zlib1g", "g++"]


def test_on_many_hosts_roles_are_behind_the_hosts_names(two):
    assert two.hosts["node-2"].mrtrix3.version == "3.0.4"


def test_on_many_hosts_a_roles_name_alone_tells_what_to_write(two):
    with pytest.raises(AttributeError, match=r" \.hosts\['node-1'\]\.mrtrix3\."):
        _ = two.mrtrix3


def test_a_role_that_was_not_run_tells_which_were(one):
    with pytest.raises(AttributeError, match=r"'mrtrix'.*'mrtrix3'.* deps, mrtrix3\."):
        _ = one.mrtrix


def test_a_misspelt_field_tells_which_there_are(one):
    with pytest.raises(AttributeError, match=r"'vresion'.*'version'.* version, prefix, origin, seconds\."):
        _ = one.mrtrix3.vresion


def test_a_run_that_reported_nothing_says_so():
    with pytest.raises(AttributeError, match="'mrtrix3'") as raised:
        _ = Result(0, 0.5, {}).mrtrix3
    assert ".hosts" not in str(raised.value)


def test_reports_cannot_be_changed(one):
    with pytest.raises(AttributeError, match="'version'"):
        one.mrtrix3.version = "4"
    with pytest.raises(TypeError):
        one.mrtrix3["version"] = "4"
    with pytest.raises(AttributeError):
        one.changed = 7


def test_reports_are_mappings(one):
    assert dict(one.mrtrix3) == MRTRIX3
    assert list(one.hosts["localhost"]) == ["deps", "mrtrix3"]
    assert "version" in one.mrtrix3 and one.mrtrix3.get("nothing") is None and len(one.mrtrix3) == 4


def test_tab_completion_finds_roles_and_fields(one, two):
    assert {"changed", "hosts", "to_dict", "mrtrix3", "deps"} <= set(dir(one))
    assert {"version", "prefix", "keys"} <= set(dir(one.mrtrix3))
    assert "mrtrix3" not in dir(two)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_results_can_be_copied_and_pickled(one, copied):
    again = copied(one)
    assert again == one and again.mrtrix3.version == "3.0.8"
    assert copied(one.mrtrix3) == one.mrtrix3
    assert copied(one.hosts["localhost"]).deps.packages == DEPS["packages"]


def test_the_dictionary_is_what_json_prints(one):
    told = {"changed": 0, "seconds": 2.1, "hosts": {"localhost": {"deps": DEPS, "mrtrix3": MRTRIX3}}}
    assert one.to_dict() == told
    assert json.loads(json.dumps(one.to_dict())) == told


def test_a_changed_dictionary_does_not_change_the_result(one):
    one.to_dict()["hosts"]["localhost"]["deps"]["packages"].clear()
    assert one.deps.packages == DEPS["packages"]


def test_what_was_passed_in_may_change_later():
    hosts = {"localhost": {"deps": copy.deepcopy(DEPS)}}
    result = Result(0, 1.0, hosts)
    hosts["localhost"]["deps"]["packages"].clear()
    assert result.deps.packages == DEPS["packages"]


def test_one_role_on_one_host_is_one_line():
    result = Result(0, 2.1, {"localhost": {"mrtrix3": MRTRIX3}})
    assert repr(result) == "mrtrix3 3.0.8 ready in 2.1 s (package) - nothing changed"


def test_several_roles_are_a_line_each_and_one_for_the_run(one, two):
    assert repr(one).splitlines() == [
        "deps     ready                  2 distribution packages",
        "mrtrix3  3.0.8 ready (package)  /opt/mrtrix3",
        "done in 2.1 s - nothing changed",
    ]
    assert repr(two).splitlines() == [
        "node-1: mrtrix3  3.0.8 ready (package)  /opt/mrtrix3",
        "node-2: mrtrix3  3.0.4 ready (package)  /opt/mrtrix3",
        "done in 1 min 15 s - 3 changes",
    ]


def test_a_run_with_no_reports_still_tells_what_it_did():
    assert repr(Result(1, 0.5, {})) == "done in 0.5 s - 1 change"


def test_a_build_that_was_just_restored_tells_the_time_that_this_saved():
    store = {"version": "3.0.8", "origin": "store", "seconds": 0.8, "build_seconds": 1440}
    assert sentence("mrtrix3", store, 1.9, new=True).endswith("origin: store, 0.8 s (building it took 24 min)")
    assert sentence("mrtrix3", store, 1.9).endswith("(store)")


def test_why_something_does_not_work_is_in_the_line_and_in_the_table():
    broken = {"version": "3.0.8", "works": False, "problem": "no libfftw3 [red]"}
    assert "does not work: no libfftw3 [red]" in repr(Result(0, 1.0, {"localhost": {"mrtrix3": broken}}))
    (_, state, why), _ = Result(0, 1.0, {"localhost": {"mrtrix3": broken, "deps": {}}}).table().rows
    assert (state.style, why.text) == ("bad", "no libfftw3 [red]")


def test_what_was_removed_or_does_not_run_is_not_called_ready():
    assert sentence("mrtrix3", {"state": "absent"}) == "mrtrix3 absent"
    assert sentence("mrtrix3", {}) == "mrtrix3 not installed"
    assert sentence("mrtrix3", {"version": "3.0.8", "works": False}) == "mrtrix3 3.0.8 does not run"
    assert sentence("mrtrix3", {"version": "3.0.8", "works": True}) == "mrtrix3 3.0.8 ready"


def test_a_notebook_shows_each_role_and_behind_a_click_its_fields(one):
    shown = re.sub(r"<details><summary>(.*?)</summary>.*?</details>", r"\1", one._repr_html_())
    assert "nothing changed" in shown
    for text in (">deps</th>", ">ready<", "2 distribution packages", "3.0.8 ready (package)"):
        assert text in shown and "zlib1g" not in shown
    for text in ("version <b>3.0.8</b>", "packages <b>zlib1g, g++</b>"):
        assert text in one._repr_html_()


def test_fields_have_the_same_order_whoever_noted_them():
    fields = {"version": "3.0.8", "bin": "/opt/mrtrix3/bin", "origin": "store"}
    noted = dict(sorted(fields.items()))
    assert Result(0, 1.0, {"a": {"mrtrix3": fields}})._repr_html_() == (
        Result(0, 1.0, {"a": {"mrtrix3": noted}})._repr_html_()
    )


def test_of_a_role_its_place_its_size_and_what_runs_is_told():
    assert details({"bin": "/opt/m/bin", "prefix": "/opt/m"}) == ["/opt/m/bin"]
    assert details({"prefix": "/opt/m", "size": 9_000_000}) == ["/opt/m", "9.0 MB"]
    assert details({"packages": ["git"]}) == ["git"]
    assert details({"pid": 7, "host": "h", "port": 22}) == ["process 7", "h:22"]


def test_nothing_that_a_machine_reports_becomes_markup():
    evil = "<script>&'\""
    shown = Result(0, 1.0, {evil: {evil: {evil: evil, "list": [evil]}}, "b": {}})._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;&amp;") == 5


def test_a_report_shows_its_fields():
    assert repr(Report({"version": "3.0.8"})) == "Report(version='3.0.8')"


def test_a_note_of_several_roles_is_told_once():
    reports = {"mrtrix3": {"version": "3.0.8", "notes": ["so"]}, "mrpeek": {"version": "1", "notes": ["so", "more"]}}
    assert [line for line in repr(Result(0, 1.0, {"localhost": reports})).splitlines() if line.startswith("Note")] == [
        "Note: so", "Note: more",
    ]  # fmt: skip


def test_a_check_says_what_would_change_and_not_that_it_is_ready():
    report = {**DEPS, "would": "install sl"}
    for reports in ({"deps": report}, {"deps": report, "mrtrix3": MRTRIX3}):
        line = next(
            line for line in repr(Result(1, 2.1, {"localhost": reports}, check=True)).splitlines() if "deps" in line
        )
        assert "would install sl" in line and "ready" not in line
