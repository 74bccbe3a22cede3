"""Predictions in the scan's own geometry."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from medssl.inference.export import to_label_map, volumes_ml, with_values
from medssl.store.process import process
from medssl.store.settings import StoreSettings
from medssl.volume import Volume


def _oblique(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Turned by 20° about z, stored right to left and front to back."""
    c, s = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([-spacing[0], -spacing[1], spacing[2]])
    affine[:3, 3] = [40, 50, -30]
    return affine


def test_a_marked_voxel_comes_back_to_itself() -> None:
    affine = _oblique((1.0, 1.0, 2.0))
    marked = np.zeros((1, 10, 12, 6), np.uint8)
    marked[0, 2, 7, 4] = 1
    scan = Volume(np.random.default_rng(0).normal(size=(1, 10, 12, 6)).astype(np.float32), affine)
    stored = process(scan, StoreSettings(), Volume(marked, affine))
    assert stored.label is not None
    one_hot = np.stack([stored.label[0] == 0, stored.label[0] == 1]).astype(np.float32)
    back = to_label_map(one_hot, stored.image.affine, scan.shape, scan.affine)
    assert back.data.dtype == np.uint8
    np.testing.assert_array_equal(back.data, marked)
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)


def test_a_resampled_box_comes_back_in_place() -> None:
    affine = _oblique((0.7, 0.9, 2.5))
    marked = np.zeros((1, 30, 28, 12), np.uint8)
    marked[0, 8:20, 6:22, 3:9] = 1
    scan = Volume(marked.astype(np.float32), affine)
    stored = process(scan, StoreSettings(spacing_mm=(1.0, 1.0, 1.0))).image
    inside = stored.data[0].astype(np.float32)
    back = to_label_map(np.stack([1 - inside, inside]), stored.affine, scan.shape, scan.affine).data
    assert 2 * (back & marked).sum() / (back.sum() + marked.sum()) > 0.93
    centre = [np.argwhere(m[0]).mean(axis=0) for m in (back, marked)]
    np.testing.assert_allclose(centre[0], centre[1], atol=0.25)


def test_the_most_probable_of_three_classes_wins_between_voxels() -> None:
    p = np.zeros((3, 3, 1, 1), np.float32)
    p[0, 0], p[1, 1], p[2, 2] = 1.0, 0.9, 1.0
    label = to_label_map(p, np.diag([4.0, 1, 1, 1]), (9, 1, 1), np.eye(4))
    assert label.data[0, :, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_class_numbers_become_the_data_sets_values() -> None:
    label = Volume(np.array([0, 1, 2], np.uint8).reshape(1, 3, 1, 1), np.eye(4))
    assert with_values(label, {0: 0, 1: 5, 2: 300}).data.ravel().tolist() == [0, 5, 300]


def test_volumes_are_millilitres() -> None:
    label = Volume(np.zeros((1, 10, 10, 10), np.uint8), _oblique((2.0, 1.0, 1.0)))
    label.data[0, :5] = 3
    assert volumes_ml(label, {0: "background", 3: "liver", 4: "spleen"}) == {
        "liver": pytest.approx(1.0),
        "spleen": 0.0,
    }
