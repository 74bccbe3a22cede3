from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from medssl.errors import RecipeError
from medssl.loading.collate import stack
from medssl.views.elastic import Elastic, draw_elastic, warp_of
from medssl.views.grid import Grid, about_centre
from medssl.views.spatial import apply_spatial
from medssl.views.view import View
from medssl.views.warp import LARGEST, Warp, lattice
from tests.store.making import OBLIQUE
from tests.views.reference import indices

SHAPE = (12, 10, 7)
SPACING = (4.0, 3.5, 2.0)


def _warp(seed: int = 0, size: float = 1.0) -> Warp:
    points = np.random.default_rng(seed).uniform(-size, size, (3, *lattice(SHAPE, SPACING)))
    return Warp(points, SPACING, SHAPE)


def test_equal_control_points_move_everything_alike() -> None:
    points = np.broadcast_to(np.array([1.0, -2.0, 3.0])[:, None, None, None], (3, *lattice(SHAPE, SPACING)))
    field = Warp(points, SPACING, SHAPE).field()
    assert field.shape == (3, *SHAPE)
    np.testing.assert_allclose(field, np.broadcast_to([[[[1.0]]], [[[-2.0]]], [[[3.0]]]], field.shape), atol=1e-12)


def test_control_points_on_a_line_give_the_line() -> None:
    # cubic B-splines reproduce linear functions: control points on a slope of 0.5 mm a voxel
    counts = lattice(SHAPE, SPACING)
    place = (np.arange(counts[0]) - (counts[0] - 1) / 2) * SPACING[0]
    points = np.zeros((3, *counts))
    points[0] = 0.5 * place[:, None, None]
    found = Warp(points, SPACING, SHAPE).at(np.array([[0.0, 0, 0], [5.5, 1, 1], [11.0, 9, 6], [2.3, 4, 4]]))
    np.testing.assert_allclose(found[:, 0], 0.5 * (np.array([0.0, 5.5, 11.0, 2.3]) - 5.5), atol=1e-12)


def test_one_control_point_is_the_product_of_three_splines() -> None:
    shape, spacing = (9, 9, 9), (4.0, 4.0, 4.0)
    points = np.zeros((3, *lattice(shape, spacing)))
    points[2, 2, 2, 2] = 1.0  # at the centre, voxel 4
    warp = Warp(points, spacing, shape)
    assert warp.at(np.array([[4.0, 4.0, 4.0]]))[0, 2] == pytest.approx((4 / 6) ** 3)
    assert warp.at(np.array([[8.0, 4.0, 4.0]]))[0, 2] == pytest.approx((1 / 6) * (4 / 6) ** 2)
    assert warp.at(np.array([[2.0, 4.0, 4.0]]))[0, 2] == pytest.approx((23 / 48) * (4 / 6) ** 2)


def test_the_field_is_the_spline_at_whole_voxels() -> None:
    warp = _warp()
    np.testing.assert_allclose(warp.field().reshape(3, -1).T, warp.at(indices(SHAPE)), atol=1e-12)


def test_a_deformed_grid_goes_there_and_back() -> None:
    for seed in range(5):
        plain = apply_spatial(Grid.of(SHAPE, OBLIQUE), {"rotate_deg": [10.0, 20.0, -30.0], "shear": [0.2, 0.0, 0.1]})
        size = float(np.linalg.norm(plain.affine[:3, 0]))
        grid = plain.warped(warp_of(plain, {"seed": seed, "amplitude_mm": 1.4 * size, "spacing_mm": 4.0 * size}))
        index = np.random.default_rng(seed).uniform(-2, np.array(SHAPE) + 1, (500, 3))
        assert np.abs(grid.to_mm(index) - plain.to_mm(index)).max() > 0.3 * size
        np.testing.assert_allclose(grid.from_mm(grid.to_mm(index)), index, atol=1e-3)
        assert grid.displacement is not None
        np.testing.assert_allclose(
            grid.to_mm(indices(SHAPE)), plain.to_mm(indices(SHAPE)) + grid.displacement.reshape(3, -1).T, atol=1e-5
        )


def test_the_strongest_deformation_still_has_an_inverse_and_no_folds() -> None:
    shape = (17, 17, 17)
    grid = Grid.of(shape, np.diag([1.0, 2.0, 0.5, 1.0]))
    rng = np.random.default_rng(0)
    for _ in range(3):
        points = rng.choice([-100.0, 100.0], (3, *lattice(shape, (4.0, 2.0, 8.0))))
        warp = Warp(points, (4.0, 2.0, 8.0), shape).bounded(grid.affine)
        # along each axis at most the share of the 4 mm between control points
        assert np.abs(warp.points).max() == pytest.approx(LARGEST * 4.0)
        bent = grid.warped(warp)
        mm = bent.to_mm(indices(shape)).reshape(*shape, 3)
        slopes = np.stack([np.diff(mm, axis=axis)[:16, :16, :16] for axis in range(3)], axis=-1)
        assert np.linalg.det(slopes).min() > 0
        np.testing.assert_allclose(bent.from_mm(mm.reshape(-1, 3)), indices(shape), atol=1e-3)


def test_a_deformation_that_folds_has_no_inverse() -> None:
    points = np.random.default_rng(0).uniform(-30, 30, (3, *lattice(SHAPE, SPACING)))
    with pytest.raises(ValueError, match="has no inverse"):
        Grid.of(SHAPE, np.eye(4)).warped(Warp(points, SPACING, SHAPE)).from_mm(np.zeros((50, 3)) + 4.0)


