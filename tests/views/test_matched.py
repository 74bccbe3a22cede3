"""Crops of one patient where those of another lie."""

import numpy as np
import pytest

from medssl.draws import generator
from medssl.errors import RecipeError, UsageError
from medssl.views.crops.matched import Matched
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.matching.affine import AffineMatcher
from medssl.views.matching.body_box import BodyBox
from medssl.views.matching.features import Described, FeatureMatcher
from medssl.views.view import Scan
from tests.views.crop_scans import edges, scan_of

BODY = [[4, 4, 4], [36, 36, 20]]


def _other():
    # twice the size, other way round along i, elsewhere in the scanner
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (100, -50, 7)
    return scan_of((80, 80, 60), affine, [[8, 8, 8], [72, 72, 40]])


def _source():
    return scan_of((40, 40, 24), np.eye(4), BODY)


def _middle(grid):
    return grid.box.corners_mm().mean(axis=0)


def test_the_same_share_of_the_body_box():
    source, target = _source(), _other()
    point = np.array([4 - 0.5 + 8, 4 - 0.5 + 16, 4 - 0.5 + 4.0])
    place = BodyBox().place(source, point, target)
    index = np.linalg.inv(target.affine) @ [*place, 1.0]
    # a quarter from the left is three quarters along an axis that grows to the left
    np.testing.assert_allclose(index[:3] + 0.5, [72 - 16, 8 + 32, 8 + 8], atol=1e-9)


def test_matched_crops_follow_the_earlier_ones():
    source, target = _source(), _other()
    target = Scan(target.shape, target.affine, target.body, target.ids, others={"view": source})
    rng = generator(0)
    for _ in range(30):
        first = RandomCrop((8, 8, 8)).draw(source, 2, rng, {})
        matched = Matched("view", (12, 12, 12)).draw(target, 2, rng, {"view": first})
        for one, other in zip(first, matched, strict=True):
            expected = BodyBox().place(source, _middle(one), target)
            low, high = edges(target, other)
            moved = (low < 1e-9) | (high > np.array(target.shape) - 1e-9)
            off = np.abs(np.linalg.inv(target.affine)[:3, :3] @ (_middle(other) - expected))
            # the middle voxel is a whole one
            assert (moved | (off <= 1.0 + 1e-9)).all()


def test_jitter_moves_by_millimetres_and_no_more():
    scan = scan_of((60, 60, 60), np.eye(4))
    rng = generator(1)
    first = RandomCrop((8, 8, 8)).draw(scan, 1, rng, {})
    first = [type(first[0]).of((8, 8, 8), np.array([[1, 0, 0, 26], [0, 1, 0, 26], [0, 0, 1, 26], [0, 0, 0, 1.0]]))]
    shifts = np.stack(
        [
            _middle(Matched("view", (8, 8, 8), jitter_mm=6.0).draw(scan, 1, rng, {"view": first})[0])
            - _middle(first[0])
            for _ in range(100)
        ]
    )
    assert 5.0 < np.abs(shifts).max() <= 7.0


def test_registration_goes_through_the_reference():
    shift = np.eye(4)
    shift[:3, 3] = (10.0, 0.0, 0.0)
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    a = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {"record": 5})
    b = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {"record": 6})
    matcher = AffineMatcher({5: shift, 6: turn})
    # a → reference: x + 10; reference → b: turned back
    np.testing.assert_allclose(matcher.place(a, np.array([1.0, 2.0, 3.0]), b), [-11.0, -2.0, 3.0])
    assert AffineMatcher({5: shift}).place(a, np.zeros(3), b) is None


def test_features_find_the_most_similar_point():
    a = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {"record": 0})
    b = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {"record": 1})
    vectors = np.eye(3, dtype=np.float32)
    here = Described(np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]]), vectors)
    there = Described(np.array([[7.0, 7, 7], [5, 5, 5], [1, 2, 3]]), 2 * vectors[[2, 0, 1]])
    matcher = FeatureMatcher({0: here, 1: there})
    np.testing.assert_allclose(matcher.place(a, np.array([4.5, 0, 0]), b), [1.5, 2, 3])
    assert matcher.place(a, np.array([100.0, 0, 0]), b) is None
    unlike = FeatureMatcher({0: here, 1: Described(there.points_mm[:1], vectors[2:3])})
    assert unlike.place(a, np.array([4.0, 0, 0]), b) is None
    assert matcher.place(a, np.zeros(3), Scan(b.shape, b.affine, b.body, {"record": 9})) is None


def test_a_place_that_nobody_knows_is_that_of_the_body_box():
    scan = scan_of((40, 40, 24), np.eye(4), BODY)
    first = RandomCrop((8, 8, 8)).draw(scan, 1, generator(0), {})
    (found,) = Matched("view", (8, 8, 8), FeatureMatcher({})).draw(scan, 1, generator(0), {"view": first})
    np.testing.assert_allclose(_middle(found), _middle(first[0]), atol=1.0)


def test_refusals():
    with pytest.raises(RecipeError, match="jitter_mm"):
        Matched("view", (8, 8, 8), jitter_mm=-1.0)
    with pytest.raises(UsageError, match=r"points \(n, 3\)"):
        Described(np.zeros((2, 3)), np.zeros((3, 4), dtype=np.float32))
