"""What the probe finds out for the role mrtrix3."""

import os
import shutil
from types import SimpleNamespace

import pytest

from plugins.module_utils.provision.look import mrtrix3 as look
from plugins.module_utils.provision.look import tool
from plugins.module_utils.provision.tool.prefix import RECEIPT


@pytest.fixture
def seen(installation, note):
    """Return a function that looks at that machine with other wishes, or another state."""
    _, _, state, wanted, machine = installation

    def ask(changed=(), **wishes):
        note("mrtrix3", {**state, **dict(changed)})
        return look.look_at({**wanted, **wishes}, machine)

    return ask


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_what_is_as_wanted_has_not_drifted(seen):
    assert seen()["converged"]


@pytest.mark.parametrize(
    ("wishes", "value"),
    [
        ({"version": "3.0.4"}, "3.0.8"),
        ({"origin": "package"}, "source"),
        ({"commands": ["mrinfo", "tckgen"]}, "tckgen"),
        ({"cpu": "x86-64"}, "x86-64-v3"),
        ({"prefix": "/elsewhere"}, ".local/opt/mrtrix3"),
        ({"link_dir": "none"}, ".local/bin"),
    ],
)
def test_another_wish_is_a_drift_and_what_is_only_elsewhere_is_moved(seen, wishes, value):
    found = seen(**wishes)
    assert value in found["drift"]
    assert found["movable"] is bool({"prefix", "link_dir"} & set(wishes))


def test_any_takes_whatever_version_is_there(seen):
    assert seen(version="any")["converged"]


@pytest.mark.parametrize(
    ("version", "stays"), [("3.0.8", True), ("3.0.9", True), ("3.1.0", True), ("dev", True), ("8a420c772", True),
                           ("3.0.4", False), ("2.9.9", False), ("", False)]
)  # fmt: skip
def test_where_no_version_is_named_nothing_newer_or_special_is_replaced(seen, installation, version, stays):
    assert seen({"version": version}, version="auto")["converged"] is stays
    if stays:
        (installation[0] / "bin/mrinfo").unlink()
        assert seen({"version": version}, version="auto")["version"] == version
        assert seen({"version": version}, version="auto", origin="package")["version"] == "3.0.8"
    else:
        assert seen({"version": version}, version="auto")["version"] == "3.0.8"


def test_what_is_not_asked_for_stays_where_it_is_and_as_it_is(seen, installation, tmp_path):
    prefix, links, state, _, _ = installation
    prefix.rename(tmp_path / "elsewhere")
    links.rename(tmp_path / "commands")
    (tmp_path / "commands/mrinfo").unlink()
    (tmp_path / "commands/mrinfo").symlink_to(tmp_path / "elsewhere/bin/mrinfo")
    report = {**state["report"], "prefix": str(tmp_path / "elsewhere"), "bin": str(tmp_path / "elsewhere/bin")}
    moved = {"report": report, "link_dir": str(tmp_path / "commands")}
    for wishes in ({}, {"version": "any"}, {"version": "any", "commands": ["mrinfo"]}, {"prefix": report["prefix"]}):
        assert seen(moved, **wishes)["converged"], wishes
    assert seen({**moved, "link_dir": ""})["converged"]  # without links, as it was once asked for
    assert seen(moved, prefix=str(prefix))["movable"]


def test_an_installation_that_is_gone_is_made_in_the_usual_place(seen, installation, tmp_path):
    prefix, _, state, _, _ = installation
    found = seen({"report": {**state["report"], "prefix": str(tmp_path / "unmounted"), "bin": str(tmp_path / "no")}})
    assert (found["prefix"], found["movable"]) == (str(prefix), False)


def test_to_mend_what_is_there_is_not_to_replace_it_with_another_version(seen, installation):
    prefix, _, _, _, _ = installation
    (prefix / "bin/mrinfo").unlink()
    assert seen(version="any")["version"] == "3.0.8"
    assert seen(version="any", origin="package")["version"] == "any"
    assert seen(version="3.0.4")["version"] == "3.0.4"


def test_more_commands_are_built_with_those_that_are_there_and_a_plain_run_builds_all(seen):
    some = {"complete": False, "asked": ["mrinfo"]}
    assert seen(some, commands=["mrinfo"])["converged"]
    assert seen(some, commands=["tckgen"])["commands"] == ["mrinfo", "tckgen"]
    assert seen(some)["commands"] == []
    assert seen(commands=["mrinfo"])["converged"]
    assert seen(some, version="3.0.4", commands=["tckgen"])["commands"] == ["tckgen"]


