"""Compiling MRtrix3, with a build script of our own in MRtrix3's place."""

import os
import shutil
import subprocess
from types import SimpleNamespace

import pytest

pytest.importorskip("ansible")

from plugins.module_utils.provision.file_lock import locked
from plugins.modules import mrtrix3_build as build

from .source_tree import (
    _no_hangup,  # noqa: F401
    compile_,
    source,  # noqa: F401
)


def test_all_commands_are_built_when_none_is_named(source):
    assert compile_(source).steps == 2
    assert (source / "bin" / "tckgen").exists()


def test_only_the_named_commands_are_built(source):
    compile_(source, ["mrinfo", "dwi2response"])
    assert (source / "bin" / "mrinfo").exists()
    assert not (source / "bin" / "tckgen").exists()


def test_a_command_that_does_not_exist_is_named_with_the_nearest(source):
    with pytest.raises(build.BuildError, match="no command 'mrinf'") as caught:
        compile_(source, ["mrinf"])
    assert "mrinfo" in caught.value.hint
    assert not (source / "config").exists()


@pytest.fixture
def module(source, tmp_path):
    """An external module of that MRtrix3."""
    tree = tmp_path / "mrpeek"
    (tree / "cmd").mkdir(parents=True)
    (tree / "bin").mkdir()
    (tree / "cmd/mrpeek.cpp").write_text("")
    return tree


def test_a_module_is_built_by_the_mrtrix3_it_is_built_against(source, module):
    compile_(source, ["mrinfo"])
    assert compile_(module, ["mrpeek"], against=source).steps == 1
    assert (module / "bin/mrpeek").exists()
    assert not (source / "bin/mrpeek").exists()


def test_an_mrtrix3_that_nobody_configured_is_configured_for_a_module_and_not_compiled(source, module):
    compile_(module, ["mrpeek"], "x86-64-v3", against=source)
    assert "-march=x86-64-v3" in (source / "config").read_text()
    assert "-include" not in (source / "config").read_text()  # of a header that the module would not find
    assert not (source / "bin/mrinfo").exists()


def test_a_module_is_built_anew_when_its_mrtrix3_was_configured_otherwise(source, module):
    compile_(module, ["mrpeek"], against=source)
    assert compile_(module, ["mrpeek"], against=source).steps == 0
    (source / "config").write_text((source / "config").read_text() + "ld_flags = []\n")
    assert compile_(module, ["mrpeek"], against=source).steps == 1


def test_a_command_that_a_module_does_not_have_is_named(source, module):
    with pytest.raises(build.BuildError, match="no command 'mrpek'") as caught:
        compile_(module, ["mrpek"], against=source)
    assert "mrpeek" in caught.value.hint


def test_a_second_build_does_nothing(source):
    compile_(source)
    assert compile_(source).steps == 0


def test_another_processor_is_configured_anew(source):
    compile_(source, cpu="x86-64")
    assert "['-march=x86-64']" in (source / "config").read_text()
    compile_(source, cpu="x86-64-v3")
    assert "['-march=x86-64-v3']" in (source / "config").read_text()


def test_a_machine_without_a_compiler_is_told_what_brings_one(source, tmp_path):
    (tmp_path / "path" / "c++").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(build.BuildError, match="no C\\+\\+ compiler") as caught:
        compile_(source)
    assert "deps" in caught.value.hint


def test_a_half_written_program_is_built_again(source):
    compile_(source)
    whole = (source / "bin" / "mrinfo").read_bytes()
    (source / "bin" / "mrinfo").write_bytes(whole[: len(whole) // 2])
    assert compile_(source).steps == 1
    assert (source / "bin" / "mrinfo").read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"\0" * 4096, b"\x7fELF"])
def test_an_object_that_is_not_whole_is_dropped(source, damage):
    (source / "tmp" / "a.o").write_bytes(damage)
    assert build.drop_damaged(str(source)) == ["tmp/a.o"]


def test_whole_objects_and_scripts_are_kept(source, tmp_path):
    shutil.copy("/bin/false", source / "tmp" / "a.o")
    shutil.copy("/bin/true", source / "bin" / "mrinfo")
    assert build.drop_damaged(str(source)) == []


