from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from medssl.errors import RecipeError
from medssl.views.elastic import Elastic
from medssl.views.grid import Grid, apply
from medssl.views.spatial import apply_spatial, draw_spatial, rotation_matrix
from medssl.views.view import Spatial
from tests.store.making import OBLIQUE

EVERYTHING = Spatial((0.5, 0.5, 0.5), 30.0, (0.7, 1.4), (1.1, 1.1, 1.5), 0.2, 0.5, Elastic(p=0.5))
MIDDLE = np.array([[3.5, 3.5, 3.5]])


def test_nothing_is_drawn_from_nothing() -> None:
    assert draw_spatial(Spatial(), np.random.default_rng(0)) == {}
    grid = Grid.of((8, 8, 8), OBLIQUE)
    assert (apply_spatial(grid, {}).affine == grid.affine).all()


def test_draws_are_plain_data_that_replay() -> None:
    grid = Grid.of((8, 8, 8), OBLIQUE)
    for seed in range(20):
        params = draw_spatial(EVERYTHING, np.random.default_rng(seed))
        again = json.loads(json.dumps(params))
        one, two = apply_spatial(grid, params), apply_spatial(grid, again)
        assert (one.affine == two.affine).all()
        assert (one.warp is None) == ("elastic" not in params)
        assert one.warp is None or two.warp is None or (one.warp.points == two.warp.points).all()


def test_the_same_count_of_numbers_is_drawn_whatever_comes_out() -> None:
    places = set()
    for spatial in (Spatial(), EVERYTHING, Spatial(flip=(1.0, 1.0, 1.0))):
        rng = np.random.default_rng(3)
        draw_spatial(spatial, rng)
        places.add(int(rng.integers(2**60)))
    assert len(places) == 1


def test_chances_are_kept() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_spatial(Spatial(flip=(0.2, 0.0, 1.0), quarter_turns=0.3), rng) for _ in range(2000)]
    flips = np.mean([params["flip"] for params in drawn], axis=0)
    assert flips[0] == pytest.approx(0.2, abs=0.03)
    assert flips[1:].tolist() == [0.0, 1.0]
    assert np.mean(["turns" in params for params in drawn]) == pytest.approx(0.3, abs=0.03)
    assert {params["turns"] for params in drawn if "turns" in params} == {1, 2, 3}


def test_scales_lie_in_their_range_on_both_sides_of_one() -> None:
    rng = np.random.default_rng(0)
    scales = np.array([draw_spatial(Spatial(scale=(0.5, 2.0)), rng)["scale"] for _ in range(2000)])
    assert 0.5 <= scales.min() < 0.52
    assert 1.95 < scales.max() <= 2.0
    assert (scales < 1).mean() == pytest.approx(0.5, abs=0.05)


def test_the_centre_and_the_box_stay() -> None:
    grid = Grid.of((8, 8, 8), OBLIQUE)
    for seed in range(10):
        turned = apply_spatial(grid, draw_spatial(replace(EVERYTHING, elastic=None), np.random.default_rng(seed)))
        np.testing.assert_allclose(turned.to_mm(MIDDLE), grid.to_mm(MIDDLE), atol=1e-9)
        assert turned.box is grid.box


def test_a_rotation_keeps_lengths_in_millimetres() -> None:
    # anisotropic voxels: a rotation of indices would stretch the body
    grid = Grid.of((8, 8, 8), np.diag([0.5, 1.0, 5.0, 1.0]))
    turned = apply_spatial(grid, {"rotate_deg": [20.0, -35.0, 50.0]})
    linear = turned.affine[:3, :3]
    np.testing.assert_allclose(np.linalg.norm(linear, axis=0), [0.5, 1.0, 5.0], atol=1e-12)
    np.testing.assert_allclose(linear @ np.diag([2.0, 1.0, 0.2]), rotation_matrix([20.0, -35.0, 50.0]), atol=1e-12)


