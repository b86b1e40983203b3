"""The time left of a real build, as it was estimated and as it was."""

import json
from pathlib import Path
from statistics import mean

from provision.display.tasks import ESTIMATE_AFTER_SHARE_OF_TIME, Estimate
from provision.machine.build.estimate import share_done

# The first 123 steps of MRtrix3 3.0.8, on two cores that other programs used as well: when each began, in seconds, and
# what it costs.
BUILD = json.loads((Path(__file__).parent / "builds/first_steps.json").read_text())


def mean_error(clock, update):
    """Return by how much of the time left the estimate is wrong from a tenth to nine tenths of the build, every 5 s."""
    estimate, steps, wrong = Estimate(), list(BUILD["steps"]), []
    begun, ahead, start = [], [cost for _, cost in steps], clock.now
    for now in range(0, int(BUILD["seconds"]), 5):
        while steps and steps[0][0] <= now:
            clock.now = start + steps.pop(0)[0]
            begun.append(ahead.pop(0))
            update(estimate, begun, sum(ahead))
        clock.now = start + now
        if 0.1 <= now / BUILD["seconds"] < 0.9:
            wrong.append(abs((estimate.left or 0) / (BUILD["seconds"] - now) - 1))
    return mean(wrong)


def test_weighed_by_their_cost_the_steps_tell_the_time_left_to_a_quarter(clock):
    def weigh(estimate, begun, ahead):
        estimate.update(share_done(begun, ahead, BUILD["jobs"]), 1.0, ESTIMATE_AFTER_SHARE_OF_TIME)

    assert mean_error(clock, weigh) < 0.25


def test_counted_alike_they_do_not(clock):
    error = mean_error(clock, lambda estimate, begun, _: estimate.update(len(begun), len(BUILD["steps"])))
    assert error > 0.5