def test_progress_tells_step_and_total(source):
    told = []
    compile_(source, tell=lambda *step: told.append(step))
    assert told[-1] == (2, 2, "[LB] bin/tckgen") or told[-1][:2] == (2, 2)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("cc1plus: error writing to /tmp: No space left on device", "disk is full"),
        ("g++: fatal error: Killed signal terminated program cc1plus", "memory ran out"),
        ("core/x.cpp:1:2: error: 'y' was not declared", "'y' was not declared"),
    ],
)
def test_a_failed_build_says_why_in_one_sentence(source, said, words):
    (source / "say").write_text(said)
    with pytest.raises(build.BuildError) as caught:
        compile_(source)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("write failed: No space left on device", "disk-full"),
        ("g++: fatal error: Killed signal terminated program cc1plus", "out-of-memory"),
        ("cc1plus: out of memory allocating 65536 bytes", "out-of-memory"),
        ("c++: internal compiler error: Killed (program cc1plus)", "out-of-memory"),
        ("x.cpp:1: error: no", "build-failed"),
    ],
)
@pytest.mark.parametrize("jobs", [1, 4])
def test_a_build_short_of_memory_is_told_to_use_fewer_jobs_where_there_are_fewer(source, said, code, jobs):
    (source / "say").write_text(said)
    with pytest.raises(build.BuildError) as caught, build.tree_locked(str(source)) as lock:
        build.build(str(source), [], "", jobs, lambda *_: None, print, lock)
    assert caught.value.code == code
    if code == "out-of-memory":
        assert ("mrtrix3_jobs=2" in caught.value.hint) is (jobs == 4)
        assert "jobs" not in caught.value.hint or jobs > 1


def test_a_build_that_is_killed_without_a_word_ran_out_of_memory(source):
    (source / "build").write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(build.BuildError) as caught:
        compile_(source)
    assert caught.value.code == "out-of-memory"


@pytest.mark.parametrize(
    "name",
    [
        "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDLIB_FLAGS", "CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH",
        "LD_LIBRARY_PATH", "LD_PRELOAD", "CC", "CXX", "CXX_ARGS", "LD", "ARCH", "LINKFLAGS", "MAKEFLAGS",
        "EIGEN_CFLAGS", "ZLIB_LDFLAGS", "CMAKE_PREFIX_PATH", "CMAKE_GENERATOR", "PKG_CONFIG_PATH", "PYTHONPATH",
        "PYTHONHOME", "GIT_DIR", "NUMBER_OF_PROCESSORS", "GCC_EXEC_PREFIX", "COMPILER_PATH", "DEPENDENCIES_OUTPUT",
    ],
)  # fmt: skip
def test_what_the_caller_exports_reaches_no_build(source, monkeypatch, name):
    for script in ("configure", "build"):
        text = (source / script).read_text()
        (source / script).write_text(f"{text}\nopen('given', 'a').write(repr(dict(os.environ)))\n")
    monkeypatch.setenv(name, "-march=native")
    compile_(source, cpu="x86-64")
    assert "march=native" not in (source / "given").read_text()


def test_two_builds_never_work_in_one_tree(source):
    with (
        locked(str(source / ".provision-lock")),
        pytest.raises(build.BuildError, match="Another run is building"),
        build.tree_locked(str(source), seconds=0),
    ):
        pass


@pytest.mark.parametrize(
    ("asked", "cores", "gib", "jobs"),
    [(0, 2, 12, 2), (0, 8, 8, 2), (0, 8, 1, 1), (5, 2, 1, 5), (0, 4, 0, 1), (0, 4, None, 4)],
)
def test_jobs_are_cores_but_never_more_than_memory_allows(asked, cores, gib, jobs):
    assert build.choose_jobs(asked, cores, gib if gib is None else gib * 2**30) == jobs


