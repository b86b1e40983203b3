"""Shells and b-values as MRtrix3 has them; each expected value is what mrinfo -shell_bvalues of MRtrix3 3.0.8 gives."""

import numpy as np
import pytest

from provision.study import checks


def with_b(*bvals):
    return np.column_stack([np.tile([1.0, 0, 0], (len(bvals), 1)), bvals])


@pytest.mark.parametrize(("bvals", "shells"), [
    ([0, 10, 990, 1000, 1010], (0, 1000)),
    ([11, 11, 11, 1000, 1000, 1000], (50, 1000)),
    ([0, 700, 1000, 1000, 1000, 3000, 3000], (0, 1000)),
    ([0, 1000, 1079, 1158], (0, 1100)),
    ([0, *[1000] * 3, *[1080] * 3], (0, 1000, 1100)),
    ([5, *[1495] * 3, *[2980] * 3], (0, 1500, 3000)),
])  # fmt: skip
def test_shells_are_those_of_mrtrix3(bvals, shells):
    assert checks.shells(with_b(*bvals)) == shells


def test_b_values_are_scaled_by_the_squared_length_of_their_vectors_where_these_differ():
    table = with_b(0, 3000, 3000)
    table[1, :3] *= np.sqrt(1 / 3)
    assert checks.scaled(table)[:, 3] == pytest.approx([0, 1000, 3000])
    assert checks.scaled(table)[1, :3] == pytest.approx([1, 0, 0])
    table = with_b(0, 3000) * [0.999, 1, 1, 1]
    assert checks.scaled(table)[:, 3].tolist() == [0, 3000]
