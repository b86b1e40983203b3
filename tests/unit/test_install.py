"""Putting an MRtrix3 in its place, with shell scripts of our own for its compiled commands."""

import os
import tarfile

import pytest

pytest.importorskip("ansible")

from plugins.modules import mrtrix3_install as install

MRINFO = "#!/bin/sh\n# compiled\necho '== mrinfo 3.0.8 =='\n"
RESPONSE = "#!/usr/bin/env python\nprint('== dwi2response 3.0.8 ==')\n"


@pytest.fixture(autouse=True)
def _shell_scripts_are_compiled(monkeypatch):
    def is_compiled(path):
        return not os.path.islink(path) and b"# compiled" in open(path, "rb").read()

    def is_python(path):
        return open(path, "rb").read(14) == b"#!/usr/bin/env"

    monkeypatch.setattr(install, "is_elf", is_compiled)
    monkeypatch.setattr(install, "is_script", is_python)
    monkeypatch.setattr(install, "strip", lambda paths: None)


@pytest.fixture
def tree(tmp_path):
    """A built source tree."""
    tree = tmp_path / "tree"
    for name, text in (("mrinfo", MRINFO), ("dwi2response", RESPONSE), ("mrtrix3.py", "#!/usr/bin/env python\n")):
        (tree / "bin").mkdir(parents=True, exist_ok=True)
        (tree / "bin" / name).write_text(text)
        (tree / "bin" / name).chmod(0o755)
    (tree / "lib" / "mrtrix3" / "__pycache__").mkdir(parents=True)
    (tree / "share").mkdir()
    (tree / "core").mkdir()
    return tree


@pytest.fixture
def given(tmp_path, tree):
    """The module's options for an installation from the tree."""
    return {
        "state_file": str(tmp_path / "state" / "mrtrix3.json"), "origin": "source", "version": "3.0.8", "exact": True,
        "tree": str(tree), "archive": None, "bin": None, "prefix": str(tmp_path / "opt" / "mrtrix3"),
        "link_dir": str(tmp_path / "links"), "commands": [], "cpu": "x86-64-v3", "extra": {}, "seconds": 1.0,
    }  # fmt: skip


def snapshot(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_only_what_runs_is_installed_and_reported(given, tmp_path):
    report = install.install(given)["report"]
    assert report["version"] == "3.0.8"
    assert report["bin"] == str(tmp_path / "opt/mrtrix3/bin")
    assert sorted(os.listdir(given["prefix"])) == [".provision.json", "bin", "lib", "share"]
    assert "opt/mrtrix3/lib/mrtrix3/__pycache__" not in snapshot(tmp_path)
    assert os.listdir(tmp_path / "opt") == ["mrtrix3"]


def test_every_command_gets_a_link_and_helpers_get_none(given, tmp_path):
    install.install(given)
    assert sorted(os.listdir(tmp_path / "links")) == ["dwi2response", "mrinfo"]


def test_python_commands_ask_for_python3(given):
    install.install(given)
    with open(os.path.join(given["prefix"], "bin", "dwi2response")) as file:
        assert file.readline() == "#!/usr/bin/env python3\n"


def test_a_command_that_does_not_run_leaves_what_was_there(given, tree, tmp_path):
    install.install(given)
    before = snapshot(tmp_path / "opt")
    (tree / "bin" / "dwi2response").write_text("#!/usr/bin/env python\nimport no_such_module\n")
    with pytest.raises(install.InstallError, match="dwi2response does not run: ModuleNotFoundError"):
        install.install(given)
    assert snapshot(tmp_path / "opt") == before


def test_another_version_than_the_one_wanted_is_refused(given, tmp_path):
    with pytest.raises(install.InstallError, match=r"It is MRtrix3 3\.0\.8, not 3\.0\.9"):
        install.install({**given, "version": "3.0.9"})
    assert not (tmp_path / "opt" / "mrtrix3").exists()


def test_a_branch_is_not_held_to_its_name(given):
    state = install.install({**given, "version": "dev", "exact": False})
    assert (state["version"], state["report"]["version"]) == ("dev", "3.0.8")


def test_a_prefix_with_somebody_elses_files_is_refused_and_kept(given, tmp_path):
    (tmp_path / "opt" / "mrtrix3").mkdir(parents=True)
    (tmp_path / "opt" / "mrtrix3" / "thesis.tex").write_text("precious")
    with pytest.raises(install.InstallError, match="not this role's"):
        install.install(given)
    assert snapshot(tmp_path / "opt") == ["mrtrix3", "mrtrix3/thesis.tex"]


def test_a_file_in_the_link_folder_is_left_alone_and_told(given, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "mrinfo").write_text("mine")
    assert install.install(given)["left_alone"] == ["mrinfo"]
    assert (tmp_path / "links" / "mrinfo").read_text() == "mine"


def test_absent_removes_what_was_put_there_and_nothing_else(given, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "mine").write_text("mine")
    (tmp_path / "opt").mkdir()
    install.install(given)
    install.remove(given)
    assert snapshot(tmp_path / "links") == ["mine"]
    assert snapshot(tmp_path / "opt") == []
    assert snapshot(tmp_path / "state") == []


def test_absent_finds_an_installation_whose_notes_are_lost(given, tmp_path):
    install.install(given)
    os.unlink(given["state_file"])
    install.remove(given)
    assert snapshot(tmp_path / "links") == []
    assert snapshot(tmp_path / "opt") == []


def test_another_prefix_takes_the_old_one_away(given, tmp_path):
    install.install(given)
    install.install({**given, "prefix": str(tmp_path / "elsewhere")})
    assert not (tmp_path / "opt" / "mrtrix3").exists()
    assert os.readlink(tmp_path / "links" / "mrinfo") == str(tmp_path / "elsewhere/bin/mrinfo")


@pytest.mark.parametrize("top", [".", "mrtrix3-3.0.8"])
def test_an_archive_may_have_its_files_at_the_top_or_in_one_folder(given, tree, tmp_path, top):
    with tarfile.open(tmp_path / "build.tar.gz", "w:gz") as tar:
        for name in ("bin", "lib", "share"):
            tar.add(tree / name, f"{top}/{name}")
    state = install.install({**given, "tree": None, "archive": str(tmp_path / "build.tar.gz"), "origin": "archive"})
    assert state["report"]["origin"] == "archive"


def test_an_archive_of_something_else_is_refused(given, tree, tmp_path):
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as tar:
        tar.add(tree / "share", "share")
    with pytest.raises(install.InstallError, match="no folder bin"):
        install.install({**given, "tree": None, "archive": str(tmp_path / "other.tar.gz")})
    assert not (tmp_path / "opt" / "mrtrix3").exists()


def test_an_mrtrix3_that_is_there_stays_where_it_is(given, tree):
    state = install.install({**given, "tree": None, "bin": str(tree / "bin"), "origin": "present", "version": "any"})
    assert state["report"]["bin"] == str(tree / "bin")
    install.remove(given)
    assert (tree / "bin" / "mrinfo").exists()