def test_a_deleted_command_is_a_drift(seen, installation):
    (installation[0] / "bin" / "mrinfo").unlink()
    assert "mrinfo" in seen()["drift"]


def test_a_deleted_link_is_made_again_without_another_build(seen, installation):
    (installation[1] / "mrinfo").unlink()
    found = seen()
    assert str(installation[1]) in found["drift"] and found["movable"]


def test_a_command_that_no_longer_runs_is_a_drift(seen, installation):
    script(installation[0] / "bin" / "mrinfo", "exit 1")
    found = seen()
    assert str(installation[0] / "bin") in found["drift"] and not found["movable"]


def test_an_installation_that_was_cut_off_is_a_drift(seen, tmp_path):
    found = seen({"pending": [{"report": {"prefix": str(tmp_path / "other"), "bin": str(tmp_path / "other/bin")}}]})
    assert found["drift"] and not found["converged"] and not found["movable"]


def test_an_archive_whose_processor_is_not_known_is_taken_for_what_was_asked(seen, installation):
    noted = {"report": {**installation[2]["report"], "origin": "archive", "cpu": ""}, "archive_sha256": "ab"}
    assert seen(noted, cpu="x86-64-v3", archive={"url": "/a.tgz", "sha256": "AB"})["converged"]
    assert "archive" in seen(noted, archive={"url": "/b.tgz", "sha256": "cd"})["drift"]


def test_what_a_killed_first_run_has_left_is_there_to_be_removed(seen, installation, note):
    prefix, _, _, wanted, machine = installation
    assert not seen(state="absent")["converged"]
    note("mrtrix3", {})
    (prefix / RECEIPT).unlink()
    assert look.look_at({**wanted, "state": "absent"}, machine)["converged"]
    (prefix.parent / ".mrtrix3.provision-abc").mkdir()
    assert not look.look_at({**wanted, "state": "absent"}, machine)["converged"]


# --- What the caller has exported -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "MRTRIX_CONFIGFILE", "MRTRIX_NTHREADS"]
)
def test_the_commands_are_asked_without_the_callers_settings(seen, installation, monkeypatch, name):
    script(installation[0] / "bin/mrinfo", f'[ -z "${{{name}+x}}" ] || [ "${name}" = /dev/null ] || exit 1\n'
           "[ ! -e ~/.mrtrix.conf ] || exit 1; echo '== mrinfo 3.0.8 =='")  # fmt: skip
    (installation[0].parents[2] / ".mrtrix.conf").write_text("HelpCommand: nothing\n")
    monkeypatch.setenv(name, "/nowhere")
    assert seen()["converged"]


def test_a_foreign_command_has_the_libraries_of_its_user(installation, monkeypatch, tmp_path):
    script(tmp_path / "apps/bin/mrinfo", "[ -n \"$LD_LIBRARY_PATH\" ] && echo '== mrinfo 3.0.8 =='")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/apps/lib")
    report = {"bin": str(tmp_path / "apps/bin"), "origin": "present"}
    assert look.now("mrtrix3", report)["works"] and look.version_in(report["bin"], foreign=True) == "3.0.8"
    assert not look.now("mrtrix3", {**report, "origin": "package"})["works"]


# --- What a shell finds -----------------------------------------------------------------------------------------------


def notes(found):
    assert found["converged"]
    return found["report"].get("notes", [])


def test_commands_that_a_shell_finds_are_no_news(seen, installation, monkeypatch):
    assert notes(seen()) == []
    monkeypatch.setenv("PATH", str(installation[0] / "bin"))
    assert notes(seen()) == []


