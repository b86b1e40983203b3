"""What the scheduler promises: what is run, in which order, how much at once, and what is not run."""

from __future__ import annotations

import sys

import pytest

from provision.errors import ProvisionError
from provision.study import scheduler

from .builders import RESPONSE, Pool, states, step

GROUP = "group_b0b1000b2000"
MEAN_FILE = f"group/{GROUP}_mean.txt"


@pytest.fixture
def pool(lab):
    return Pool(lab.out)


@pytest.fixture
def two(lab):
    """A study of two series that is done."""
    lab.add("01", "02")
    assert set(states(lab.run()).values()) == {"done"}
    return lab


def mean(lab):
    return (lab.out / MEAN_FILE).read_text()


# Groups


def test_a_group_is_averaged_once_from_all_series_before_what_follows(lab, pool):
    lab.add("01", "02")
    assert lab.ran(pool) == [
        "sub-01/response", "sub-02/response", f"{GROUP}/mean", "sub-01/fod", "sub-02/fod",
    ]  # fmt: skip
    assert mean(lab) == "image of 01image of 02"


def test_a_new_series_uses_the_average_that_is_there(two):
    two.add("03")
    assert two.ran() == ["sub-03/response", "sub-03/fod"]
    assert mean(two) == "image of 01image of 02"


def test_an_average_that_is_there_is_used_before_all_responses_are(two):
    two.add("03")
    pool = Pool(two.out)
    pool.fails["sub-03/response"] = "no"
    two.image("02").write_text("another image of 02")
    found = states(two.run(pool))
    assert mean(two) == "image of 01image of 02"
    assert found[f"{GROUP}/mean"] == "kept" and found["sub-02/fod"] == "done" and found["sub-01/fod"] == "kept"


def test_redo_averages_again_and_does_what_follows(two):
    two.add("03")
    two.run()
    assert two.ran(redo=frozenset({"mean"})) == [f"{GROUP}/mean", "sub-01/fod", "sub-02/fod", "sub-03/fod"]
    assert mean(two).endswith("image of 03") and two.ran() == []


def test_an_average_whose_file_is_gone_is_made_again(two):
    (two.out / MEAN_FILE).unlink()
    assert two.ran() == [f"{GROUP}/mean"]


def test_a_series_that_failed_is_left_out_of_the_average(lab, pool):
    lab.add("01", "02")
    pool.fails["sub-01/response"] = "no white matter"
    found = states(lab.run(pool))
    assert mean(lab) == "image of 02"
    assert found["sub-01/fod"] == "blocked" and found["sub-02/fod"] == "done"


def test_without_any_response_there_is_no_average(lab, pool):
    lab.add("01")
    pool.fails["sub-01/response"] = "no white matter"
    assert states(lab.run(pool)) == {
        "sub-01/response": "failed", f"{GROUP}/mean": "blocked", "sub-01/fod": "blocked",
    }  # fmt: skip


def test_of_some_subjects_no_average_is_made(lab):
    lab.add("01", "02")
    found = states(lab.run(whole=False))
    assert found == {
        "sub-01/response": "done", "sub-02/response": "done", f"{GROUP}/mean": "waiting",
        "sub-01/fod": "waiting", "sub-02/fod": "waiting",
    }  # fmt: skip
    assert lab.ran() == [f"{GROUP}/mean", "sub-01/fod", "sub-02/fod"]


def test_some_subjects_use_the_average_that_is_there(two):
    two.add("03")
    assert two.ran(whole=False) == ["sub-03/response", "sub-03/fod"]


def test_redo_of_an_average_needs_all_subjects(two):
    assert states(two.run(whole=False, redo=frozenset({"mean"})))[f"{GROUP}/mean"] == "waiting"
    assert mean(two) == "image of 01image of 02"


def test_series_of_other_shells_are_averaged_by_themselves(lab):
    lab.add("01")
    lab.add("02", shells=(0, 1000))
    lab.run()
    assert mean(lab) == "image of 01"
    assert (lab.out / "group/group_b0b1000_mean.txt").read_text() == "image of 02"


def test_the_level_group_only_averages_when_all_of_its_series_have_got_so_far(lab):
    lab.add("01")
    lab.run(whole=False)
    lab.add("02")
    found = states(lab.run(level="group"))
    assert found[f"{GROUP}/mean"] == "waiting" and found["sub-02/response"] == "waiting"
    lab.run(whole=False)
    found = states(lab.run(level="group"))
    assert found[f"{GROUP}/mean"] == "done" and found["sub-01/fod"] == "waiting"
    assert mean(lab) == "image of 01image of 02"


