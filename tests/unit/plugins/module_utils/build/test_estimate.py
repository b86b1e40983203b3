"""How much of a build is done, and what the steps cost that are left."""

import pytest

from plugins.module_utils.provision.build import estimate


@pytest.fixture
def tree(tmp_path):
    """A tree with two commands and two files that they may need, none of them compiled."""
    for name in ("cmd/mrinfo", "cmd/tckgen", "cmd/mrview", "core/app", "src/exec_version", "src/gui/mrview/window"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.cpp").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("[CC] tmp/core/file/config.o", "core/file/config"),
        ("[LB] bin/mrinfo", "bin/mrinfo"),
        ("[LD] lib/libmrtrix.so", "lib/libmrtrix.so"),
        ("Building CXX object cpp/core/CMakeFiles/mrtrix-core.dir/file/config.cpp.o", "core/file/config"),
        ("Building CXX object cpp/cmd/CMakeFiles/mrinfo.dir/mrinfo.cpp.o", "cmd/mrinfo"),
        ("Linking CXX executable bin/mrinfo", "bin/mrinfo"),
        ("Generating version", "Generating version"),
    ],
)
def test_a_step_has_one_name_whatever_builds_it(what, name):
    assert estimate.step_name(what) == name


def test_a_step_costs_what_was_measured_and_an_unknown_one_what_its_kind_does():
    costs = estimate.read_costs("cmd mrinfo 6.5 tckgen 9\n\ncore/file config 1\n")
    assert costs == {"cmd/mrinfo": 6.5, "cmd/tckgen": 9.0, "core/file/config": 1.0}
    assert estimate.step_cost("core/math/average_space") > 20 * estimate.step_cost("core/new")
    assert estimate.step_cost("cmd/new") > estimate.step_cost("bin/new") > 0
    assert estimate.step_cost("src/new") > 0 and estimate.step_cost("Generating version") > 0


def test_ahead_is_what_is_in_the_tree_and_not_compiled(tree):
    assert set(estimate.steps_ahead(tree, [])) == {
        "cmd/mrinfo", "cmd/tckgen", "core/app", "src/exec_version", "bin/mrinfo", "bin/tckgen"
    }  # fmt: skip
    for name in ("tmp/cmd/mrinfo.o", "tmp/core/app.o", "bin/mrinfo"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    assert set(estimate.steps_ahead(tree, [])) == {"cmd/tckgen", "src/exec_version", "bin/tckgen"}


def test_ahead_are_no_other_commands_than_those_wanted(tree):
    assert set(estimate.steps_ahead(tree, ["tckgen"])) == {"cmd/tckgen", "core/app", "src/exec_version", "bin/tckgen"}


def test_the_sources_of_another_build_system_are_found_too(tree):
    (tree / "cpp").mkdir()
    for name in ("cmd", "core", "src"):
        (tree / name).rename(tree / "cpp" / name)
    assert "cmd/mrinfo" in estimate.steps_ahead(tree, [])


def test_left_is_all_that_is_ahead_where_that_is_what_will_be_done():
    ahead = ["cmd/mrinfo", "core/app", "src/exec_version"]
    assert estimate.seconds_left(ahead, 3) == pytest.approx(sum(map(estimate.step_cost, ahead)))
    assert estimate.seconds_left(ahead, 0) == 0


def test_only_of_the_shared_sources_a_build_may_need_a_part():
    ahead = ["cmd/mrinfo", "src/exec_version", "src/registration/linear"]
    mean = (estimate.step_cost("src/exec_version") + estimate.step_cost("src/registration/linear")) / 2
    assert estimate.seconds_left(ahead, 2) == pytest.approx(estimate.step_cost("cmd/mrinfo") + mean)


def test_steps_that_nobody_knows_are_left_too():
    assert estimate.seconds_left([], 4) == 4 * estimate.seconds_left([], 1) > 0


@pytest.mark.parametrize(
    ("costs", "jobs", "share"),
    [
        ([4], 1, 0),  # it begins
        ([4, 1], 1, 0.4),
        ([4, 1], 2, 0),  # both begin
        ([4, 1, 1], 2, 0.2),  # the second is done, and the first as far
        ([4, 1, 1, 1, 1, 1], 2, 0.8),  # the long one has ended
    ],
)
def test_what_has_begun_is_done_as_far_as_the_compilers_can_be(costs, jobs, share):
    assert estimate.share_done(costs, 10 - sum(costs), jobs) == pytest.approx(share)
