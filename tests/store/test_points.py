from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.store.points import label_points, small_labels
from tests.store.making import blobs


def test_every_point_lies_on_its_class() -> None:
    label = blobs((20, 20, 20))[None]
    points = label_points(label, 3, per_class=50)
    assert (label[0][tuple(points[:, 1:].T)] == points[:, 0]).all()
    assert {int(v): int((points[:, 0] == v).sum()) for v in np.unique(points[:, 0])} == {1: 50, 2: 1}
    assert len(np.unique(points, axis=0)) == len(points)


def test_points_are_a_function_of_the_seed() -> None:
    label = blobs((20, 20, 20))[None]
    assert (label_points(label, 3, 9) == label_points(label, 3, 9)).all()
    assert not (label_points(label, 3, 9) == label_points(label, 4, 9)).all()


def test_an_empty_map_has_no_points() -> None:
    assert label_points(np.zeros((1, 4, 4, 4), dtype=np.uint8), 0).shape == (0, 4)


def test_labels_take_the_smallest_type() -> None:
    assert small_labels(np.array([[[[0, 255]]]])).dtype == np.uint8
    assert small_labels(np.array([[[[0, 256]]]])).dtype == np.uint16


@pytest.mark.parametrize(
    ("value", "reason"), [(0.5, "whole numbers"), (-2, r"from -1 \(unknown\) to 65535"), (70000, "from -1")]
)
def test_senseless_labels_are_refused(value: float, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        small_labels(np.array([[[[0, value]]]]))


def test_unknown_voxels_stay_unknown_and_are_no_class() -> None:
    label = np.full((1, 2, 2, 2), -1)
    label[0, 1, 1, 1] = 3
    small = small_labels(label)
    assert small.dtype == np.int16
    assert np.array_equal(small, label)
    assert label_points(small, 0).tolist() == [[3, 1, 1, 1]]
