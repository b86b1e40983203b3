"""What the volumes of an image are taken for: FODs, tensors, or neither."""

import numpy as np
import pytest

from provision.errors import OptionError
from provision.pictures import kinds
from provision.pictures.reader import Header

from .fibres import fibre


def directions(count: int = 300) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def tensors(unit: float, order=(0, 1, 2, 3, 4, 5)) -> np.ndarray:
    """Tensors as dwi2tensor writes them, of fibres in all directions and of water, with noise around them."""
    along = directions()
    whole = 0.3 * np.eye(3) + 1.4 * along[:, :, np.newaxis] * along[:, np.newaxis, :]
    whole = np.concatenate([whole, np.tile(3 * np.eye(3), (100, 1, 1))])
    written = whole[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    noise = 0.1 * np.random.default_rng(1).normal(size=(400, 6))
    return unit * np.concatenate([written, noise])[:, order].reshape(20, 40, 1, 6).astype(np.float32)


def kind(values, said=None, history=(), is_whole=False) -> str:
    header = Header("a.mif", values.shape, (1, 1, 1), np.eye(4), is_whole, None, history)
    return kinds.checked(said, header, np.asarray(values, np.float32, order="F"))


def code(*arguments, **options) -> str:
    with pytest.raises(OptionError) as refused:
        kind(*arguments, **options)
    return refused.value.code


FODS = np.array([fibre(direction) for direction in directions()]).reshape(10, 30, 1, 15)


@pytest.mark.parametrize("unit", [1e-3, 1.0], ids=["mm2/s", "um2/ms"])
def test_tensors_of_every_unit_are_known_by_their_values(unit):
    assert kind(tensors(unit)) == "tensor"


@pytest.mark.parametrize("order", [(0, 3, 4, 1, 5, 2), (0, 3, 1, 4, 5, 2)], ids=["FSL", "ITK"])
def test_tensors_of_another_order_are_refused_whatever_is_said(order):
    assert code(tensors(1, order)) == "unknown-kind"
    assert code(tensors(1, order), "tensor") == "not-tensors"
    assert code(tensors(1, order), history=("dwi2tensor a b",)) == "not-tensors"


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize("count", [1, 6, 15])
def test_fods_of_every_size_are_known_by_their_values(size, count):
    assert kind(size * FODS[..., :count]) == "fod"


def test_noisy_fods_are_taken_where_they_cannot_be_tensors():
    assert kind(FODS + 0.05 * np.random.default_rng(2).normal(size=FODS.shape)) == "fod"


def test_fods_of_a_single_direction_are_never_taken_for_tensors_nor_such_tensors_for_fods():
    for direction in directions(100):
        one = np.tile(fibre(direction)[:6], (3, 3, 3, 1))
        assert kind(one, "fod") == "fod"
        try:
            assert kind(one) == "fod"
        except OptionError as error:
            assert error.code in ("unknown-kind", "not-fods")
    assert code(np.full((2, 2, 2, 6), [1.7e-3, 3e-4, 3e-4, 0, 0, 0])) == "unknown-kind"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (("dwi2fod csd a b c  (version=3.0.3)",), "fod"),
        (("/usr/bin/dwi2tensor a b", "mrconvert b c"), "tensor"),
        (("dwi2tensor a b\nmrconvert b c",), "tensor"),
        (("dwi2tensor a b", "dwi2fod csd b c d"), "fod"),
    ],
)
def test_the_last_command_that_says_counts_more_than_the_values(history, expected):
    # Values that could be both.
    assert kind(np.full((2, 2, 2, 6), [1.7e-3, 3e-4, 3e-4, 0, 0, 0]), history=history) == expected


def test_kurtosis_and_peaks_are_refused_by_what_made_them():
    assert code(FODS, history=("dwi2tensor a b -dkt c",)) == "not-tensors"
    assert code(FODS[..., :6], history=("dwi2fod csd a b c", "sh2peaks a b")) == "not-fods"


def test_peaks_without_a_history_are_refused():
    along = np.tile(directions(300), (1, 5)).reshape(300, 1, 1, 15)
    assert code(along) == "not-fods"
    assert code(along[..., :6]) == "unknown-kind"


@pytest.mark.parametrize("count", [6, 28])
def test_a_series_of_intensities_is_refused(count):
    series = np.random.default_rng(3).uniform(100, 1000, (4, 4, 4, count))
    assert code(series) == code(FODS, is_whole=True) == "not-fods"


def test_values_that_are_not_finite_are_no_evidence():
    values = tensors(1)
    values[:5] = np.nan
    assert kind(values) == "tensor"
