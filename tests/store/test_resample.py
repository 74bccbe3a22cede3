from __future__ import annotations

import numpy as np
import pytest

from medssl.store.resample import median_spacing, resample
from medssl.views.grid import apply
from medssl.volume import Volume
from tests.store.making import OBLIQUE


def _indices(shape: tuple[int, int, int]) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize("spacing", [(0.5, 2.0, 1.25), (1.7, 0.6, 5.0), (0.9, 0.9, 0.9)])
def test_a_ramp_in_millimetres_stays_the_same_ramp(spacing: tuple[float, float, float]) -> None:
    shape = (12, 10, 8)
    slope = np.array([3.0, -2.0, 0.7])
    values = (apply(OBLIQUE, _indices(shape)) @ slope).reshape(1, *shape)
    out = resample(Volume(values, OBLIQUE), spacing)
    assert out.spacing_mm == pytest.approx(spacing)
    places = apply(np.linalg.inv(OBLIQUE) @ out.affine, _indices(out.shape))
    inside = ((places >= 0) & (places <= np.array(shape) - 1)).all(axis=1)
    assert inside.sum() > 100
    expected = apply(out.affine, _indices(out.shape)) @ slope
    assert np.abs(out.data.ravel() - expected)[inside].max() < 1e-4 * np.ptp(values)


def test_the_extent_and_centre_stay() -> None:
    out = resample(Volume(np.zeros((1, 9, 10, 11)), OBLIQUE), (0.4, 0.5, 1.0))
    before = apply(OBLIQUE, (np.array([[9, 10, 11]]) - 1) / 2)
    after = apply(out.affine, (np.array([out.shape]) - 1) / 2)
    np.testing.assert_allclose(after, before, atol=1e-9)
    extent = np.array(out.shape) * np.array(out.spacing_mm)
    old = np.array([9, 10, 11]) * np.array(Volume(np.zeros((1, 1, 1, 1)), OBLIQUE).spacing_mm)
    assert (np.abs(extent - old) <= np.array(out.spacing_mm) / 2 + 1e-9).all()


def test_labels_keep_their_values_and_type() -> None:
    label = np.zeros((1, 6, 6, 6), dtype=np.uint8)
    label[0, 2:5, 2:5, 2:5] = 200
    out = resample(Volume(label, np.eye(4)), (0.7, 0.7, 0.7), labels=True)
    assert out.data.dtype == np.uint8
    assert set(np.unique(out.data)) == {0, 200}


def test_equal_spacing_leaves_the_volume_alone() -> None:
    volume = Volume(np.zeros((1, 2, 3, 4), dtype=np.int16), OBLIQUE)
    assert resample(volume, volume.spacing_mm) is volume


def test_a_single_slice_can_be_resampled() -> None:
    out = resample(Volume(np.full((1, 4, 4, 1), 7.0), np.diag([1.0, 1.0, 5.0, 1.0])), (2.0, 2.0, 1.0))
    assert out.shape == (2, 2, 5)
    assert (out.data == 7.0).all()


def test_median_spacing_is_taken_per_axis() -> None:
    affines = [np.diag([a, b, 1.0, 1.0]) for a, b in ((1.0, 5.0), (2.0, 1.0), (9.0, 3.0))]
    assert median_spacing(affines) == (2.0, 3.0, 1.0)
