"""What the probe finds out for the role mrtrix3."""

import pytest

from plugins.module_utils import provision_look_mrtrix3 as look


def test_what_is_as_wanted_has_not_drifted(installation):
    _, _, state, wanted, machine = installation
    assert look.mrtrix3_drift(wanted, state, machine) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "3.0.4"}, "version 3.0.8"),
        ({"origin": "package"}, "came from source"),
        ({"prefix": "/elsewhere"}, "it is in"),
        ({"commands": ["mrinfo", "tckgen"]}, "commands are missing: tckgen"),
        ({"cpu": "x86-64"}, "compiled for x86-64-v3"),
        ({"link_dir": "none"}, "its links are in"),
    ],
)
def test_another_wish_is_a_drift(installation, change, words):
    _, _, state, wanted, machine = installation
    assert words in look.mrtrix3_drift({**wanted, **change}, state, machine)


def test_any_takes_whatever_version_is_there(installation):
    _, _, state, wanted, machine = installation
    assert look.mrtrix3_drift({**wanted, "version": "any"}, state, machine) == ""


def test_a_deleted_command_is_a_drift(installation):
    prefix, _, state, wanted, machine = installation
    (prefix / "bin" / "mrinfo").unlink()
    assert "commands are missing" in look.mrtrix3_drift(wanted, state, machine)


def test_a_deleted_link_is_a_drift(installation):
    _, links, state, wanted, machine = installation
    (links / "mrinfo").unlink()
    assert "links are missing" in look.mrtrix3_drift(wanted, state, machine)


def test_a_command_that_no_longer_runs_is_a_drift(installation):
    prefix, _, state, wanted, machine = installation
    (prefix / "bin" / "mrinfo").write_text("#!/bin/sh\nexit 1\n")
    assert "do not run" in look.mrtrix3_drift(wanted, state, machine)