def test_the_level_group_without_responses_runs_nothing(lab):
    lab.add("01")
    assert lab.ran(level="group") == []


def test_an_average_that_failed_is_tried_again_from_all_series(lab, pool):
    lab.add("01", "02")
    pool.fails[f"{GROUP}/mean"] = "no"
    lab.run(pool)
    assert lab.ran() == []
    lab.add("03")
    assert lab.ran(retry_failed=True)[:2] == ["sub-03/response", f"{GROUP}/mean"]
    assert mean(lab) == "image of 01image of 02image of 03"


def test_an_average_that_failed_is_tried_again_when_there_are_other_responses(lab, pool):
    lab.add("01")
    pool.fails[f"{GROUP}/mean"] = "no"
    lab.run(pool)
    lab.add("02")
    assert f"{GROUP}/mean" in lab.ran() and mean(lab) == "image of 01image of 02"


# Failures


def test_a_series_that_fails_stops_its_own_later_steps_and_no_others(lab, pool):
    lab.steps = (RESPONSE, step("next", "response"), step("other", "dwi"), step("last", "next other"))
    lab.add("01", "02")
    pool.fails["sub-01/response"] = "no white matter"
    tasks = {f"{task.owner}/{task.step.name}": task for task in lab.run(pool)}
    assert states(tasks.values()) == {
        "sub-01/response": "failed", "sub-01/next": "blocked", "sub-01/other": "done", "sub-01/last": "blocked",
        **dict.fromkeys(["sub-02/response", "sub-02/next", "sub-02/other", "sub-02/last"], "done"),
    }  # fmt: skip
    assert tasks["sub-01/response"].reason == "no white matter"


@pytest.fixture
def failed(lab, pool):
    """A study of two series, one of which failed."""
    lab.add("01", "02")
    pool.fails["sub-01/fod"] = "no"
    lab.run(pool)
    return lab


def test_what_failed_is_not_tried_again_and_is_still_named(failed):
    pool = Pool(failed.out)
    tasks = {f"{task.owner}/{task.step.name}": task for task in failed.run(pool)}
    assert pool.started == [] and tasks["sub-01/fod"].state == "failed" and tasks["sub-01/fod"].reason == "no"


def test_what_failed_is_tried_again_once_on_request(failed):
    assert failed.ran(retry_failed=True) == ["sub-01/fod"] and failed.ran() == []


def test_what_fails_again_is_tried_once_in_a_run(failed, pool):
    pool.started.clear()
    assert failed.ran(pool, retry_failed=True) == ["sub-01/fod"]


def test_what_failed_is_tried_again_when_its_input_has_changed(failed):
    failed.image("01").write_text("a better image of 01")
    assert failed.ran() == ["sub-01/response", "sub-01/fod"]


def test_what_failed_is_tried_again_when_the_step_has_changed(failed):
    failed.steps = (*failed.steps[:2], step("fod", "response mean", commands=(("fod", "-x"),)))
    assert failed.ran() == ["sub-01/fod", "sub-02/fod"]


def test_what_failed_is_done_again_by_redo(failed):
    assert failed.ran(redo=frozenset({"fod"})) == ["sub-01/fod", "sub-02/fod"]


def test_a_series_without_a_file_that_a_step_needs_fails_there(lab):
    lab.steps = (RESPONSE, step("preproc", "dwi sidecar"))
    lab.add("01")
    found = lab.run()
    assert states(found) == {"sub-01/response": "done", "sub-01/preproc": "failed"}
    assert "sidecar" in found[1].reason


def test_a_changed_output_redoes_what_follows_only_if_it_is_different_in_the_end(two):
    (two.out / "sub-01/dwi/sub-01_response.txt").write_text("damaged")
    assert two.ran() == ["sub-01/response"]


def test_redo_does_a_step_again_and_what_follows_from_it(lab):
    lab.steps = (RESPONSE, step("next", "response"), step("other", "dwi"))
    lab.add("01")
    lab.run()
    assert lab.ran(redo=frozenset({"response"})) == ["sub-01/response"]  # it came out the same
    lab.image("01").write_text("another image")
    assert lab.ran() == ["sub-01/response", "sub-01/next", "sub-01/other"]


@pytest.mark.parametrize("settings", [{}, {"redo": frozenset({"response"})}])
def test_a_task_whose_worker_goes_away_is_started_again(two, settings):
    two.image("01").write_text("another image of 01")
    pool = Pool(two.out)
    pool.goes_away["sub-01/response"] = scheduler.TRIES - 1
    tasks = two.run(pool, **settings)
    assert pool.started.count("sub-01/response") == 3 and states(tasks)["sub-01/response"] == "done"


