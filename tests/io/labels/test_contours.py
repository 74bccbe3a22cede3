"""The rule that makes contours voxels: centre inside, even-odd, edges to the growing side."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.io.labels.contours import area, filled


def crossings(point, polygon):
    """Ray casting by the book, one point at a time."""
    a, b = point
    odd = False
    for (a0, b0), (a1, b1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (b0 <= b) != (b1 <= b) and a < a0 + (b - b0) / (b1 - b0) * (a1 - a0):
            odd = not odd
    return odd


@pytest.mark.parametrize("seed", range(6))
def test_any_polygon_is_filled_as_point_by_point(seed):
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-3, 14, (count, 2)) for count in rng.integers(3, 9, 3)]
    want = [[sum(crossings((a, b), p) for p in polygons) % 2 == 1 for b in range(9)] for a in range(11)]
    np.testing.assert_array_equal(filled(polygons, (11, 9)), want)


@pytest.mark.parametrize("seed", range(4))
def test_corners_and_edges_on_centres_are_decided_as_point_by_point(seed):
    polygons = [np.random.default_rng(seed).integers(0, 9, (7, 2)).astype(float)]
    want = [[crossings((a, b), polygons[0]) for b in range(9)] for a in range(9)]
    np.testing.assert_array_equal(filled(polygons, (9, 9)), want)


def test_regions_that_share_an_edge_share_no_voxel_and_leave_none_out():
    left = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 6.0], [0.0, 6.0]])
    right = left + np.array([4.0, 0.0])
    one, two = filled([left], (9, 7)), filled([right], (9, 7))
    assert not (one & two).any()
    np.testing.assert_array_equal(one | two, filled([np.array([[0.0, 0], [8, 0], [8, 6], [0, 6]])], (9, 7)))
    assert one.sum() == 24


def test_a_contour_within_another_is_a_hole_and_one_within_that_an_island():
    def square(low, high):
        return np.array([[low, low], [high, low], [high, high], [low, high]], dtype=float)

    mask = filled([square(0.5, 9.5), square(2.5, 7.5), square(4.5, 5.5)], (11, 11))
    assert mask.sum() == 81 - 25 + 1
    assert mask[5, 5]
    assert not mask[4, 4]


def test_a_keyhole_has_no_width():
    outer = [(0.5, 0.5), (9.5, 0.5), (9.5, 9.5), (0.5, 9.5), (0.5, 5.0)]
    inner = [(3.5, 5.0), (3.5, 3.5), (6.5, 3.5), (6.5, 6.5), (3.5, 6.5), (3.5, 5.0)]
    keyhole = np.array([*outer, *inner, (0.5, 5.0)])
    mask = filled([keyhole], (11, 11))
    assert mask.sum() == 81 - 9
    assert mask[2, 5]
    assert not mask[5, 5]


def test_a_circle_has_its_area():
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    for radius in (10.0, 33.3):
        circle = np.stack([40.2 + radius * np.cos(turn), 39.7 + radius * np.sin(turn)], axis=1)
        # the voxels differ from the disc within half a voxel's diagonal of its edge at most
        count = int(filled([circle], (80, 80)).sum())
        assert abs(count - np.pi * radius**2) < 2 * np.pi * radius * 0.2
        assert area(circle) == pytest.approx(np.pi * radius**2, rel=1e-3)


def test_beyond_the_slice_is_cut_off():
    mask = filled([np.array([[-50.0, -50], [50, -50], [50, 2.5], [-50, 2.5]])], (5, 6))
    np.testing.assert_array_equal(mask, np.broadcast_to(np.arange(6) < 3, (5, 6)))
    assert not filled([np.array([[20.0, 20], [30, 20], [30, 30]])], (5, 6)).any()


def test_noise_of_the_last_digit_decides_nothing():
    square = np.array([[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]])
    for noise in (1e-9, -1e-9):
        np.testing.assert_array_equal(filled([square + noise], (5, 5)), filled([square], (5, 5)))
