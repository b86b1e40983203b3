"""How far a task is, and when it will be done."""

import itertools

import pytest

from provision.display.tasks import Display, Tasks, under_way
from provision.engine.events import Step

from .steps import compile_


@pytest.fixture
def display(clock):
    return Display()


@pytest.mark.parametrize("field", ["number", "total"])
def test_an_amount_is_a_number_before_anything_shows_it(display, field):
    with pytest.raises(ValueError):
        display.step(Step("work", "mrtrix3", "Compile", unit="steps", **{field: "'><script>"}))


@pytest.mark.parametrize(
    ("name", "running"),
    [
        ("Fetch the archive", "Fetching the archive"), ("Compile", "Compiling"), ("Stop it", "Stopping it"),
        ("Copy it", "Copying it"), ("Waiting", "Waiting"), ("", ""), ("Somebody's own task", "Somebody's own task"),
    ],
)  # fmt: skip
def test_a_running_task_reads_as_what_is_going_on(name, running):
    assert under_way(name) == running


def test_the_next_task_takes_the_place_of_one_that_ran_on_several_hosts(display):
    display.step(Step("task", "mrtrix3", "Unpack"))
    display.step(Step("done", "mrtrix3", "Unpack", "node1"))
    display.step(Step("task", "mrtrix3", "Compile"))
    assert [task.task for task in display._tasks.running] == ["Compile"]


def left(shown):
    return shown._tasks.running[0].left


def test_no_time_left_is_told_before_a_twentieth_is_done(display, clock):
    compile_(display, clock, total=400, seconds=10, upto=20)
    assert left(display) == ""
    compile_(display, clock, total=400, seconds=10, upto=21)
    assert left(display) == "about 1 h 10 min left"


def test_no_time_left_is_told_before_10_seconds(display, clock):
    compile_(display, clock, total=10, seconds=2, upto=5)
    assert left(display) == ""
    compile_(display, clock, total=10, seconds=2, upto=6)
    assert left(display) == "about 10 s left"


def test_a_build_that_goes_on_where_it_stopped_is_not_taken_for_a_quick_one(display, clock):
    display.step(Step("task", "mrtrix3", "Compile"))
    for number in range(300, 350):
        display.step(Step("work", "mrtrix3", "Compile", number=number, total=400, unit="steps"))
        clock.sleep(6)
    assert left(display) == "about 5 min left"


def test_the_time_left_runs_down_with_the_clock_between_two_steps(display, clock):
    compile_(display, clock, total=100, seconds=10, upto=50)
    assert left(display) == "about 9 min left"
    clock.sleep(120)
    assert left(display) == "about 7 min left"
    clock.sleep(1000)
    assert left(display) == "almost done"


def test_the_time_left_hardly_rises_while_steps_are_uneven(display, clock):
    display.step(Step("task", "mrtrix3", "Compile"))
    estimate, told = display._tasks.running[0]._estimate, []
    for number in range(400):
        clock.sleep(20 if number % 10 == 0 else 1)
        display.step(Step("work", "mrtrix3", "Compile", number=number, total=400, unit="steps"))
        told.append(estimate.left)
    told = [seconds for seconds in told if seconds is not None]
    assert max(after - before for before, after in itertools.pairwise(told)) < 0.05 * told[0]
    assert told[0] == pytest.approx(380 * 2.9, rel=0.2)
    assert told[-1] < 60


def test_a_step_counts_for_its_share_of_the_time(display, clock):
    display.step(Step("task", "mrtrix3", "Compile"))
    for number in range(1, 51):  # half of the steps, a tenth of the work
        clock.sleep(2)
        display.step(Step("work", "mrtrix3", "Compile", number=number, total=100, unit="steps", share=number / 500))
    assert left(display) == "about 15 min left"


def test_of_units_that_take_known_times_a_fiftieth_is_enough(display, clock):
    display.step(Step("task", "mrtrix3", "Compile"))
    told = []
    for number in range(3):
        display.step(Step("work", "mrtrix3", "Compile", number=number, total=100, unit="steps", share=number / 100))
        told.append(left(display))
        clock.sleep(20)
    assert told == ["", "", "about 33 min left"]


def test_speed_of_long_ago_is_forgotten(display, clock):
    compile_(display, clock, total=1000, seconds=1, upto=300)
    for number in range(301, 601):
        clock.sleep(4)
        display.step(Step("work", "mrtrix3", "Compile", number=number, total=1000, unit="steps"))
    assert display._tasks.running[0]._estimate.left == pytest.approx(400 * 4, rel=0.1)


def test_the_time_left_follows_when_the_work_slows_down(display, clock):
    compile_(display, clock, total=400, seconds=1, upto=100)
    for number in range(101, 201):
        clock.sleep(5)
        display.step(Step("work", "mrtrix3", "Compile", number=number, total=400, unit="steps"))
    assert left(display) in ("about 13 min left", "about 14 min left")


def test_each_host_on_which_a_task_starts_has_a_line_until_it_is_done_there():
    tasks = Tasks()
    tasks.follow(Step("task", "mrtrix3", "Unpack"))
    for host in ("node1", "node2"):
        tasks.follow(Step("task", "mrtrix3", "Unpack", host))
    assert [task.host for task in tasks.running] == ["node1", "node2"]
    tasks.follow(Step("done", "mrtrix3", "Unpack", "node1", changed=True))
    assert [task.host for task in tasks.running] == ["node2"]
    tasks.follow(Step("task", "mrtrix3", "Link"))
    assert [task.label for task in tasks.running] == ["mrtrix3: Link"]
