from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.reporting.plane import AXIAL, CORONAL, CT_WINDOW, PLANES, SAGITTAL, Plane, best_plane, grey_window, upright

RAS = np.diag([2.0, 3.0, 4.0, 1.0])


@pytest.mark.parametrize("plane", PLANES)
def test_letters_name_the_sides_that_are_seen(plane: Plane):
    shape = (5, 7, 9)
    ends = {"R": (0, 4), "L": (0, 0), "A": (1, 6), "P": (1, 0), "S": (2, 8), "I": (2, 0)}
    for letter, where in zip(plane.letters, ("left", "right", "top", "bottom"), strict=True):
        axis, index = ends[letter]
        data = np.zeros(shape)
        data[tuple(index if a == axis else slice(None) for a in range(3))] = 1
        cut = plane.cut(data, 2)
        edge = {"left": cut[:, 0], "right": cut[:, -1], "top": cut[0], "bottom": cut[-1]}[where]
        assert edge.all()
        assert cut.sum() == edge.size


@pytest.mark.parametrize("plane", PLANES)
def test_a_voxel_lies_where_its_slice_shows_it(plane: Plane):
    data = np.zeros((5, 7, 9))
    data[1, 2, 3] = 1
    row, column = np.argwhere(plane.cut(data, (1, 2, 3)[plane.normal]))[0]
    assert plane.place(data.shape, np.array([[1, 2, 3]])).tolist() == [[column + 0.5, row + 0.5]]


def test_a_flipped_and_permuted_scan_looks_the_same():
    data = np.random.default_rng(0).random((4, 5, 6))
    flipped = RAS @ np.array([[-1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    turned = flipped[:, [2, 0, 1, 3]]
    other = upright(data[::-1].transpose(2, 0, 1), turned)
    assert np.array_equal(other.data[0], data)
    assert np.allclose(other.affine, RAS)


def test_sizes_are_in_millimetres():
    assert AXIAL.size_mm((10, 20, 30), (2.0, 3.0, 4.0)) == (20.0, 60.0)
    assert SAGITTAL.size_mm((10, 20, 30), (2.0, 3.0, 4.0)) == (60.0, 120.0)


def test_the_sharpest_plane_lies_across_the_widest_spacing():
    assert best_plane(upright(np.zeros((4, 4, 4)), np.diag([1.0, 5.0, 1.0, 1.0]))) is CORONAL
    assert best_plane(upright(np.zeros((4, 4, 4)), np.eye(4))) is AXIAL


def test_windows():
    assert grey_window(np.array([-1000.0, 40.0, 900.0]), "CT") == CT_WINDOW
    assert grey_window(np.array([0.0, 0.25, 1.0]), "CT") != CT_WINDOW
    assert grey_window(np.full((2, 2), 7.0)) == (7.0, 8.0)
    assert grey_window(np.full((2, 2), np.nan)) == (0.0, 1.0)


def test_a_projection_sees_through():
    data = np.zeros((2, 4, 3))
    data[0, 1, 0] = 8.0
    assert CORONAL.project(data).tolist() == [[0, 0], [0, 0], [0, 2]]
    assert CORONAL.project(data, "max")[-1, -1] == 8


def test_a_picture_is_no_scan():
    with pytest.raises(UsageError, match="3 or 4 dimensions, got shape"):
        upright(np.zeros((4, 4)), np.eye(4))
