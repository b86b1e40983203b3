"""What is due of an installation that is as wanted: that its build is kept."""

import json
import os
from types import SimpleNamespace

import pytest

from plugins.module_utils.provision import places
from plugins.module_utils.provision.look import tool


@pytest.fixture
def built(tmp_path, monkeypatch):
    """What a role noted of an MRtrix3 that it has built, and what is wanted of it."""
    monkeypatch.setattr(places, "state_folder", lambda: str(tmp_path / "state"))
    prefix = tmp_path / "opt/mrtrix3"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "manifest.json").write_text("{}")
    report = {"prefix": str(prefix), "bin": str(prefix / "bin"), "origin": "source", "archive": ""}
    wanted = {
        "name": "mrtrix3", "version": "any", "origins": ["source"], "can_become": False,
        "state": "present", "prefix": str(prefix), "link_dir": "none", "store": str(tmp_path / "store"), "folder": ""
    }  # fmt: skip
    return SimpleNamespace(state={"report": report, "link_dir": ""}, wanted=wanted, prefix=prefix)


def look(built, **wanted):
    folder = places.state_folder()
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "mrtrix3.json"), "w") as file:
        json.dump(built.state, file)
    machine = {"root": False, "home": str(built.prefix), "store": str(built.prefix / "auto"), "cache": "/var/cache"}
    return tool.look_at_tool({**built.wanted, **wanted}, machine, lambda *_: "", lambda *_: "3.0.8")


def test_a_build_that_was_not_kept_since_its_run_was_cut_off_is_due(built):
    found = look(built)
    assert (found["converged"], found["unkept"]) == (False, True)
    assert built.wanted["store"] in found["drift"] and found["store"] == built.wanted["store"]


def test_a_relative_place_is_in_the_users_folder_and_an_empty_one_is_refused(built, tmp_path):
    found = look(built, prefix="mine", link_dir="links", folder=str(tmp_path), version="3.0.9")
    assert (found["prefix"], found["link_dir"]) == (str(tmp_path / "mine"), str(tmp_path / "links"))
    assert look(built, prefix="", version="3.0.9")["refusal"][2] == "prefix"


def test_a_build_that_was_kept_is_not_due(built):
    built.state["report"]["archive"] = "/store/x.tar.zst"
    assert look(built)["converged"]


@pytest.mark.parametrize("origin", ["store", "archive", "package", "present"])
def test_only_what_was_built_here_is_kept(built, origin):
    built.state["report"]["origin"] = origin
    assert look(built)["converged"]


def test_without_a_store_or_a_manifest_nothing_is_due(built):
    assert look(built, store="none")["converged"]
    (built.prefix / "manifest.json").unlink()
    assert look(built)["converged"]


def test_a_store_with_a_problem_is_no_drift_and_is_tried_again_once_that_is_gone(built, monkeypatch):
    store = built.wanted["store"]
    with monkeypatch.context() as patch:
        patch.setattr(tool, "store_problem", lambda _: "The store is no longer mounted")
        assert look(built)["converged"]
    built.state["not_kept"] = {"store": store, "problem": "The store is no longer mounted"}
    assert not look(built)["converged"]


def test_what_a_good_store_would_not_take_is_not_tried_again_and_again_but_in_another(built, tmp_path):
    built.state["not_kept"] = {"store": built.wanted["store"], "problem": ""}
    assert look(built)["converged"]
    assert not look(built, store=str(tmp_path / "another"))["converged"]


@pytest.mark.parametrize("option", ["prefix", "link_dir", "store"])
def test_a_folder_of_a_user_who_does_not_exist_is_refused(built, option):
    found = look(built, version="3.0.9", **{option: "~nosuch/x"})
    assert found["refusal"][2] == "no-user" and "nosuch" in found["refusal"][0]


def test_a_folder_for_links_that_is_a_file_is_not_called_forbidden(built, tmp_path):
    (tmp_path / "file").touch()
    found = look(built, version="3.0.9", prefix=str(tmp_path / "new"), link_dir=str(tmp_path / "file"))
    assert found["refusal"][2] == "prefix" and "is a file" in found["refusal"][0]
