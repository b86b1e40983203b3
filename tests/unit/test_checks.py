"""The read-only checks that say what has drifted."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.module_utils import provision_checks as checks

V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
V4 = "avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("flags", "level"),
    [("", "x86-64"), (V2, "x86-64-v2"), (f"{V2} {V3}", "x86-64-v3"), (V3, "x86-64"), (f"{V2} {V3} {V4}", "x86-64-v4")],
)
def test_the_level_is_the_highest_whose_instructions_are_all_there(flags, level, monkeypatch):
    monkeypatch.setattr(checks.platform, "machine", lambda: "x86_64")
    assert checks.cpu_level(f"model name: x\nflags\t\t: fpu {flags}\n") == level


@pytest.mark.parametrize(("machine", "level"), [("aarch64", "armv8-a"), ("riscv64", ""), ("ppc64le", "")])
def test_other_architectures_have_one_level_or_none(machine, level, monkeypatch):
    monkeypatch.setattr(checks.platform, "machine", lambda: machine)
    assert checks.cpu_level("Features : fp asimd") == level


def test_the_level_agrees_with_the_dynamic_loader():
    loader = next(Path("/lib64").glob("ld-linux-x86-64.so.2"), None)
    told = subprocess.run([loader, "--help"], capture_output=True, text=True, check=False).stdout if loader else ""
    if "x86-64-v" not in told:
        pytest.skip("this machine's loader does not tell levels")
    lines = [line.split()[0] for line in told.splitlines() if "(supported, searched)" in line]
    best = max((line for line in lines if line.startswith("x86-64-v")), default="x86-64")
    assert checks.cpu_level() == best


def test_the_checks_run_alone_from_standard_input():
    source = Path(checks.__file__).read_text() + "\nprint(look({})['machine']['arch'])\n"
    done = subprocess.run(
        [sys.executable, "-IS", "-"], input=source, capture_output=True, text=True, check=False, env={}
    )
    assert done.stdout.strip() == os.uname().machine, done.stderr


def test_what_is_sent_to_a_target_is_written_for_its_oldest_python():
    # Python 3.9 is the oldest that ansible-core 2.19 to 2.21 manage.
    for path in Path(checks.__file__).parents[1].glob("mod*/*.py"):
        ast.parse(path.read_text(), str(path), feature_version=(3, 9))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A machine of an ordinary user with an installation of ours, and what the role would want of it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(checks.os, "getuid", lambda: 1000)
    prefix, links = tmp_path / ".local/opt/mrtrix3", tmp_path / ".local/bin"
    (prefix / "bin").mkdir(parents=True)
    links.mkdir()
    command = prefix / "bin" / "mrinfo"
    command.write_text("#!/bin/sh\necho '== mrinfo 3.0.8 =='\n")
    command.chmod(0o755)
    (links / "mrinfo").symlink_to(command)
    (prefix / checks.RECEIPT).write_text("{}")
    report = {"prefix": str(prefix), "bin": str(prefix / "bin"), "origin": "source", "cpu": "x86-64-v3"}
    state = {"report": report, "version": "3.0.8", "commands": ["mrinfo"], "complete": True, "link_dir": str(links)}
    wanted = {
        "version": "3.0.8", "origin": "auto", "prefix": "auto", "link_dir": "auto", "commands": [], "cpu": "auto",
        "state": "present",
    }  # fmt: skip
    return prefix, links, state, wanted, {"root": False, "home": str(tmp_path)}


def test_what_is_as_wanted_has_not_drifted(place):
    _, _, state, wanted, machine = place
    assert checks.mrtrix3_drift(wanted, state, machine) == ""


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
def test_another_wish_is_a_drift(place, change, words):
    _, _, state, wanted, machine = place
    assert words in checks.mrtrix3_drift({**wanted, **change}, state, machine)


def test_any_takes_whatever_version_is_there(place):
    _, _, state, wanted, machine = place
    assert checks.mrtrix3_drift({**wanted, "version": "any"}, state, machine) == ""


def test_a_deleted_command_is_a_drift(place):
    prefix, _, state, wanted, machine = place
    (prefix / "bin" / "mrinfo").unlink()
    assert "commands are missing" in checks.mrtrix3_drift(wanted, state, machine)


def test_a_deleted_link_is_a_drift(place):
    _, links, state, wanted, machine = place
    (links / "mrinfo").unlink()
    assert "links are missing" in checks.mrtrix3_drift(wanted, state, machine)


def test_a_command_that_no_longer_runs_is_a_drift(place):
    prefix, _, state, wanted, machine = place
    (prefix / "bin" / "mrinfo").write_text("#!/bin/sh\nexit 1\n")
    assert "do not run" in checks.mrtrix3_drift(wanted, state, machine)


def test_a_name_that_is_somebody_elses_is_left_alone(place):
    prefix, links, *_ = place
    (links / "mrinfo").unlink()
    (links / "mrinfo").write_text("mine")
    assert checks.broken_links(str(links), ["mrinfo"], str(prefix / "bin")) == []


def test_a_foreign_mrtrix3_is_found_and_our_own_is_not(place, monkeypatch, tmp_path):
    prefix, links, *_ = place
    monkeypatch.setenv("PATH", f"{links}:{prefix / 'bin'}")
    assert checks.foreign_command("mrinfo") == ""
    other = tmp_path / "other" / "bin"
    other.mkdir(parents=True)
    shutil.copy(prefix / "bin" / "mrinfo", other)
    monkeypatch.setenv("PATH", f"{links}:{other}")
    assert checks.foreign_command("mrinfo") == str(other / "mrinfo")


def test_a_prefix_with_somebody_elses_files_is_refused(tmp_path):
    assert checks.prefix_problem(str(tmp_path / "missing")) == ""
    assert checks.prefix_problem(str(tmp_path)) == ""
    (tmp_path / "thesis.tex").write_text("precious")
    assert "not this role's" in checks.prefix_problem(str(tmp_path))
    assert "is a file" in checks.prefix_problem(str(tmp_path / "thesis.tex"))


def test_unmet_requirements_are_those_that_pip_would_install():
    wanted = ["pip", "no-such-package-at-all", "pip>=99999"]
    assert checks.unmet_requirements(sys.executable, wanted) == ["no-such-package-at-all", "pip>=99999"]


def test_a_python_that_is_not_there_meets_nothing():
    assert checks.unmet_requirements("/nonexistent/python", ["dipy"]) == ["dipy"]


def test_a_virtual_environment_is_not_the_distributions(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    assert not checks.managed_by_distribution(str(tmp_path / "venv" / "bin" / "python"))


# --- mrpeek -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(place):
    """That machine with a viewer of ours, what is noted of it, what the role would want, and what MRtrix3 there is."""
    _, links, _, _, machine = place
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
    assert checks.mrpeek_drift(wanted, state, mrtrix3, machine) == ""
    assert checks.mrpeek_drift(wanted, state, {**mrtrix3, "version": ""}, machine) == ""


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
    assert words in checks.mrpeek_drift({**wanted, **wish}, state, {**mrtrix3, **there}, machine)


@pytest.mark.parametrize(
    ("name", "words"), [("bin/mrpeek", "does not run"), ("libsixel.so.1", "the decoder of its pictures is missing")]
)
def test_a_viewer_of_which_something_is_gone_is_a_drift(viewer, name, words):
    prefix, state, wanted, mrtrix3, machine = viewer
    (prefix / name).unlink()
    assert words in checks.mrpeek_drift(wanted, state, mrtrix3, machine)


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
def test_modules_are_built_against_what_came_with_all_they_need(place, parts, version, expected):
    prefix, _, state, _, _ = place
    for name in parts:
        (prefix / name).mkdir(parents=True)
    (prefix / "bin/mrinfo").write_text(f"#!/bin/sh\necho '== mrinfo {version} =='\n")
    folder = Path(checks.state_folder())
    folder.mkdir(parents=True)
    (folder / "mrtrix3.json").write_text(json.dumps(state))
    found = checks.mrtrix3_for_modules()
    assert (found["version"], found["tree"] == str(prefix)) == expected
