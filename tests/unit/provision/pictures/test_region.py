"""Regions: as they are written, and where the strongest glyphs are."""

import numpy as np
import pytest

from provision.errors import OptionError
from provision.pictures import region as regions
from provision.pictures.drawing import PLANES
from provision.pictures.reader import Header

from .affines import scanner_affine

SHAPE = (20, 30, 10)


def voxels(region, plane="axial", index=4, affine=None, spacing=(2.0, 2.0, 2.0)):
    affine = scanner_affine(SHAPE, spacing) if affine is None else affine
    header = Header("a.mif", SHAPE, spacing, affine)
    return [(part.start, part.stop) for part in regions.parsed(region).voxels(PLANES[plane], index, header)]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("3:8,10:20", [(3, 8), (10, 20)]),
        (" 3:8, 10:20 ", [(3, 8), (10, 20)]),
        (((3, 8), (10, 20)), [(3, 8), (10, 20)]),
        ([[np.int64(3), 8], [10, 20]], [(3, 8), (10, 20)]),
        (":,:", [(0, 20), (0, 30)]),
        ("-5:,:-10", [(15, 20), (0, 20)]),
        # Voxel 0 is at x = -19 and y = -29 mm.
        ("-19:-15,-29:-25mm", [(0, 3), (0, 3)]),
        ("-18:-14.5,0:1.5 mm", [(1, 3), (15, 16)]),
        (":0,0:mm", [(0, 10), (15, 30)]),
        ("-500:-15,0:500mm", [(0, 3), (15, 30)]),
    ],
)
def test_a_region_is_read_alike_in_python_and_a_shell(region, expected):
    assert voxels(region) == expected


def test_all_is_no_region():
    assert regions.parsed("all") is None


@pytest.mark.parametrize(
    "region",
    [
        "",
        "3",
        "3:8",
        "3:8,1",
        "a:b,c:d",
        "1.5:2,0:3",
        "3:8,10:20cm",
        "nan:3,0:1mm",
        7,
        (0, 2),
        ((0, 2.5), (0, 5)),
        b"1",
    ],
)
def test_what_is_not_a_region_is_refused(region):
    with pytest.raises(OptionError) as refused:
        regions.parsed(region)
    assert refused.value.code == "bad-value"


@pytest.mark.parametrize("region", ["0:21,0:30", "5:5,0:3", "8:3,0:3", "-21:,0:3", "40:50,0:1mm", "0.1:0.2,0:1mm"])
def test_a_region_that_the_slice_does_not_have_is_refused(region):
    with pytest.raises(OptionError) as refused:
        voxels(region)
    assert refused.value.code == "bad-value" and "'0:20,0:30'" in refused.value.hint


@pytest.mark.parametrize("plane", PLANES)
def test_millimetres_are_those_of_the_nearest_axes(plane):
    spacing = (1.0, 2.0, 4.0)
    axes = [PLANES[plane].across, PLANES[plane].up]
    edges = [spacing[axis] for axis in axes]
    first = [-edge * (SHAPE[axis] - 1) / 2 for axis, edge in zip(axes, edges, strict=True)]
    text = ",".join(f"{low + 2 * edge}:{low + 5 * edge}" for low, edge in zip(first, edges, strict=True))
    assert voxels(text + "mm", plane, spacing=spacing) == [(2, 6), (2, 6)]


def test_in_an_oblique_slice_the_middle_is_where_it_was_asked_for():
    affine = scanner_affine(SHAPE, 2.0, rotation=(10, 20, 15))
    x, y = (affine @ [7, 12, 4, 1])[:2]
    found = voxels(f"{x - 4}:{x + 4},{y - 6}:{y + 6}mm", affine=affine)
    assert found == [(5, 10), (9, 16)]


def window(peaks, spacing=(2, 2)):
    return [(part.start, part.stop) for part in regions.strongest(np.asarray(peaks, float), spacing)]


def test_the_window_is_around_the_strongest_glyphs_not_the_many_weak_ones():
    peaks = np.zeros((96, 112))
    peaks[5:40, 5:40] = 0.1
    peaks[70:74, 80:84] = 1
    assert window(peaks) == [(56, 88), (68, 96)]


def test_the_window_is_in_the_middle_where_all_are_alike_and_never_empty_where_there_are_two_clusters():
    assert window(np.ones((96, 112))) == [(32, 64), (42, 70)]
    peaks = np.zeros((96, 112))
    peaks[5:9, 50:54] = peaks[85:89, 50:54] = 1
    (x0, x1), _ = window(peaks)
    assert (x0 <= 5 and x1 >= 9) or (x0 <= 85 and x1 >= 89)


def test_a_small_slice_is_shown_whole_and_long_voxels_count_as_they_are():
    assert window(np.ones((10, 12))) == [(0, 10), (0, 12)]
    assert [stop - start for start, stop in window(np.ones((96, 96)), (1, 4))] == [32, 7]
