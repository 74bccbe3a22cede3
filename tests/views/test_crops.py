from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import RecipeError
from medssl.store.kept import Kept
from medssl.views.crops.base_grid import BaseGrid, Twin, Within
from medssl.views.crops.label_weighted import LabelWeighted
from medssl.views.crops.random_crop import Centre, RandomCrop
from medssl.views.grid import Grid, apply, overlap_share
from medssl.views.view import Scan
from tests.store.making import OBLIQUE

SHAPE = (40, 30, 20)


def _scan(
    shape: tuple[int, int, int] = SHAPE, body: object = None, points: object = None, kept: Kept | None = None
) -> Scan:
    box = np.array(body if body is not None else [[0, 0, 0], shape])
    return Scan(shape, OBLIQUE, box, {}, points or {}, kept=kept)  # type: ignore[arg-type]


def _edges(scan: Scan, grid: Grid) -> np.ndarray:
    """Outer edges of a crop in stored voxels, from the scan's outer edge."""
    return apply(np.linalg.inv(scan.affine), grid.box.corners_mm()) + 0.5


def _draw(policy: object, scan: Scan, count: int, seed: int = 0, drawn: object = None) -> list[Grid]:
    grids: list[Grid] = policy.draw(scan, count, np.random.default_rng(seed), drawn or {})  # type: ignore[attr-defined]
    assert len(grids) == count
    return grids


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 1.2)])
def test_random_crops_lie_in_the_scan_and_reach_its_ends(scale: tuple[float, float]) -> None:
    scan = _scan()
    edges = np.stack([_edges(scan, grid) for grid in _draw(RandomCrop((16, 12, 8), scale), scan, 400)])
    assert edges.min() >= -1e-9
    assert (edges[:, 1] <= np.array(SHAPE) + 1e-9).all()
    assert (edges[:, 0].min(axis=0) < 0.5).all()
    assert (edges[:, 1].max(axis=0) > np.array(SHAPE) - 0.5).all()


def test_random_crops_without_zoom_begin_on_voxels() -> None:
    scan = _scan()
    starts = np.stack([_edges(scan, grid)[0] for grid in _draw(RandomCrop((16, 12, 8)), scan, 50)])
    np.testing.assert_allclose(starts, np.rint(starts), atol=1e-9)
    assert len({tuple(np.rint(start)) for start in starts}) > 40


def test_a_crop_larger_than_the_scan_holds_all_of_it() -> None:
    scan = _scan((10, 9, 8))
    low, high = _edges(scan, _draw(RandomCrop((15, 15, 15)), scan, 1)[0])
    assert (low <= 1e-9).all()
    assert (high >= np.array([10, 9, 8]) - 1e-9).all()
    np.testing.assert_allclose(low, [-3, -3, -4], atol=1e-9)


def test_enough_of_the_body_is_in_the_crop() -> None:
    scan = _scan(body=[[30, 20, 10], [38, 28, 18]])
    for grid in _draw(RandomCrop((10, 10, 10), body_share=0.3), scan, 50):
        low, high = _edges(scan, grid)
        shared = np.prod(np.clip(np.minimum(high, [38, 28, 18]) - np.maximum(low, [30, 20, 10]), 0, None))
        assert shared >= 0.3 * 8**3 - 1e-6


def test_a_share_that_cannot_be_had_ends_all_the_same() -> None:
    scan = _scan(body=[[0, 0, 0], [1, 1, 1]])
    assert len(_draw(RandomCrop((39, 29, 19), body_share=1.0), scan, 5)) == 5


def test_an_all_background_scan_can_be_cropped() -> None:
    assert len(_draw(RandomCrop((8, 8, 8)), _scan(body=[[0, 0, 0], SHAPE]), 5)) == 5