@pytest.fixture
def clone(source, tmp_path):
    """Return a function that makes a fresh clone of the source tree, as a fresh machine does, and its commit."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_COMMITTER_DATE": "1600000000 +0000",
    }  # fmt: skip
    for folder in ("lib", "tmp"):  # which git does not keep when they are empty
        (source / folder / ".keep").write_text("")

    def git(*argv):
        done = subprocess.run(["git", *argv], check=True, env=environment, capture_output=True, text=True)
        return done.stdout.strip()

    git("-C", source, "init", "-q")
    git("-C", source, "add", ".")
    git("-C", source, "commit", "-q", "-m", "sources")

    def make(name):
        git("clone", "-q", f"file://{source}", tmp_path / name)
        return tmp_path / name, git("-C", source, "rev-parse", "HEAD")

    return make


def settle(tree):
    """Make all that was built look as if it had been finished a while ago: what is new is not kept yet."""
    for path in tree.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (path.stat().st_mtime - 60,) * 2)


def test_a_fresh_machine_goes_on_from_what_was_kept(clone, tmp_path):
    first, commit = clone("first")
    work = compile_(first, ["mrinfo"], store=tmp_path / "store", commit=commit)
    settle(first)
    assert work.checkpoint.keep() > 0
    second, _ = clone("second")
    work = compile_(second, store=tmp_path / "store", commit=commit)
    assert (work.steps, work.checkpoint.problem) == (1, "")  # tckgen only
    assert (second / "bin/mrinfo").stat().st_mtime_ns == (first / "bin/mrinfo").stat().st_mtime_ns
    assert (second / "config").stat().st_mtime_ns == (first / "config").stat().st_mtime_ns
    assert (second / "cmd/mrinfo.cpp").stat().st_mtime < (second / "bin/mrinfo").stat().st_mtime


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("c++", 300), FileNotFoundError(2, "No such file", "c++")])
def test_headers_that_cannot_be_precompiled_stop_no_build(source, tmp_path, monkeypatch, error):
    (tmp_path / "path" / "c++").write_text("#!/bin/sh\necho c++ 12, Free Software Foundation\n")
    real = subprocess.run

    def run(argv, **kwargs):
        if "c++-header" in argv:
            raise error
        return real(argv, **kwargs)

    monkeypatch.setattr(build.subprocess, "run", run)
    assert compile_(source).steps == 2


def test_a_fresh_machine_has_all_files_that_its_configuration_includes(clone, tmp_path):
    (tmp_path / "path" / "c++").write_text("#!/bin/sh\necho c++ 12, Free Software Foundation\n")
    first, commit = clone("first")
    work = compile_(first, ["mrinfo"], store=tmp_path / "store", commit=commit)
    assert "provision-precompiled.h" in (first / "config").read_text()
    settle(first)
    work.checkpoint.keep()
    second, _ = clone("second")
    compile_(second, store=tmp_path / "store", commit=commit)
    assert (second / "config").read_text() == (first / "config").read_text()
    assert (second / "provision-precompiled.h").exists()


def test_a_build_with_other_settings_begins_anew(clone, tmp_path):
    first, commit = clone("first")
    work = compile_(first, store=tmp_path / "store", commit=commit)
    settle(first)
    work.checkpoint.keep()
    second, _ = clone("second")
    assert compile_(second, cpu="x86-64-v3", store=tmp_path / "store", commit=commit).steps == 2


def test_a_tree_that_was_built_in_takes_nothing_from_the_store(clone, tmp_path):
    first, commit = clone("first")
    work = compile_(first, store=tmp_path / "store", commit=commit)
    settle(first)
    work.checkpoint.keep()
    (first / "bin/mrinfo").unlink()
    assert compile_(first, store=tmp_path / "store", commit=commit).steps == 1


def test_a_build_without_a_store_keeps_nothing(source):
    assert compile_(source).checkpoint is None


def test_a_store_that_cannot_be_used_stops_no_build(clone, tmp_path):
    first, commit = clone("first")
    (tmp_path / "store").write_text("no folder")
    warnings = []
    work = compile_(first, store=tmp_path / "store", commit=commit, warn=warnings.append)
    assert work.steps == 2 and work.checkpoint.notes() == warnings
    assert [str(tmp_path / "store") in warning for warning in warnings] == [True]


def test_the_time_of_a_build_goes_on_where_the_other_machine_stopped(clone, tmp_path):
    first, commit = clone("first")
    work = compile_(first, ["mrinfo"], store=tmp_path / "store", commit=commit)
    (first / ".provision-spent.json").write_text('{"seconds": 1000}')
    settle(first)
    work.checkpoint.keep()
    second, _ = clone("second")
    assert 1000 <= compile_(second, store=tmp_path / "store", commit=commit).clock.seconds() < 1100


@pytest.fixture
def now(monkeypatch):
    """The time, which passes when it is told to."""
    now = [5000.0]
    monkeypatch.setattr(build, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_the_time_of_all_runs_is_added_up(tmp_path, now):
    clock = build.Clock(str(tmp_path))
    clock.note()
    now[0] += 30.0
    clock.note()
    assert clock.seconds() == 30.0
    now[0] += 5000.0  # in which nothing was built
    clock = build.Clock(str(tmp_path))
    assert clock.seconds() == 30.0
    now[0] += 12.0
    clock.note()
    assert clock.seconds() == 42.0
    assert build.Clock(str(tmp_path)).seconds() == 42.0


def test_a_run_that_is_killed_has_spent_all_but_ten_seconds(tmp_path, now):
    clock = build.Clock(str(tmp_path))
    for _ in range(100):
        clock.note()
        now[0] += 1.0
    assert 90.0 <= build.Clock(str(tmp_path)).seconds() <= 100.0


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_time_that_was_half_written_counts_as_none(tmp_path, now, text):
    (tmp_path / ".provision-spent.json").write_text(text)
    assert build.Clock(str(tmp_path)).seconds() == 0
