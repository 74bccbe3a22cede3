from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.store.intensity import encode, value_range
from medssl.store.settings import StoreSettings


def _box(data: np.ndarray) -> np.ndarray:
    return np.array([[0, 0, 0], data.shape[1:]])


def test_percentiles_are_of_the_body_alone() -> None:
    data = np.zeros((1, 10, 10, 10))
    data[0, 4:6] = np.arange(200).reshape(2, 10, 10)
    low, high = value_range(data, np.array([[4, 0, 0], [6, 10, 10]]), StoreSettings(percentiles=(0, 100)), "MR")
    assert (low, high) == (0.0, 199.0)


@pytest.mark.parametrize("value", [0.0, -1000.0, 1.7e6])
def test_a_constant_scan_becomes_zero(value: float) -> None:
    data = np.full((1, 3, 3, 3), value)
    low, high = value_range(data, _box(data), StoreSettings(), "MR")
    assert np.clip((data - low) / (high - low), 0, 1).max() == 0.0


def test_a_scan_with_one_bright_voxel_is_not_constant() -> None:
    data = np.zeros((1, 10, 10, 10))
    data[0, 5, 5, 5] = 9.0
    assert value_range(data, _box(data), StoreSettings(), "MR") == (0.0, 9.0)


@pytest.mark.parametrize(
    "values", [[-32768, 32767], [0, 65535], [1_000_000, 1_065_535], [-1024, 3071], [5, 5]], ids=str
)
def test_whole_numbers_are_exact(values: list[int]) -> None:
    data = np.array(values, dtype=np.float64).reshape(1, 2, 1, 1)
    stored, coding = encode(data, 0.0, 1.0)
    assert stored.dtype == np.int16
    assert (stored * coding.scale + coding.offset == data).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1.7e6])
def test_fractions_are_kept_to_a_small_part_of_the_range(scale: float) -> None:
    data = np.random.default_rng(0).random((1, 20, 20, 20)) * scale
    low, high = 0.1 * scale, 0.9 * scale
    stored, coding = encode(data, low, high)
    seen = np.clip((stored.astype(np.float64) * coding.scale + coding.offset - low) / (high - low), 0, 1)
    assert np.abs(seen - np.clip((data - low) / (high - low), 0, 1)).max() < 1.2e-5


def test_all_values_outside_the_window_stay_outside() -> None:
    data = np.array([500.5, 900.25]).reshape(1, 2, 1, 1)
    stored, coding = encode(data, -175.0, 250.0)
    assert (stored * coding.scale + coding.offset >= 250.0).all()


def test_an_mr_without_a_modality_is_not_flattened_by_a_hu_window() -> None:
    data, box = np.arange(1000.0).reshape(1, 10, 10, 10), np.array([[0, 0, 0], [10, 10, 10]])
    settings = StoreSettings(window_hu=(-175, 250))
    with pytest.raises(InputError, match=r"expected a CT in HU .* got values from 0 up") as caught:
        value_range(data, box, settings, "")
    assert caught.value.code == "values"
    assert value_range(data - 1000, box, settings, "") == (-175.0, 250.0)
    assert value_range(data, box, settings, "CT") == (-175.0, 250.0)
    assert value_range(data, box, settings, "MR") != (-175.0, 250.0)