@pytest.mark.parametrize("turn", [np.diag([-1.0, 1, -1]), np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])])
def test_flips_and_quarter_turns_after_a_deformation(turn: np.ndarray) -> None:
    shape, spacing = (9, 9, 7), (4.0, 4.0, 2.0)
    points = np.random.default_rng(0).uniform(-1, 1, (3, *lattice(shape, spacing)))
    grid = Grid.of(shape, OBLIQUE).warped(Warp(points, spacing, shape))
    inner = about_centre(turn, shape)
    after = grid.then(inner)
    index = indices(shape)
    np.testing.assert_allclose(after.to_mm(index), grid.to_mm(index @ inner[:3, :3].T + inner[:3, 3]), atol=1e-9)


def test_nothing_else_may_follow_a_deformation() -> None:
    grid = Grid.of(SHAPE, OBLIQUE).warped(_warp())
    for inner in (np.diag([1.1, 1.0, 1.0, 1.0]), about_centre(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]), SHAPE)):
        with pytest.raises(ValueError, match="only flips and quarter turns"):
            grid.then(inner)


def test_a_deformation_is_plain_data() -> None:
    warp = _warp()
    again = Warp.from_plain(json.loads(json.dumps(warp.to_plain())), SHAPE)
    assert (again.points == warp.points).all()
    assert again.spacing == warp.spacing


def test_what_is_no_deformation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"control points must have shape \(3, 6, 6, 6\)"):
        Warp(np.zeros((3, 4, 4, 4)), SPACING, SHAPE)
    with pytest.raises(ValueError, match="must be finite"):
        Warp(np.full((3, 6, 6, 6), np.nan), SPACING, SHAPE)
    with pytest.raises(ValueError, match="spacing must be above 0"):
        lattice(SHAPE, (1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match=r"must be of shape \(4, 4, 4\)"):
        Grid.of((4, 4, 4), np.eye(4)).warped(_warp())


def test_draws_are_plain_and_take_the_same_numbers() -> None:
    ends = set()
    for elastic in (None, Elastic(p=0.0), Elastic(p=1.0), Elastic(p=1.0, amplitude_mm=(0.0, 0.0))):
        rng = np.random.default_rng(2)
        drawn = draw_elastic(elastic, rng)
        assert drawn == json.loads(json.dumps(drawn))
        ends.add(float(rng.random()))
    assert len(ends) == 1


def test_chance_and_amplitude_are_kept() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_elastic(Elastic(p=0.25, amplitude_mm=(2.0, 6.0)), rng) for _ in range(2000)]
    sizes = np.array([one["amplitude_mm"] for one in drawn if one])
    assert len(sizes) / 2000 == pytest.approx(0.25, abs=0.03)
    assert 2.0 <= sizes.min() < 2.1
    assert 5.9 < sizes.max() <= 6.0
    grid = Grid.of((40, 40, 10), np.diag([1.0, 1.0, 4.0, 1.0]))
    warp = warp_of(grid, {"seed": 1, "amplitude_mm": 5.0, "spacing_mm": 16.0})
    assert warp.spacing == (16.0, 16.0, 4.0)
    lengths = np.linalg.norm(warp.points, axis=0)
    assert lengths.max() == pytest.approx(5.0)
    assert warp.points.mean() == pytest.approx(0.0, abs=0.3)


def test_a_small_view_is_bent_and_not_pushed_out() -> None:
    drawn = {"seed": 1, "amplitude_mm": 8.0, "spacing_mm": 32.0}
    mouse = warp_of(Grid.of((64, 64, 64), np.diag([0.15, 0.15, 0.15, 1.0])), drawn)
    assert mouse.spacing == pytest.approx((64.0, 64.0, 64.0))
    assert np.linalg.norm(mouse.points, axis=0).max() == pytest.approx(8.0 * 9.6 / 32.0)
    man = warp_of(Grid.of((32, 8, 8), np.eye(4)), drawn)
    assert man.spacing == (32.0, 32.0, 32.0)


def test_settings_that_would_fold_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"at most 0.36 of spacing_mm, 5.76, got 8"):
        Elastic(spacing_mm=16.0)
    with pytest.raises(RecipeError, match="two rising numbers"):
        Elastic(amplitude_mm=(3.0, 2.0))
    with pytest.raises(RecipeError, match="p must be in"):
        Elastic(p=1.5)


def test_a_batch_tells_where_its_deformed_voxels_lie() -> None:
    shape = (6, 5, 4)
    plain = Grid.of(shape, OBLIQUE)
    bent = apply_spatial(plain, {"elastic": {"seed": 3, "amplitude_mm": 2.0, "spacing_mm": 8.0}})
    views = [
        View(torch.zeros(1, *shape), grid, torch.ones(1, *shape, dtype=torch.bool), {}, "a") for grid in (plain, bent)
    ]
    batch = stack(views, [0, 1])
    moved = batch.displacement
    assert moved is not None
    assert moved.shape == (2, 3, *shape)
    assert float(moved[0].abs().max()) == 0.0
    assert bent.displacement is not None
    assert (moved[1].numpy() == bent.displacement).all()
    assert stack(views[:1], [0]).displacement is None