@pytest.mark.parametrize(("axis", "start", "end"), [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_rotations_are_right_handed(axis: int, start: int, end: int) -> None:
    angles = [0.0, 0.0, 0.0]
    angles[axis] = 90.0
    np.testing.assert_allclose(rotation_matrix(angles) @ np.eye(3)[start], np.eye(3)[end], atol=1e-12)


def test_a_scale_below_one_zooms_in() -> None:
    grid = Grid.of((8, 8, 8), np.eye(4))
    assert apply_spatial(grid, {"scale": 0.5}).affine[0, 0] == 0.5


def test_four_quarter_turns_are_none() -> None:
    grid = Grid.of((8, 8, 5), OBLIQUE)
    turned = grid
    for _ in range(4):
        turned = apply_spatial(turned, {"turns": 1})
    np.testing.assert_allclose(turned.affine, grid.affine, atol=1e-12)


def test_a_quarter_turn_needs_a_square() -> None:
    with pytest.raises(RecipeError, match="as long along i as along j"):
        apply_spatial(Grid.of((8, 6, 8), np.eye(4)), {"turns": 1})


def test_rotations_have_a_range_for_each_axis() -> None:
    rng = np.random.default_rng(0)
    angles = np.array([draw_spatial(Spatial(rotate_deg=(0.0, 5.0, 40.0)), rng)["rotate_deg"] for _ in range(500)])
    assert np.abs(angles[:, 0]).max() == 0.0
    assert 4.5 < np.abs(angles[:, 1]).max() <= 5.0
    assert 39.0 < np.abs(angles[:, 2]).max() <= 40.0


def test_stretch_is_each_axis_by_itself() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw_spatial(Spatial(stretch=(1.0, 1.2, 2.0)), rng)["stretch"] for _ in range(1000)])
    assert (drawn[:, 0] == 1.0).all()
    assert drawn[:, 1].min() == pytest.approx(1 / 1.2, abs=0.01)
    assert drawn[:, 2].max() == pytest.approx(2.0, abs=0.02)
    assert np.median(drawn[:, 2]) == pytest.approx(1.0, abs=0.1)
    assert abs(np.corrcoef(np.log(drawn[:, 1]), np.log(drawn[:, 2]))[0, 1]) < 0.1
    grid = apply_spatial(Grid.of((8, 8, 8), np.diag([1.0, 1.0, 5.0, 1.0])), {"stretch": [1.0, 1.0, 1.3], "scale": 2.0})
    np.testing.assert_allclose(np.diag(grid.affine)[:3], [2.0, 2.0, 13.0])


def test_a_shear_is_of_the_body_and_keeps_volumes() -> None:
    grid = Grid.of((8, 8, 8), np.diag([0.5, 1.0, 5.0, 1.0]))
    sheared = apply_spatial(grid, {"shear": [0.1, 0.2, -0.3]})
    np.testing.assert_allclose(
        sheared.affine[:3, :3] @ np.diag([2.0, 1.0, 0.2]), [[1, 0.1, 0.2], [0, 1, -0.3], [0, 0, 1]], atol=1e-12
    )
    assert np.linalg.det(sheared.affine) == pytest.approx(np.linalg.det(grid.affine))


@pytest.mark.parametrize("world", [0, 1, 2])
def test_a_flip_is_of_the_world_axis_whichever_way_voxels_run(world: int) -> None:
    # voxels run head to foot, left to right, back to front; a little oblique
    affine = np.eye(4)
    affine[:3, :3] = rotation_matrix([3.0, -4.0, 5.0]) @ np.array([[0, 1.0, 0], [0, 0, 1.5], [-2.0, 0, 0]])
    grid = Grid.of((8, 8, 8), affine)
    flip = [int(axis == world) for axis in range(3)]
    for turns in (0, 1):
        plain = apply_spatial(grid, {"turns": turns})
        flipped = apply_spatial(grid, {"flip": flip, "turns": turns})
        back = rotation_matrix([3.0, -4.0, 5.0]).T
        ends = [apply(np.eye(4), one.to_mm(np.array([[0.0, 0, 0], [7, 7, 7]]))) for one in (plain, flipped)]
        before, after = (back @ (end[1] - end[0]) for end in ends)
        np.testing.assert_allclose(after, before * np.where(flip, -1, 1), atol=1e-9)