@pytest.mark.parametrize(
    "policy", [RandomCrop((8, 8, 4), body_share=0.0), LabelWeighted((8, 8, 4)), RandomCrop((8, 8, 1))]
)
def test_crops_are_centred_on_kept_slices_alone(policy: RandomCrop | LabelWeighted) -> None:
    kept = [5, 6, 14]
    scan = _scan(points={1: np.array([[3, 3, 5], [3, 3, 9]])}, kept=Kept(2, tuple(kept)))
    middles = set()
    for grid in _draw(policy, scan, 200):
        middle = np.array([[grid.shape[axis] // 2 for axis in range(3)]])
        middles.add(round(float(apply(np.linalg.inv(scan.affine), grid.to_mm(middle))[0, 2])))
    assert middles == set(kept)


def test_a_kept_slice_at_the_end_stays_in_the_crop_that_is_moved_inside() -> None:
    scan = _scan(kept=Kept(2, (19,)))
    low, high = _edges(scan, _draw(RandomCrop((8, 8, 8), body_share=0.0), scan, 1)[0])
    assert (low[2], high[2]) == pytest.approx((12.0, 20.0))


def test_base_cells_are_adjacent_in_row_major_order() -> None:
    scan = _scan()
    cells = _draw(BaseGrid((3, 2, 1), (8, 9, 20)), scan, 6, seed=3)
    origin = _edges(scan, cells[0])[0]
    for number, grid in enumerate(cells):
        i, j, k = np.unravel_index(number, (3, 2, 1))
        low, high = _edges(scan, grid) - origin
        np.testing.assert_allclose(low, [8 * i, 9 * j, 20 * k], atol=1e-9)
        np.testing.assert_allclose(high - low, [8, 9, 20], atol=1e-9)
        assert grid.shape == (8, 9, 20)


def test_base_cells_lie_in_a_scan_that_holds_them() -> None:
    scan = _scan()
    starts = set()
    for seed in range(50):
        cells = _draw(BaseGrid((3, 2, 1), (8, 9, 15)), scan, 6, seed)
        starts.add(tuple(np.rint(_edges(scan, cells[0])[0]).astype(int)))
        assert (_edges(scan, cells[0])[0] >= -1e-9).all()
        assert (_edges(scan, cells[-1])[1] <= np.array(SHAPE) + 1e-9).all()
    assert len(starts) > 30


def test_resized_base_cells_cover_the_whole_scan() -> None:
    scan = _scan()
    cells = _draw(BaseGrid((4, 4, 1), (16, 16, 16), fit="resize"), scan, 16)
    np.testing.assert_allclose(_edges(scan, cells[0])[0], 0.0, atol=1e-9)
    np.testing.assert_allclose(_edges(scan, cells[-1])[1], SHAPE, atol=1e-9)
    assert sum(overlap_share(cells[0].box, cell.box) for cell in cells) == pytest.approx(1.0)


@pytest.mark.parametrize("fit", ["crop", "resize"])
def test_overlaps_with_the_base_cells_sum_to_one(fit: str) -> None:
    scan = _scan()
    cells = _draw(BaseGrid((3, 3, 1), (8, 8, 16), fit=fit), scan, 9)  # type: ignore[arg-type]
    counts = set()
    for grid in _draw(Within("base", (8, 8, 16)), scan, 100, drawn={"base": cells}):
        shares = np.array([overlap_share(grid.box, cell.box) for cell in cells])
        assert shares.sum() == pytest.approx(1.0)
        counts.add(int((shares > 1e-9).sum()))
        np.testing.assert_allclose(
            np.linalg.norm(grid.affine[:3, :3], axis=0), np.linalg.norm(cells[0].affine[:3, :3], axis=0)
        )
    assert counts <= {1, 2, 4}
    assert 4 in counts


def test_a_crop_within_a_smaller_box_is_centred() -> None:
    scan = _scan()
    base = _draw(Centre((6, 6, 6)), scan, 1)
    grid = _draw(Within("base", (10, 10, 10)), scan, 1, drawn={"base": base})[0]
    np.testing.assert_allclose(_edges(scan, grid).mean(axis=0), _edges(scan, base[0]).mean(axis=0), atol=1e-9)


def test_twins_take_the_boxes_before_flips() -> None:
    scan = _scan()
    first = [grid.then(np.diag([-1.0, 1.0, 1.0, 1.0])) for grid in _draw(RandomCrop((8, 8, 8)), scan, 2)]
    twins = _draw(Twin("first"), scan, 3, drawn={"first": first})
    for number, twin in enumerate(twins):
        assert (twin.affine == first[number % 2].box.affine).all()
        assert overlap_share(twin.box, first[number % 2].box) == pytest.approx(1.0)


def test_a_role_that_is_not_there_is_named() -> None:
    with pytest.raises(RecipeError, match="'base' must be declared before"):
        _draw(Within("base", (8, 8, 8)), _scan(), 1)


def test_labelled_crops_are_centred_on_labels_each_class_as_often() -> None:
    points = {1: np.array([[20, 15, 10]] * 500), 2: np.array([[12, 9, 8]])}
    scan = _scan(points=points)
    middles = []
    for grid in _draw(LabelWeighted((8, 8, 8), share=0.8), scan, 1000):
        middles.append(
            tuple(np.rint(apply(np.linalg.inv(scan.affine), grid.to_mm(np.array([[4, 4, 4]])))[0]).astype(int))
        )
    assert middles.count((20, 15, 10)) == pytest.approx(400, abs=60)
    assert middles.count((12, 9, 8)) == pytest.approx(400, abs=60)


def test_a_label_at_the_edge_does_not_push_the_crop_out() -> None:
    scan = _scan(points={1: np.array([[0, 29, 19]])})
    low, high = _edges(scan, _draw(LabelWeighted((8, 8, 8), share=1.0), scan, 1)[0])
    np.testing.assert_allclose(low, [0, 22, 12], atol=1e-9)
    np.testing.assert_allclose(high, [8, 30, 20], atol=1e-9)


def test_the_centre_is_the_bodys() -> None:
    scan = _scan(body=[[10, 4, 4], [30, 24, 16]])
    one, two = _draw(Centre((8, 8, 8)), scan, 2)
    assert (one.affine == two.affine).all()
    np.testing.assert_allclose(_edges(scan, one), [[16, 10, 6], [24, 18, 14]], atol=1e-9)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: RandomCrop((0, 8, 8)), "three whole numbers above 0"),
        (lambda: RandomCrop((8, 8, 8), scale=(1.2, 0.8)), "two rising numbers"),
        (lambda: RandomCrop((8, 8, 8), body_share=1.5), "in \\[0, 1\\]"),
        (lambda: BaseGrid((3, 3, 1), (8, 8, 8), fit="pad"), "crop or resize"),  # type: ignore[arg-type]
        (lambda: _draw(BaseGrid((3, 3, 1), (8, 8, 8)), _scan(), 4), "has 9 views, got 4"),
        (lambda: LabelWeighted((8, 8, 8), share=-1.0), "in \\[0, 1\\]"),
    ],
)
def test_senseless_settings_are_refused(build: object, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        build()  # type: ignore[operator]
