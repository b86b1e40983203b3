"""A modulefile has what is installed: a folder for PATH, and the variables of the tools."""

import json

import pytest

from provision.cli.main import main
from provision.errors import OptionError
from provision.fleet.modulefile import Modulefile, modulefile
from provision.machine import notes

INSTALLED = {
    "deps": {"packages": ["git"]},
    "mrtrix3": {"version": "3.0.8", "bin": "/home/jane/opt/mrtrix3/bin"},
    "mrpeek": {"version": "1", "bin": "/home/jane/opt/mrtrix3/bin"},
    "ants": {"version": "2.6.0", "bin": "/usr/bin", "environment": {"ANTSPATH": "/usr/bin"}},
}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setattr(notes, "read_state", lambda name: {"report": INSTALLED[name]} if name in INSTALLED else {})


def test_all_that_is_installed_is_in_it():
    module = modulefile()
    assert module.versions == {"mrtrix3": "3.0.8", "mrpeek": "1", "ants": "2.6.0"}
    assert module.paths == ("/home/jane/opt/mrtrix3/bin",)  # not /usr/bin, which would come before all else
    assert module.environment == {"ANTSPATH": "/usr/bin"}


def test_of_the_roles_named_none_may_be_missing():
    assert modulefile("ants").versions == {"ants": "2.6.0"}
    for names, code in {("fsl",): "not-installed", ("deps",): "not-installed", ("mrtrix",): "no-role"}.items():
        with pytest.raises(OptionError) as raised:
            modulefile("mrtrix3", *names)
        assert raised.value.code == code


def test_where_nothing_is_installed_there_is_no_modulefile(monkeypatch):
    monkeypatch.setattr(notes, "read_state", lambda name: {})
    with pytest.raises(OptionError) as raised:
        modulefile()
    assert raised.value.code == "not-installed"


def test_paths_are_text_to_tcl():
    assert str(Modulefile({}, ("/a b/$HOME/[exit]/{",), {"X": "b;'"})).splitlines()[2:] == [
        r'prepend-path PATH "/a b/\$HOME/\[exit\]/\{"',
        'setenv X "b;\'"',
    ]


@pytest.mark.parametrize("report", [{"bin": "/a\nb"}, {"bin": '/a"b'}, {"bin": "/a", "environment": {"X": "a\\b"}}])
def test_a_path_that_modules_would_misread_is_refused(monkeypatch, report):
    monkeypatch.setitem(INSTALLED, "fsl", report)
    with pytest.raises(OptionError) as raised:
        modulefile("fsl")
    assert raised.value.code == "bad-value"


def test_the_command_prints_it(capsys):
    assert main(["modulefile", "mrtrix3"]) == 0
    assert capsys.readouterr().out == f"{modulefile('mrtrix3')}\n"
    assert main(["modulefile", "mrtrix3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paths"] == ["/home/jane/opt/mrtrix3/bin"]
