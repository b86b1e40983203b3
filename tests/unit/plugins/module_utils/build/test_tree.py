"""Compiling a tree, with a build script of our own in MRtrix3's place: what is kept, and what is made again."""

import shutil

import pytest

from plugins.module_utils.provision.build.driver import BuildError
from plugins.module_utils.provision.build.tree import choose_jobs, drop_damaged, tree_locked
from plugins.module_utils.provision.file_lock import locked

from .source_tree import compile_, settle


def test_all_commands_are_built_when_none_is_named(source):
    assert compile_(source).steps == 2
    assert (source / "bin" / "tckgen").exists()


def test_only_the_named_commands_are_built(source):
    compile_(source, ["mrinfo", "dwi2response"])
    assert (source / "bin" / "mrinfo").exists()
    assert not (source / "bin" / "tckgen").exists()


def test_a_command_that_does_not_exist_is_named_with_the_nearest(source):
    with pytest.raises(BuildError) as caught:
        compile_(source, ["mrinf"])
    assert caught.value.code == "no-command" and "'mrinf'" in caught.value.message
    assert "'mrinfo'" in caught.value.hint
    assert not (source / "config").exists()


def test_a_second_build_does_nothing(source):
    compile_(source)
    assert compile_(source).steps == 0


def test_a_half_written_program_is_built_again(source):
    compile_(source)
    whole = (source / "bin" / "mrinfo").read_bytes()
    (source / "bin" / "mrinfo").write_bytes(whole[: len(whole) // 2])
    assert compile_(source).steps == 1
    assert (source / "bin" / "mrinfo").read_bytes() == whole


@pytest.mark.parametrize("damage", [b"", b"\0" * 4096, b"\x7fELF"])
def test_an_object_that_is_not_whole_is_dropped(source, damage):
    (source / "tmp" / "a.o").write_bytes(damage)
    assert drop_damaged(str(source)) == ["tmp/a.o"]


def test_whole_objects_and_scripts_are_kept(source, tmp_path):
    shutil.copy("/bin/false", source / "tmp" / "a.o")
    shutil.copy("/bin/true", source / "bin" / "mrinfo")
    assert drop_damaged(str(source)) == []


def test_two_builds_never_work_in_one_tree(source):
    with (
        locked(str(source / ".provision-lock")),
        pytest.raises(BuildError) as caught,
        tree_locked(str(source), seconds=0),
    ):
        pass
    assert caught.value.code == "locked" and str(source) in caught.value.message


@pytest.mark.parametrize(
    ("asked", "cores", "gib", "jobs"),
    [(0, 2, 12, 2), (0, 8, 8, 2), (0, 8, 1, 1), (5, 2, 1, 5), (0, 4, 0, 1), (0, 4, None, 4)],
)
def test_jobs_are_cores_but_never_more_than_memory_allows(asked, cores, gib, jobs):
    assert choose_jobs(asked, cores, gib if gib is None else gib * 2**30) == jobs


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
