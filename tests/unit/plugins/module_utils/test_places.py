"""Where things are, whatever the variables and paths of a user are like."""

import os

import pytest

from plugins.module_utils.provision import places


@pytest.mark.parametrize("value", ["relative", "/not/utf-8/\udce9"])
def test_a_variable_that_names_no_folder_is_passed_over(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid or 1000)
    monkeypatch.setattr(places, "home", lambda: str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, value)
    assert places.users_state_folder() == f"{tmp_path}/.local/state/provision"
    assert places.cache_folder() == f"{tmp_path}/.cache/provision"


def test_a_home_that_is_not_utf_8_is_not_used(monkeypatch, tmp_path):
    home = tmp_path / os.fsdecode(b"\xe9")
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert places.home() != str(home)


@pytest.mark.parametrize(
    ("given", "right"),
    [("x", "/here/x"), ("./-x", "/here/-x"), ("../x", "/x"), ("~/x", "/home/me/x"), ("/x/", "/x")],
)
def test_a_relative_prefix_or_link_folder_starts_from_the_users_folder(given, right):
    machine = {"home": "/home/me", "root": False}
    assert places.default_prefix(given, "/here", machine, "tool") == right
    assert places.default_link_dir(given, "/here", machine) == right


def test_on_another_machine_a_relative_prefix_starts_from_the_home():
    assert places.default_prefix("x", "", {"home": "/home/me", "root": False}, "tool") == "/home/me/x"
