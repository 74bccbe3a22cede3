from __future__ import annotations

import numpy as np
import pytest

from medssl.store.body import body_box


@pytest.mark.parametrize(("air", "tissue"), [(-1000.0, 40.0), (0.0, 1.2e6), (0.0, 1e-4)])
def test_the_box_holds_the_body_and_no_more(air: float, tissue: float) -> None:
    rng = np.random.default_rng(0)
    data = air + 0.02 * (tissue - air) * rng.standard_normal((1, 30, 24, 20))
    data[0, 5:20, 3:18, 6:14] += tissue - air
    assert body_box(data).tolist() == [[5, 3, 6], [20, 18, 14]]


@pytest.mark.parametrize("value", [0.0, -1000.0])
def test_an_empty_scan_is_all_body(value: float) -> None:
    assert body_box(np.full((1, 4, 5, 6), value)).tolist() == [[0, 0, 0], [4, 5, 6]]


def test_a_stray_voxel_is_no_body() -> None:
    data = np.zeros((1, 64, 64, 64))
    data[0, 20:40, 20:40, 20:40] = 100.0
    data[0, 2, 2, 2] = 100.0
    assert body_box(data).tolist() == [[20, 20, 20], [40, 40, 40]]


def test_one_slice() -> None:
    data = np.zeros((1, 8, 8, 1))
    data[0, 2:6, 3:7, 0] = 5.0
    assert body_box(data).tolist() == [[2, 3, 0], [6, 7, 1]]
