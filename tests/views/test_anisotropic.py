"""Multi-crop with in-plane and through-plane scales apart."""

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import RecipeError
from medssl.views.crops.anisotropic import Anisotropic, through_axis
from tests.views.crop_scans import edges, scan_of

LOCAL = {"area": (0.16, 0.48), "length": (0.2, 0.5)}


@pytest.mark.parametrize("settings", [{}, LOCAL])
def test_the_shares_of_area_and_length_are_those_drawn(settings):
    body = [[10, 5, 2], [90, 65, 38]]
    scan = scan_of((100, 80, 40), body=body)
    policy = Anisotropic((16, 16, 16), through="k", **settings)
    areas, lengths, aspects = [], [], []
    rng = generator(0)
    for grid in policy.draw(scan, 800, rng, {}):
        low, high = edges(scan, grid)
        share = (high - low) / np.array([80, 60, 36])
        areas.append(share[0] * share[1])
        lengths.append(share[2])
        aspects.append(share[0] / share[1])
        assert low.min() >= -1e-9
        assert (high <= np.array(scan.shape) + 1e-9).all()
    first, last = policy.area
    # the largest areas with an aspect are cut off at the body's edge
    assert first - 1e-9 <= min(areas) <= first + 0.02
    assert last - 0.05 <= max(areas) <= last + 1e-9
    assert np.mean(lengths) == pytest.approx(np.mean(policy.length), abs=0.02)
    assert 0.899 <= min(aspects) <= 0.91
    assert 1.10 <= max(aspects) <= 1.111


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((64, 64, 20), (1, 1, 5), 2),
        ((20, 64, 64), (5, 1, 1), 0),
        ((64, 20, 64), (1.0, 3.0, 1.005), 1),
        ((20, 64, 64), (1, 1, 1), 0),
        ((64, 60, 20), (1, 2, 3), 2),
        ((64, 64, 64), (1, 1, 1), 2),
    ],
)
def test_the_axis_across_the_slices(shape, spacing, axis):
    assert through_axis(scan_of(shape, np.diag([*spacing, 1.0]))) == axis


def test_without_any_sign_it_is_the_axis_towards_the_head():
    sagittal = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    assert through_axis(scan_of((8, 8, 8), sagittal)) == 1


def test_local_crops_lie_inside_a_global_one():
    scan = scan_of((100, 80, 40))
    rng = generator(2)
    for _ in range(50):
        outer = Anisotropic((24, 24, 24)).draw(scan, 2, rng, {})
        for grid in Anisotropic((12, 12, 12), inside="global", **LOCAL).draw(scan, 4, rng, {"global": outer}):
            low, high = edges(scan, grid)
            held = [
                (low >= first - 1e-9) & (high <= last + 1e-9) | (high - low > last - first)
                for first, last in (edges(scan, one) for one in outer)
            ]
            assert any(one.all() for one in held)


def test_refusals():
    with pytest.raises(RecipeError, match="area"):
        Anisotropic((8, 8, 8), area=(0.5, 1.5))
    with pytest.raises(RecipeError, match="through"):
        Anisotropic((8, 8, 8), through="z")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="must be declared before"):
        Anisotropic((8, 8, 8), inside="global").draw(scan_of((9, 9, 9)), 1, generator(0), {})
