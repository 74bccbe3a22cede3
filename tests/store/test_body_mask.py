"""The body as cells of a few voxels."""

import numpy as np
import pytest

from medssl.draws import generator
from medssl.store.body_mask import CELL, BodyMask, body_cells
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.placing import body_share
from medssl.views.view import Scan


def test_the_body_is_the_large_pieces_with_their_holes_filled():
    scan = np.full((40, 40, 24), -1000.0)
    scan[8:32, 8:32] = 0.0
    scan[14:20, 14:24] = -900.0
    scan[0:3, 0:3, 0:3] = 200.0
    cells = body_cells(scan[None])
    expected = np.zeros((10, 10, 6), bool)
    expected[2:8, 2:8] = True
    np.testing.assert_array_equal(cells, expected)


@pytest.mark.parametrize("shape", [(9, 4, 1), (3, 3, 3), (17, 8, 5)])
def test_a_constant_scan_and_odd_sizes(shape):
    cells = body_cells(np.zeros((1, *shape)))
    assert cells.shape == tuple(-(-n // CELL) for n in shape)
    assert cells.all()
    assert BodyMask(cells, shape).voxels == np.prod(shape)


def test_voxels_of_body_in_a_box_are_counted_in_fractions():
    shape = (13, 10, 7)
    cells = np.random.default_rng(0).random((4, 3, 2)) < 0.5
    full = np.repeat(np.repeat(np.repeat(cells, 4, 0), 4, 1), 4, 2)[:13, :10, :7]
    mask = BodyMask(cells, shape)
    assert mask.voxels == full.sum()
    rng = np.random.default_rng(1)
    for _ in range(50):
        low = np.array([int(rng.integers(0, n)) for n in shape])
        high = np.array([int(rng.integers(a + 1, n + 1)) for a, n in zip(low, shape, strict=True)])
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        assert mask.within(low, high) == pytest.approx(full[box].sum())
    # half a voxel more on one side, and what lies outside the scan counts nothing
    one = BodyMask(np.ones((4, 3, 2), bool), shape)
    assert one.within([0, 0, 0], [2.5, 10, 7]) == pytest.approx(2.5 * 70)
    assert one.within([-5, -5, -5], [99, 99, 99]) == pytest.approx(np.prod(shape))


def test_crops_keep_a_share_of_a_body_that_fills_little_of_its_box():
    # a thin diagonal body: its box is the whole scan
    shape = (64, 64, 32)
    cells = np.zeros((16, 16, 8), bool)
    for n in range(16):
        cells[n, max(0, n - 1) : n + 2] = True
    mask = BodyMask(cells, shape)
    scan = Scan(shape, np.eye(4), np.array([[0, 0, 0], shape]), {}, mask=mask)
    grids = RandomCrop((16, 16, 16), body_share=0.3).draw(scan, 60, generator(0), {})
    shares = [body_share(scan, grid.box.corners_mm()[0] + 0.5, np.full(3, 16.0)) for grid in grids]
    assert np.mean(np.array(shares) >= 0.3) > 0.9
    free = RandomCrop((16, 16, 16), body_share=0.0).draw(scan, 60, generator(0), {})
    assert np.mean([body_share(scan, g.box.corners_mm()[0] + 0.5, np.full(3, 16.0)) >= 0.3 for g in free]) < 0.6
