"""What is shown while a study runs."""

from __future__ import annotations

import pytest

from provision.study.progress import Progress

from .builders import Pool, step

ALL = "All series"


@pytest.fixture
def shown(lab):
    """Run what is due; return what was shown."""

    def run(pool=None):
        found = []
        progress = Progress(found.append)
        scheduler = lab.scheduler()
        progress.follow(scheduler)
        scheduler.run(pool or Pool(lab.out))
        return found

    return run


def of(found, task, kind="work"):
    """Return the steps of a line; not those that only take it away."""
    return [each for each in found if each.task == task and each.kind == kind and not each.skipped]


def test_a_series_has_a_line_while_it_is_worked_on_which_ends(lab, shown):
    lab.add("01")
    found = shown()
    work = of(found, "sub-01")
    assert [(each.number, each.total) for each in work] == [(0, 2), (1, 2)]
    assert "response" in work[0].unit and "fod" in work[1].unit
    (end,) = of(found, "sub-01", "done")
    assert end.changed and not end.failed and end.seconds > 0 and found.index(end) > found.index(work[1])


def test_a_series_that_waits_for_others_has_no_line(lab, shown):
    lab.add("01", "02")
    found = shown()
    gone = next(each for each in found if each.task == "sub-01" and each.skipped)
    assert found.index(of(found, "sub-01")[0]) < found.index(gone) < found.index(of(found, "sub-02")[0])


def test_one_line_is_for_all_series_and_is_taken_away(lab, shown):
    lab.add("01", "02")
    found = shown()
    work = of(found, ALL)
    assert work[0].number == 0 and {each.total for each in work} == {5}
    assert [(each.number, each.share) for each in work] == sorted((each.number, each.share) for each in work)
    assert found[-1].task == ALL and found[-1].skipped


def test_the_share_is_one_of_the_time_that_steps_take(lab, shown):
    lab.steps = (step("long", "dwi"), step("short", "dwi"))
    lab.add("01")
    seconds = {"long": 90.0, "short": 10.0}
    progress, found = Progress(lambda each: found.append(each)), []
    scheduler = lab.scheduler()
    scheduler.seconds = seconds.__getitem__
    progress.follow(scheduler)
    scheduler.run(Pool(lab.out))
    assert {each.share for each in of(found, ALL)} >= {0, 0.9}


def test_a_series_that_failed_is_named_with_its_step_and_reason(lab, shown):
    lab.add("01", "02")
    pool = Pool(lab.out)
    pool.fails["sub-01/response"] = "no white matter"
    found = shown(pool)
    (end,), (note,) = of(found, "sub-01", "done"), [each.note for each in found if each.note]
    assert end.failed and [word for word in ("sub-01", "response", "no white matter") if word not in note] == []
    assert not of(found, "sub-02", "done")[0].failed


def test_what_failed_before_has_a_note_and_no_line(lab, shown):
    lab.add("01")
    pool = Pool(lab.out)
    pool.fails["sub-01/response"] = "no white matter"
    shown(pool)
    found = shown()
    assert of(found, "sub-01") == of(found, "sub-01", "done") == []
    assert ["no white matter" in each.note for each in found if each.note] == [True]


def test_the_time_that_is_left_is_shown_when_it_is_known(lab, shown):
    lab.add("01", "02")
    found = shown()
    assert not any("left" in each.unit for each in of(found, "sub-01"))
    assert "about 10 s left" in of(found, "sub-02")[-1].unit


def test_a_series_of_which_everything_is_done_has_no_line(lab, shown):
    lab.add("01")
    shown()
    lab.add("02")
    found = shown()
    assert of(found, "sub-01") == of(found, "sub-01", "done") == [] and of(found, "sub-02", "done")


def test_a_step_that_is_started_again_has_one_line(lab, shown):
    lab.add("01")
    pool = Pool(lab.out)
    pool.goes_away["sub-01/response"] = 1
    assert len(of(shown(pool), "sub-01", "done")) == 1
