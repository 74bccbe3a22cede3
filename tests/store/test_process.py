from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.store.process import process
from medssl.store.settings import StoreSettings
from medssl.views.grid import apply
from medssl.volume import Volume
from tests.store.making import OBLIQUE, texture


def test_a_marked_voxel_keeps_its_place_in_the_body() -> None:
    data = np.zeros((1, 9, 8, 7))
    data[0, 2, 5, 3] = 1.0
    done = process(Volume(data, OBLIQUE), StoreSettings())
    assert done.image.orientation == "RAS"
    found = np.argwhere(done.image.data[0] == 1.0)
    np.testing.assert_allclose(apply(done.image.affine, found), apply(OBLIQUE, np.array([[2, 5, 3]])), atol=1e-9)


def test_labels_go_with_their_voxels() -> None:
    data = texture((6, 7, 8))[None]
    done = process(Volume(data, OBLIQUE), StoreSettings(), Volume((data > 500).astype(np.uint8), OBLIQUE))
    assert done.label is not None
    assert (done.label == (done.image.data > 500)).all()


def test_processing_twice_changes_nothing() -> None:
    settings = StoreSettings(spacing_mm=(1.5, 1.5, 1.5))
    once = process(Volume(texture((12, 10, 8))[None], OBLIQUE), settings)
    twice = process(once.image, settings)
    assert (once.image.data == twice.image.data).all()
    np.testing.assert_allclose(once.image.affine, twice.image.affine, atol=1e-12)


def test_the_window_is_exact() -> None:
    data = np.array([-1000.0, -175.0, 37.5, 250.0, 3000.0]).reshape(1, 5, 1, 1)
    done = process(Volume(data, np.eye(4)), StoreSettings(window_hu=(-175, 250)), modality="CT")
    assert done.normalized().ravel().tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_values_that_are_not_finite_are_refused() -> None:
    data = np.zeros((1, 2, 2, 2))
    data[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        process(Volume(data, np.eye(4)), StoreSettings())


def test_a_label_map_elsewhere_is_refused() -> None:
    moved = np.eye(4)
    moved[0, 3] = 1.0
    data = np.zeros((1, 4, 4, 4))
    with pytest.raises(InputError, match="1 mm apart"):
        process(Volume(data, np.eye(4)), StoreSettings(), Volume(data, moved))
    with pytest.raises(InputError, match="image's shape"):
        process(Volume(data, np.eye(4)), StoreSettings(), Volume(data[:, :3], np.eye(4)))
