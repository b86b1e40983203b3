"""What the probe finds out for the role mrpeek."""

import json
from pathlib import Path

import pytest

from plugins.module_utils import provision_checks as checks
from plugins.module_utils import provision_look_mrpeek as look


@pytest.fixture
def viewer(installation):
    """That machine with a viewer of ours, what is noted of it, what the role would want, and what MRtrix3 there is."""
    _, links, _, _, machine = installation
    prefix = links.parents[1] / ".local/opt/mrpeek"
    (prefix / "bin").mkdir(parents=True)
    for name in ("bin/mrpeek", "libsixel.so.1"):
        (prefix / name).write_text("#!/bin/sh\n")
        (prefix / name).chmod(0o755)
    (links / "mrpeek").symlink_to(prefix / "bin/mrpeek")
    report = {
        "prefix": str(prefix), "bin": str(prefix / "bin"), "mrtrix3": "3.0.8", "decoder": str(prefix / "libsixel.so.1")
    }
    state = {"report": report, "version": "e6432bd6edcb", "link_dir": str(links), "commands": ["mrpeek"]}
    wanted = {"version": "e6432bd6edcb", "prefix": "auto", "link_dir": "auto", "state": "present"}
    return prefix, state, wanted, {"version": "3.0.8", "tree": "", "cpu": ""}, machine


def test_a_viewer_as_wanted_has_not_drifted(viewer):
    _, state, wanted, mrtrix3, machine = viewer
    assert look.mrpeek_drift(wanted, state, mrtrix3, machine) == ""
    assert look.mrpeek_drift(wanted, state, {**mrtrix3, "version": ""}, machine) == ""


@pytest.mark.parametrize(
    ("wish", "there", "words"),
    [
        ({"version": "main"}, {}, "version e6432bd6edcb"),
        ({"prefix": "/elsewhere"}, {}, "it is in"),
        ({"link_dir": "none"}, {}, "its link is in"),
        ({}, {"version": "3.0.4"}, "it belongs to MRtrix3 3.0.8"),
    ],
)
def test_another_viewer_or_another_mrtrix3_is_a_drift(viewer, wish, there, words):
    _, state, wanted, mrtrix3, machine = viewer
    assert words in look.mrpeek_drift({**wanted, **wish}, state, {**mrtrix3, **there}, machine)


@pytest.mark.parametrize(
    ("name", "words"), [("bin/mrpeek", "does not run"), ("libsixel.so.1", "the decoder of its pictures is missing")]
)
def test_a_viewer_of_which_something_is_gone_is_a_drift(viewer, name, words):
    prefix, state, wanted, mrtrix3, machine = viewer
    (prefix / name).unlink()
    assert words in look.mrpeek_drift(wanted, state, mrtrix3, machine)


@pytest.mark.parametrize(
    ("parts", "version", "expected"),
    [
        (("build", "config", "core", "tmp/src"), "3.0.8", ("3.0.8", True)),
        (("build", "config", "core"), "3.0.8", ("3.0.8", False)),
        (("build", "config", "core", "tmp/src"), "3.0.3", ("3.0.3", True)),
        ((), "3.0.4", ("3.0.4", False)),
        ((), "3.0.3", ("", False)),
        ((), "3.0.4-1183-g8d3a", ("", False)),
    ],
    ids=["built", "something is missing", "built from mended sources", "a package", "an old one", "a branch"],
)
def test_modules_are_built_against_what_came_with_all_they_need(installation, parts, version, expected):
    prefix, _, state, _, _ = installation
    for name in parts:
        (prefix / name).mkdir(parents=True)
    (prefix / "bin/mrinfo").write_text(f"#!/bin/sh\necho '== mrinfo {version} =='\n")
    folder = Path(checks.state_folder())
    folder.mkdir(parents=True)
    (folder / "mrtrix3.json").write_text(json.dumps(state))
    found = look.mrtrix3_for_modules()
    assert (found["version"], found["tree"] == str(prefix)) == expected
