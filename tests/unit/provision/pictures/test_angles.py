"""Angles between axes, and between peaks and the fibres that are known."""

import numpy as np
import pytest

from provision.pictures.angles import LIMITS, angle, compare, peak_angles


@pytest.mark.parametrize(
    ("first", "second", "degrees"),
    [
        ((1, 0, 0), (1, 0, 0), 0),
        ((1, 0, 0), (-1, 0, 0), 0),
        ((1, 0, 0), (0, 1, 0), 90),
        ((1, 0, 0), (1, 1, 0), 45),
        ((1, 0, 0), (-3, 3, 0), 45),
        ((0, 0, 2), (0, np.sqrt(3), 1), 60),
        ((1, 0, 0), (1, 1e-6, 0), np.degrees(1e-6)),
        ((1, 0, 0), (0, 0, 0), 90),
        ((1, 0, 0), (np.nan, np.nan, np.nan), 90),
    ],
)
def test_angle_of_known_cases(first, second, degrees):
    assert angle(np.array(first, float), np.array(second, float)) == pytest.approx(degrees, rel=1e-6)


def turned(degrees: float) -> list[float]:
    """The direction that many degrees from x towards y."""
    return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0]


NONE = [np.nan] * 3


@pytest.mark.parametrize(
    ("peaks", "fibres", "degrees"),
    [
        ([turned(3), turned(90)], [turned(0)], 3),
        ([turned(183), NONE], [turned(0)], 3),
        ([turned(2), turned(95)], [turned(0), turned(90)], 5),
        ([turned(95), turned(2)], [turned(0), turned(90)], 5),
        ([turned(95), turned(2), turned(90)], [turned(0), turned(90)], 5),
        ([turned(0), NONE], [turned(0), turned(90)], 90),
        ([turned(40), turned(50)], [turned(0), turned(90)], 40),
    ],
    ids=["largest", "sign", "in order", "swapped", "third ignored", "one missing", "best pairs"],
)
def test_peak_angle_is_that_of_the_worst_fibre_in_the_best_pairing(peaks, fibres, degrees):
    assert peak_angles(np.array([peaks]), np.array([fibres])) == pytest.approx(degrees)


def test_voxels_are_compared_by_how_many_fibres_they_have_and_those_with_none_are_not():
    directions = np.zeros((4, 1, 1, 2, 3))
    directions[:3, :, :, 0] = turned(0)
    directions[2, :, :, 1] = turned(90)
    peaks = np.zeros((4, 1, 1, 3, 3))
    peaks[:, :, :, 0], peaks[:, :, :, 1] = turned(4), turned(81)
    found = compare(peaks, directions)
    assert {kind: (of.voxels, of.median, of.passed) for kind, of in found.items()} == {
        "single fibre": (2, pytest.approx(4), False),
        "crossing": (1, pytest.approx(9), True),
    }
    assert all(found[kind].limit == limit for kind, limit in LIMITS.items())


def test_a_kind_of_voxel_that_there_is_not_has_no_angles():
    assert compare(np.zeros((1, 1, 1, 2, 3)), np.zeros((1, 1, 1, 2, 3))) == {}
