"""What the tasks of a study promise."""

from __future__ import annotations

from provision.study.plan import group_of, plan

from .builders import FOD, MEAN, RESPONSE, step


def planned(lab, *steps):
    return {f"{task.owner}/{task.step.name}": task for task in plan(lab.series, steps)}


def test_tasks_of_a_series_come_one_after_the_other_and_those_of_the_first_series_first(lab):
    lab.add("01", "02")
    assert list(planned(lab, RESPONSE, MEAN, FOD)) == [
        "sub-01/response", "sub-01/fod", "sub-02/response", "sub-02/fod", "group_b0b1000b2000/mean",
    ]  # fmt: skip


def test_a_step_reads_files_of_the_dataset_and_what_earlier_steps_wrote(lab):
    lab.add("01")
    found = planned(lab, RESPONSE, MEAN, FOD)
    fod = found["sub-01/fod"]
    assert found["sub-01/response"].inputs == {"dwi": [str(lab.image("01"))]}
    assert fod.inputs == {
        "response": ["sub-01/dwi/sub-01_response.txt"], "mean": ["group/group_b0b1000b2000_mean.txt"],
    }  # fmt: skip
    assert fod.outputs == {"fod": "sub-01/dwi/sub-01_fod.txt"}
    assert fod.parents == [found["sub-01/response"], found["group_b0b1000b2000/mean"]]


def test_a_replaced_image_is_read_by_later_steps_and_not_by_the_one_that_replaces_it(lab):
    lab.add("01")
    found = planned(lab, step("denoise", "dwi", "dwi"), RESPONSE)
    assert found["sub-01/denoise"].inputs == {"dwi": [str(lab.image("01"))]}
    assert found["sub-01/response"].inputs == {"dwi": ["sub-01/dwi/sub-01_dwi.txt"]}


def test_a_series_gets_the_steps_for_its_shells(lab):
    lab.add("01", shells=(0, 1000))
    lab.add("02")
    one, several = step("one", "dwi", data="single-shell"), step("several", "dwi", data="multi-shell")
    assert list(planned(lab, one, several)) == ["sub-01/one", "sub-02/several"]


def test_series_of_other_shells_have_a_group_of_their_own(lab):
    lab.add("01", "02")
    lab.add("03", shells=(0, 1000))
    found = planned(lab, RESPONSE, MEAN, FOD)
    assert [task.series.subject for task in found["group_b0b1000b2000/mean"].parents] == ["01", "02"]
    assert [task.series.subject for task in found["group_b0b1000/mean"].parents] == ["03"]
    assert found["sub-03/fod"].parents[1:] == [found["group_b0b1000/mean"]]


def test_groups_of_different_shells_have_different_names():
    assert len({group_of(shells) for shells in [(0, 100), (0, 10, 0), (0, 1000), (1000,), (0, 1000, 2000)]}) == 5


def test_a_file_that_a_series_does_not_have_is_named(lab):
    lab.add("01", bvec=None)
    assert planned(lab, step("preproc", "dwi bvec bval"))["sub-01/preproc"].lacks == "bvec"


def test_sessions_and_runs_have_files_of_their_own(lab):
    from dataclasses import replace

    lab.add("01")
    first = lab.series[0]
    lab.series = [replace(first, session=label, name=f"sub-01_ses-{label}") for label in "12"]
    paths = {path for task in planned(lab, RESPONSE).values() for path in (task.record_path, *task.outputs.values())}
    assert len(paths) == 4 and "sub-01/ses-2/dwi/sub-01_ses-2_response.txt" in paths