def test_commands_that_no_shell_finds_come_with_the_line_to_type(seen, installation, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (told,) = notes(seen())
    assert told.endswith(f'export PATH="{installation[1]}:$PATH"')
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert notes(seen())[0].endswith(f"fish_add_path --path {installation[1]}")
    assert notes(seen(shell=False)) == []


def test_of_an_installation_that_is_gone_path_is_not_blamed(seen, installation):
    report = seen()["report"]
    shutil.rmtree(installation[0])
    assert look.now("mrtrix3", report) == {"works": False}


def test_another_mrtrix3_before_ours_is_named_with_the_line_to_type(seen, installation, monkeypatch, tmp_path):
    other = script(tmp_path / "other/mrinfo", "echo '== mrinfo 3.0.3 =='")
    monkeypatch.setenv("PATH", str(other.parent), prepend=os.pathsep)
    (told,) = notes(seen())
    assert str(other) in told and told.endswith(f'export PATH="{installation[1]}:$PATH"')
    assert look.now("mrtrix3", seen()["report"]) == {"works": True, "notes": [told]}


def test_a_file_that_was_left_alone_in_the_folder_of_links_leads_past_it(seen, installation):
    (installation[1] / "mrinfo").unlink()
    script(installation[1] / "mrinfo", "echo '== mrinfo 3.0.3 =='")
    (told,) = notes(seen())
    assert told.endswith(f'export PATH="{installation[0]}/bin:$PATH"')


# --- What the disk says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "value"),
    [
        ({"f_flag": os.ST_NOEXEC}, "noexec", "noexec"), ({"f_flag": os.ST_RDONLY}, "read-only", "read-only"),
        ({"f_bavail": 10}, "disk-full", "0 MB"), ({"f_favail": 0}, "disk-full", ""),
        ({}, "", ""), ({"f_blocks": 0, "f_bavail": 0}, "", ""),
    ],
)  # fmt: skip
def test_a_disk_that_takes_no_programs_is_named_before_anything_is_fetched(seen, monkeypatch, change, code, value):
    disk = {"f_flag": 0, "f_bavail": 10**9, "f_bfree": 10**9, "f_frsize": 4096, "f_blocks": 10**9, "f_files": 9}
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**{**disk, "f_favail": 9, **change}))
    found = seen(version="3.0.4")
    assert (found["refusal"] or [""])[-1] == code
    for problem in (" ".join(found["refusal"]), found["unfit"].get("source", "")):
        assert bool(problem) == bool(code) and value in problem


@pytest.mark.parametrize(
    ("name", "wishes", "option"),
    [
        ("opt", {"prefix": "opt/mine"}, "mrtrix3_prefix"), ("links", {"link_dir": "links"}, "mrtrix3_link_dir"),
        ("provision", {"version": "3.0.4"}, "writable"), ("none", {"version": "3.0.4"}, ""),
    ],
)  # fmt: skip
def test_a_place_in_which_nobody_may_write_is_named_before_anything_is_fetched(
    seen, monkeypatch, tmp_path, name, wishes, option
):
    for folder in ("opt/mine", "links"):
        (tmp_path / folder).mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (mode & os.W_OK and str(path).endswith(name)) and real(path, mode)
    )
    wishes = {key: value if key == "version" else str(tmp_path / value) for key, value in wishes.items()}
    told = seen(**wishes)["refusal"]
    assert option in told[1] and name in told[0] if option else told == []


@pytest.mark.parametrize(
    ("wishes", "groups"),
    [
        ({"version": "3.0.4"}, {"run", "build"}), ({"version": "3.1.0"}, {"run", "build", "cmake"}),
        ({"version": "dev2"}, {"run", "build", "cmake"}), ({"version": "3.0.4", "origin": "package"}, set()),
        ({"version": "3.0.4", "archive": {"url": "https://x/a.tgz", "sha256": "0" * 64}}, {"run"}),
        ({"version": "3.0.4", "archive": {"url": "https://x/a.tar.zst", "sha256": "0" * 64}}, set()),
        ({"prefix": "/elsewhere"}, set()), ({"version": "any", "cpu": "x86-64"}, {"run", "build"}),
    ],
)  # fmt: skip
def test_the_packages_that_installing_needs_are_known_before_anything_is_tried(seen, monkeypatch, wishes, groups):
    monkeypatch.setattr(tool, "sudo_works", lambda: False)
    found = seen(groups=["run"], package={"name": "mrtrix3", "groups": ["package"]}, **wishes)
    assert set(found["needs"].get("groups", [])) == groups


@pytest.mark.parametrize(("origin", "due"), [("source", ""), ("auto", ""), ("conda", "it came from archive")])
def test_the_build_of_another_host_counts_as_one_from_source(installation, note, origin, due):
    _prefix, _links, state, wanted, machine = installation
    state["report"]["origin"] = "archive"
    note("mrtrix3", {**state, "instead_of": "source"})
    assert look.look_at({**wanted, "origin": origin}, machine).get("drift", "") == due
    note("mrtrix3", state)
    assert look.look_at({**wanted, "origin": "source"}, machine)["drift"] == "it came from archive"