def test_a_task_asked_for_whose_worker_goes_away_is_not_taken_for_done(two):
    pool = Pool(two.out)
    pool.goes_away["sub-01/response"] = 1
    assert states(two.run(pool, redo=frozenset({"response"})))["sub-01/response"] == "done"


def test_a_task_whose_worker_always_goes_away_fails_after_three_times(lab, pool):
    lab.add("01", "02")
    pool.goes_away["sub-01/response"] = 99
    found = states(lab.run(pool))
    assert pool.started.count("sub-01/response") == 3
    assert found["sub-01/response"] == "failed" and found["sub-02/fod"] == "done"
    assert lab.ran() == ["sub-01/response", "sub-01/fod"]  # another run tries again


def test_without_workers_a_run_ends_with_an_error(lab, pool):
    lab.add("01")
    pool.workers, pool.lost = [], ["node1"]
    with pytest.raises(ProvisionError, match="node1") as raised:
        lab.run(pool)
    assert raised.value.code == "no-worker"


@pytest.mark.parametrize(
    ("state", "code"), [("gone", "study-gone"), ("broken", "study-scratch"), ("unwritable", "study-folder")]
)
def test_a_folder_that_is_gone_ends_the_run_and_fails_no_series(lab, pool, monkeypatch, state, code):
    lab.add("01")
    monkeypatch.setattr(pool, "_done", lambda _: {"state": state, "error": "/data is not there"})
    with pytest.raises(ProvisionError, match="/data") as raised:
        lab.run(pool)
    assert raised.value.code == code and len(lab.ran()) == 3


def test_an_image_that_is_gone_before_its_step_starts_is_the_workers_to_report(lab, pool):
    lab.steps = (RESPONSE,)
    lab.add("01")
    lab.image("01").unlink()
    started = []
    pool.wait = lambda _: started.append(pool.workers[0].busy) or [(started[0], {"state": "gone", "error": "x"})]
    with pytest.raises(ProvisionError) as raised:
        lab.run(pool)
    assert raised.value.code == "study-gone" and pool.messages["sub-01/response"]["inputs"]["dwi"][0].keys() == {"path"}


def test_another_run_that_has_taken_the_folder_stops_this_one(lab, pool):
    lab.add("01")

    def check():
        if pool.started:
            raise ProvisionError("taken", code="study-busy")

    with pytest.raises(ProvisionError, match="taken"):
        lab.scheduler().run(pool, check)
    assert pool.started == ["sub-01/response"]


# What would be done


def test_a_dry_run_lists_what_is_due_and_writes_nothing(two):
    two.add("03")
    two.image("01").write_text("another image of 01")
    before = sorted(two.out.rglob("*"))
    found = two.scheduler()
    found.foresee()
    due = {name for name, state in states(found.tasks).items() if state == "due"}
    assert due == {"sub-01/response", "sub-01/fod", "sub-03/response", "sub-03/fod"}
    assert sorted(two.out.rglob("*")) == before and set(two.ran()) == due


def test_a_dry_run_of_nothing_done_lists_everything(lab):
    lab.add("01", "02")
    found = lab.scheduler()
    found.foresee()
    assert set(states(found.tasks).values()) == {"due"} and not lab.out.exists()


# Memory and threads


@pytest.fixture
def three(lab):
    """Three series of one step."""
    lab.steps = (step("fod", "dwi"),)
    lab.add("01", "02", "03")
    return lab


def most(pool):
    return max(map(len, pool.at_once))


def test_as_many_steps_run_at_once_as_there_are_workers(three):
    pool = Pool(three.out, jobs=2)
    three.run(pool)
    assert most(pool) == 2 and len(pool.started) == 3


def test_steps_that_do_not_fit_together_run_one_after_the_other(three):
    pool = Pool(three.out, jobs=3, memory=500 << 20)  # it is expected to take 300 MB, and does
    pool.takes = dict.fromkeys(["sub-01/fod", "sub-02/fod", "sub-03/fod"], 300 << 20)
    three.run(pool)
    assert most(pool) == 1 and len(pool.started) == 3


def test_a_step_that_fits_nowhere_runs_alone(three):
    pool = Pool(three.out, jobs=3, memory=1)
    three.run(pool)
    assert most(pool) == 1 and len(pool.started) == 3


