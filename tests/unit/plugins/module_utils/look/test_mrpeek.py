"""What the probe finds out for the role mrpeek."""

import json
from pathlib import Path

import pytest

from plugins.module_utils.provision import places
from plugins.module_utils.provision.look import mrpeek as look
from plugins.module_utils.provision.tool.prefix import RECEIPT


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
        "prefix": str(prefix), "bin": str(prefix / "bin"), "mrtrix3": "3.0.8", "origin": "source",
        "decoder": str(prefix / "libsixel.so.1"),
    }  # fmt: skip
    (prefix / RECEIPT).write_text("{}")
    state = {"report": report, "version": "e6432bd6edcb", "link_dir": str(links), "commands": ["mrpeek"]}
    wanted = {"name": "mrpeek", "version": "e6432bd6edcb", "prefix": "auto", "link_dir": "auto", "state": "present"}
    wanted.update(store="none", folder="", origins=["store", "source"], can_become=False)
    return prefix, state, wanted, {"version": "3.0.8", "tree": "", "cpu": ""}, machine


@pytest.fixture
def seen(viewer, note, monkeypatch):
    """Return a function that looks at that machine with other wishes, or where there is another MRtrix3."""
    _, state, wanted, mrtrix3, machine = viewer

    def ask(there=(), **wishes):
        note("mrpeek", state)
        monkeypatch.setattr(look, "mrtrix3_for_modules", lambda: {**mrtrix3, **dict(there)})
        return look.look_at({**wanted, **wishes}, machine)

    return ask


def test_a_viewer_as_wanted_has_not_drifted(seen):
    assert seen()["converged"] and seen({"version": ""})["converged"]


@pytest.mark.parametrize(
    ("wish", "there", "value"),
    [
        ({"version": "main"}, {}, "e6432bd6edcb"),
        ({"prefix": "/elsewhere"}, {}, ".local/opt/mrpeek"),
        ({"link_dir": "none"}, {}, ".local/bin"),
        ({}, {"version": "3.0.4"}, "3.0.8"),
    ],
)
def test_another_viewer_or_another_mrtrix3_is_a_drift(seen, wish, there, value):
    found = seen(there, **wish)
    assert value in found["drift"]
    assert found["movable"] is bool({"prefix", "link_dir"} & set(wish))


@pytest.mark.parametrize(("name", "word"), [("bin/mrpeek", "run"), ("libsixel.so.1", "decodes")])
def test_a_viewer_of_which_something_is_gone_is_a_drift(seen, viewer, name, word):
    (viewer[0] / name).unlink()
    assert word in seen()["drift"]


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
    folder = Path(places.state_folder())
    folder.mkdir(parents=True)
    (folder / "mrtrix3.json").write_text(json.dumps(state))
    found = look.mrtrix3_for_modules()
    assert (found["version"], found["tree"] == str(prefix)) == expected


@pytest.mark.parametrize(("tree", "extra"), [("", False), ("/opt/mrtrix3", True)])
def test_an_mrtrix3_with_its_headers_spares_those_of_the_distribution(seen, tree, extra):
    needs = seen({"tree": tree}, version="main")["needs"]
    assert ("build" in needs["groups"], "g++" in needs.get("extra", [])) == (not extra, extra)
    assert "pictures" in needs["groups"]
