"""Where the second crop of a pair lies."""

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import RecipeError
from medssl.views.crops.overlapping import Overlapping
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.grid import apply
from medssl.views.view import Scan

TILTED = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -7], [0, 0, -2.5, 0], [0, 0, 0, 1]])


def scan_of(shape):
    return Scan(shape, TILTED, np.array([[0, 0, 0], shape]), {"patient": 1})


def edges(grid):
    """First and last edge in stored voxels from the scan's outer edge."""
    ends = apply(np.linalg.inv(TILTED), grid.box.corners_mm()) + 0.5
    return ends.min(axis=0), ends.max(axis=0)


def pairs(scan, share, scale=(1.0, 1.0), count=150, shape=(16, 12, 8)):
    for seed in range(count):
        rng = generator(seed)
        first = RandomCrop(shape, scale).draw(scan, 1, rng, {})
        yield first[0], Overlapping("view", shape, share, scale).draw(scan, 1, rng, {"view": first})[0]


def overlaps(one, two):
    """Overlap along each axis as a share of the shorter crop."""
    (a, b), (c, d) = edges(one), edges(two)
    return (np.minimum(b, d) - np.maximum(a, c)) / np.minimum(b - a, d - c)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.6, 1.5)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_partners_overlap_by_their_share_and_lie_in_the_scan(share, scale):
    scan = scan_of((60, 40, 30))
    found = []
    for one, two in pairs(scan, share, scale):
        found.append(overlaps(one, two))
        low, high = edges(two)
        assert low.min() >= -1e-9
        assert (high <= np.asarray(scan.shape) + 1e-9).all()
    assert np.min(found) >= share - 1e-6
    assert share == 1.0 or np.min(found) < share + 0.15  # the whole range is used


def test_unzoomed_partners_lie_on_whole_voxels():
    for _, two in pairs(scan_of((60, 40, 30)), 0.5, count=20):
        low, _ = edges(two)
        np.testing.assert_allclose(low, np.rint(low), atol=1e-9)


def test_crops_longer_than_the_scan_are_centred_as_the_first_is():
    for one, two in pairs(scan_of((13, 40, 5)), 0.5, count=20):
        np.testing.assert_allclose(edges(one)[0][[0, 2]], edges(two)[0][[0, 2]], atol=1e-9)
        assert overlaps(one, two).min() >= 0.5 - 1e-9


def test_every_view_of_the_earlier_role_has_its_partner():
    scan = scan_of((60, 40, 30))
    rng = generator(0)
    first = RandomCrop((8, 8, 8)).draw(scan, 3, rng, {})
    partners = Overlapping("view", (8, 8, 8), 0.5).draw(scan, 3, rng, {"view": first})
    assert all(overlaps(one, two).min() >= 0.5 - 1e-9 for one, two in zip(first, partners, strict=True))


def test_the_earlier_role_must_exist_and_the_share_be_one():
    with pytest.raises(RecipeError, match="the role 'view' must be declared before"):
        Overlapping("view", (8, 8, 8)).draw(scan_of((9, 9, 9)), 1, generator(0), {})
    with pytest.raises(RecipeError, match=r"must be in \[0, 1\], got 1.5"):
        Overlapping("view", (8, 8, 8), 1.5)
