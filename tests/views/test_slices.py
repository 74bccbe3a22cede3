"""Slices of a volume as views."""

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import RecipeError
from medssl.views.crops.slices import Slices
from medssl.views.grid import apply
from tests.views.crop_scans import scan_of


@pytest.mark.parametrize(("across", "order"), [("i", (1, 2, 0)), ("j", (0, 2, 1)), ("k", (0, 1, 2))])
def test_a_slice_lies_on_stored_voxels_across_its_axis(across, order):
    scan = scan_of((20, 18, 16))
    for grid in Slices((10, 8), across).draw(scan, 20, generator(0), {}):
        assert grid.shape == (10, 8, 1)
        inner = np.linalg.inv(scan.affine) @ grid.affine
        np.testing.assert_allclose(inner[:3, 3], np.rint(inner[:3, 3]), atol=1e-9)
        assert [int(np.argmax(np.abs(inner[:3, view]))) for view in range(3)] == list(order)
        last = apply(inner, np.array([[9.0, 7.0, 0.0]]))[0]
        assert (last <= np.array(scan.shape) - 1 + 1e-9).all()


def test_zoom_stretches_the_plane_and_not_the_depth():
    scan = scan_of((64, 64, 16))
    (grid,) = Slices((16, 16), "k", scale=(2.0, 2.0)).draw(scan, 1, generator(0), {})
    np.testing.assert_allclose(np.linalg.norm(grid.affine[:3, :3], axis=0), [2.0, 2.0, 2.5])


def test_any_axis_comes_in_turn_and_auto_takes_the_thick_one():
    scan = scan_of((20, 20, 20))
    assert {
        int(np.argmax(np.abs((np.linalg.inv(scan.affine) @ grid.affine)[:3, 2])))
        for grid in Slices((8, 8), "any").draw(scan, 40, generator(0), {})
    } == {0, 1, 2}
    (grid,) = Slices((8, 8)).draw(scan, 1, generator(0), {})
    assert np.linalg.norm(grid.affine[:3, 2]) == pytest.approx(2.5)


def test_refusals():
    with pytest.raises(RecipeError, match="two whole numbers"):
        Slices((8, 0))
    with pytest.raises(RecipeError, match="across"):
        Slices((8, 8), "z")  # type: ignore[arg-type]
