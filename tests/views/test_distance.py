"""Pairs whose distance follows CVRL's law."""

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import RecipeError
from medssl.views.crops.distance import AtDistance, distance_law
from tests.views.crop_scans import edges, scan_of


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 4.0])
def test_the_law_is_the_inverse_of_its_distribution(power):
    for chance in (0.0, 0.1, 0.5, 0.9, 1.0):
        x = distance_law(chance, 1.0, power)
        assert ((power + 1) * x - x ** (power + 1)) / power == pytest.approx(chance, abs=1e-12)


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_the_mean_distance_is_that_of_the_law(power):
    # published: M (a + 1) / (2 (a + 2)), which is M / 3 for a straight line
    scan = scan_of((100, 90, 80))
    policy = AtDistance((20, 20, 20), power, scale=(0.999, 1.001), body_share=0.0)
    rng = generator(3)
    apart = []
    for _ in range(1500):
        one, other = policy.draw(scan, 2, rng, {})
        apart.append(np.abs(edges(scan, one)[0] - edges(scan, other)[0]))
    expected = np.array([80, 70, 60]) * (power + 1) / (2 * (power + 2))
    np.testing.assert_allclose(np.mean(apart, axis=0), expected, rtol=0.05)


def test_pairs_lie_in_the_scan_on_whole_voxels_in_any_order():
    scan = scan_of((40, 30, 20))
    rng = generator(0)
    signs = []
    for _ in range(200):
        one, other = AtDistance((16, 12, 8)).draw(scan, 2, rng, {})
        for grid in (one, other):
            low, high = edges(scan, grid)
            np.testing.assert_allclose(low, np.rint(low), atol=1e-9)
            assert low.min() >= -1e-9
            assert (high <= np.array(scan.shape) + 1e-9).all()
        signs.append(np.sign(edges(scan, one)[0] - edges(scan, other)[0]))
    assert np.abs(np.mean(signs, axis=0)).max() < 0.2


def test_the_reach_is_in_millimetres():
    scan = scan_of((100, 90, 80))
    rng = generator(1)
    for _ in range(100):
        one, other = AtDistance((20, 20, 20), reach_mm=(10.0, 5.0, 25.0)).draw(scan, 2, rng, {})
        apart = np.abs(edges(scan, one)[0] - edges(scan, other)[0]) * np.array([1.0, 1.0, 2.5])
        # each end of a pair is rounded to a voxel
        assert (apart <= np.array([10.0, 5.0, 25.0]) + np.array([1.0, 1.0, 2.5])).all()


def test_a_scan_shorter_than_the_crop_has_both_in_its_middle():
    scan = scan_of((9, 40, 40))
    one, other = AtDistance((15, 8, 8)).draw(scan, 2, generator(0), {})
    for grid in (one, other):
        assert edges(scan, grid)[0][0] == pytest.approx(-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"power": 0.0}, "power"), ({"reach_mm": (1.0, -1.0, 1.0)}, "reach_mm"), ({"body_share": 2.0}, "body_share")],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(RecipeError, match=words):
        AtDistance((8, 8, 8), **settings)


def test_a_pair_far_from_a_small_body_is_moved_onto_it():
    body = [[90, 92, 70], [98, 98, 78]]
    scan = scan_of((200, 180, 160), body=body)
    rng = generator(0)
    for _ in range(20):
        one, other = AtDistance((16, 16, 16), reach_mm=(8.0, 8.0, 8.0), body_share=0.9).draw(scan, 2, rng, {})
        low, high = edges(scan, one)
        shared = np.minimum(high, body[1]) - np.maximum(low, body[0])
        assert np.prod(np.clip(shared, 0, None)) >= 0.9 * 8 * 6 * 8
        assert (np.abs(edges(scan, other)[0] - low) <= np.array([9, 9, 4.2])).all()


def test_an_odd_count():
    with pytest.raises(RecipeError, match="even"):
        AtDistance((8, 8, 8)).draw(scan_of((20, 20, 20)), 3, generator(0), {})
