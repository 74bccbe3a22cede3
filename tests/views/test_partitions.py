"""One crop for each part of the body."""

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import RecipeError
from medssl.views.crops.partitions import Partitions
from tests.views.crop_scans import edges, scan_of

RAS = np.diag([1.0, 1.0, 2.0, 1.0])
FLIPPED = np.diag([-1.0, 1.0, -2.0, 1.0])


@pytest.mark.parametrize("affine", [RAS, FLIPPED])
def test_the_middle_of_each_view_lies_in_its_part_from_feet_to_head(affine):
    scan = scan_of((40, 40, 120), affine, [[0, 0, 20], [40, 40, 100]])
    for seed in range(50):
        grids = Partitions((16, 16, 9), 4).draw(scan, 8, generator(seed), {})
        for number, grid in enumerate(grids):
            low, high = edges(scan, grid)
            part = (((low + high) / 2)[2] - 20) / 20
            part = part if affine[2, 2] > 0 else 4 - part
            # the crop begins on a whole voxel, half of one away at most
            assert number % 4 - 0.03 <= part <= number % 4 + 1.03
            assert np.abs(low - np.rint(low)).max() < 1e-9


def test_parts_from_right_to_left_begin_where_x_is_largest():
    scan = scan_of((40, 40, 40), RAS)
    first, last = Partitions((4, 4, 4), 2, "right-left").draw(scan, 2, generator(0), {})
    assert edges(scan, first)[0][0] > edges(scan, last)[0][0]


def test_views_of_the_outermost_parts_stay_in_the_scan():
    scan = scan_of((40, 40, 40), RAS)
    for grid in Partitions((16, 16, 30), 4).draw(scan, 40, generator(0), {}):
        low, high = edges(scan, grid)
        assert low.min() >= -1e-9
        assert high.max() <= 40 + 1e-9


def test_refusals():
    with pytest.raises(RecipeError, match="multiple of 4"):
        Partitions((8, 8, 8)).draw(scan_of((9, 9, 9)), 3, generator(0), {})
    with pytest.raises(RecipeError, match="along"):
        Partitions((8, 8, 8), along="z")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="parts"):
        Partitions((8, 8, 8), parts=0)