def test_each_machine_has_memory_of_its_own(three):
    pool = Pool(three.out, jobs=3, memory=500 << 20, hosts=2)
    pool.takes = dict.fromkeys(["sub-01/fod", "sub-02/fod", "sub-03/fod"], 300 << 20)
    three.run(pool)
    assert most(pool) == 2


def test_larger_images_are_expected_to_take_more(three, monkeypatch):
    monkeypatch.setattr(scheduler, "_BASE", 0)
    three.image("02").write_text(1000 * "x")
    pool = Pool(three.out, jobs=3, memory=4 * 3 * 1000)
    three.run(pool)
    assert pool.at_once[1] == {"sub-01/fod", "sub-03/fod"}


@pytest.mark.parametrize(("takes", "at_once"), [(100, 3), (400, 2), (600, 1)])
def test_what_a_step_has_taken_decides_how_many_of_it_run_at_once(three, takes, at_once):
    first = Pool(three.out)
    first.takes = dict.fromkeys(["sub-01/fod", "sub-02/fod", "sub-03/fod"], takes << 20)
    three.run(first)
    pool = Pool(three.out, jobs=3, memory=1000 << 20)
    three.run(pool, redo=frozenset({"fod"}))
    assert most(pool) == at_once


def test_what_the_first_series_took_counts_in_the_same_run(three):
    pool = Pool(three.out, jobs=2, memory=700 << 20)
    pool.takes = {"sub-01/fod": 600 << 20}
    three.run(pool)
    assert pool.at_once == [{"sub-01/fod"}, {"sub-01/fod", "sub-02/fod"}, {"sub-03/fod"}]


def threads(pool):
    return {name: message["threads"] for name, message in pool.messages.items()}


def test_cores_are_divided_by_jobs_and_the_last_series_gets_more(three):
    three.steps = (*three.steps, step("tracks", "fod"))
    pool = Pool(three.out, jobs=2, cores=8)
    three.run(pool)
    *most, last = threads(pool).items()
    assert {number for _, number in most} == {4} and last == ("sub-03/tracks", 8)


def test_a_series_that_is_alone_gets_all_cores(lab):
    lab.steps = (RESPONSE,)
    lab.add("01")
    pool = Pool(lab.out, jobs=4, cores=8)
    lab.run(pool)
    assert threads(pool) == {"sub-01/response": 8}


def test_the_number_of_threads_can_be_chosen_and_every_program_gets_it(three):
    pool = Pool(three.out, jobs=2, cores=8)
    three.run(pool, nthreads=3)
    assert set(threads(pool).values()) == {3}
    assert set(pool.messages["sub-01/fod"]["environment"].values()) == {"3"}


def test_there_is_always_a_thread(three):
    pool = Pool(three.out, jobs=3, cores=1)
    three.run(pool)
    assert set(threads(pool).values()) == {1}


def test_a_worker_gets_all_that_a_record_needs(lab, pool):
    lab.add("01")
    lab.run(pool)
    message = pool.messages["sub-01/response"]
    assert message["record"]["definition"] == RESPONSE.definition and message["record"]["subject"] == "01"
    assert message["out"] == str(lab.out) and message["key"] == "key"
    assert pool.messages[f"{GROUP}/mean"]["record"]["subject"] == ""


def test_a_worker_is_told_the_digests_that_are_known(lab, pool):
    lab.add("01")
    lab.run(pool)
    inputs = {name: message["inputs"] for name, message in pool.messages.items()}
    assert "sha256" not in inputs["sub-01/response"]["dwi"][0] and "sha256" in inputs["sub-01/fod"]["response"][0]


def test_a_step_with_code_of_this_package_is_only_run_on_this_machine(lab):
    lab.steps = (step("gradients", "dwi", commands=(("gradient_check", "{in.dwi}"),)),)
    lab.add("01")
    pool = Pool(lab.out, hosts=2)
    pool.workers[0].host.own = False
    lab.run(pool)
    assert pool.ran_on == {"sub-01/gradients": "1"}
    ((*python, dwi),) = pool.messages["sub-01/gradients"]["commands"]
    assert python == [sys.executable, "-m", "provision.study.gradient_check"] and dwi == "{in.dwi}"


def test_how_long_a_step_takes_is_learnt(two):
    found = two.scheduler()
    assert found.seconds(found.tasks[0].step.name) == 2.0
    two.steps = (step("new", "dwi"),)
    found = two.scheduler()
    assert found.seconds(found.tasks[0].step.name) == 0.0


def test_nothing_to_do_is_no_error(lab):
    assert lab.ran() == []
