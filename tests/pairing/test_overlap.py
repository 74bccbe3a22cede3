"""Overlap labels: the checks of VoCo's label generator, in the plane and in space."""

import numpy as np
import pytest
import torch

from medssl.draws import generator
from medssl.errors import UsageError
from medssl.pairing.overlap import overlap_shares
from medssl.views.grid import Box, overlap_share

TILTED = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, -1.0]]) @ np.diag([0.7, 0.7, 3.0])


def box(origin, shape, matrix=TILTED):
    """A box whose first corner voxel is at ``origin`` in stored voxels."""
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = matrix @ np.asarray(origin, dtype=float) + [10, -20, 30]
    return Box(affine, tuple(shape))


def numbers(boxes):
    return torch.from_numpy(np.stack([b.to_numbers() for b in boxes]))


def cells(counts, side):
    """A grid of base boxes, the first axis slowest."""
    return [
        box((side * i, side * j, side * k), (side, side, side))
        for i in range(counts[0])
        for j in range(counts[1])
        for k in range(counts[2])
    ]


@pytest.mark.parametrize(("counts", "possible"), [((4, 4, 1), {1, 2, 4}), ((3, 3, 3), {1, 2, 4, 8})])
def test_labels_of_legal_crops_sum_to_one(counts, possible):
    rng = generator(0)
    side = 12
    origins = [[rng.integers(side * (n - 1) + 1) for n in counts] for _ in range(200)]
    shares = overlap_shares(numbers([box(o, (side,) * 3) for o in origins]), numbers(cells(counts, side)))
    torch.testing.assert_close(shares.sum(1), torch.ones(200, dtype=torch.float64), rtol=0, atol=1e-12)
    found = set((shares > 0).sum(1).tolist())
    assert found <= possible
    assert max(possible) in found


def test_fractional_places_sum_to_one_too():
    rng = generator(1)
    queries = [box((*(24 * rng.random(2)), 0), (12, 12, 12)) for _ in range(200)]
    shares = overlap_shares(numbers(queries), numbers(cells((3, 3, 1), 12)))
    torch.testing.assert_close(shares.sum(1), torch.ones(200, dtype=torch.float64), rtol=0, atol=1e-5)
    assert (shares > 0).sum(1).max() == 4


def test_a_crop_on_a_cell_is_one_hot():
    bases = numbers(cells((3, 3, 2), 16))
    assert torch.equal(overlap_shares(bases, bases), torch.eye(18, dtype=torch.float64))


def test_a_crop_on_an_inner_corner_has_four_quarters():
    shares = overlap_shares(numbers([box((8, 8, 0), (16, 16, 16))]), numbers(cells((3, 3, 1), 16)))
    expected = torch.tensor([0.25, 0.25, 0, 0.25, 0.25, 0, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(shares[0], expected, rtol=0, atol=1e-12)
    assert (shares > 0).sum() == 4


def test_equals_the_overlap_of_two_boxes_even_with_flipped_axes_and_other_spacings():
    turned = TILTED @ np.array([[0.0, 2.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    queries = [box((1, 2, 3), (5, 6, 7)), box((-3, 0, 2), (9, 4, 4))]
    bases = [box((0, 0, 0), (6, 6, 6)), box((-5, 2, 4), (6, 4, 9), turned)]
    found = overlap_shares(numbers(queries), numbers(bases))
    for q, query in enumerate(queries):
        for k, base in enumerate(bases):
            assert float(found[q, k]) == pytest.approx(overlap_share(query, base), abs=1e-12)
    assert (found > 0).sum() >= 3


def test_volume_overlap_equals_counting_random_points():
    query, base = box((3.3, 4.1, 2.0), (10, 12, 8)), box((0, 0, 0), (9, 9, 9))
    points = generator(2).random((200_000, 3)) * query.shape - 0.5
    mm = points @ query.affine[:3, :3].T + query.affine[:3, 3]
    inside = (mm - base.affine[:3, 3]) @ np.linalg.inv(base.affine[:3, :3]).T
    counted = np.all((inside >= -0.5) & (inside <= np.asarray(base.shape) - 0.5), axis=1).mean()
    exact = float(overlap_shares(numbers([query]), numbers([base])))
    assert exact == pytest.approx((9 - 3.3) / 10 * (9 - 4.1) / 12 * 7 / 8, abs=1e-9)
    assert exact == pytest.approx(counted, abs=4 * (0.25 / 200_000) ** 0.5)


def test_boxes_of_different_scans_do_not_overlap():
    one = numbers([box((0, 0, 0), (4, 4, 4))])
    other = numbers([box((0, 0, 0), (4, 4, 4), np.eye(3))])
    both = torch.cat([one, other])
    owner = torch.tensor([0, 1])
    assert torch.equal(overlap_shares(both, both, owner, owner), torch.eye(2, dtype=torch.float64))
    with pytest.raises(UsageError, match="two boxes of one scan are turned to each other"):
        overlap_shares(both, both)
