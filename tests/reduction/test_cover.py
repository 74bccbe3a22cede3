"""The cover's guarantees and the closed-form values of the specification."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.reduction.cover import cover_hashes, greedy_cover
from medssl.reduction.dhash import hamming

RNG = np.random.default_rng(0)


def drifting(count: int = 65) -> np.ndarray:
    """Hashes that change one bit from slice to slice."""
    return np.array([(1 << n) - 1 for n in range(count)], dtype=np.uint64)


def clusters(count: int) -> np.ndarray:
    centres = RNG.integers(0, 2**64, count // 5, dtype=np.uint64)
    hashes = np.repeat(centres, 5)
    for _ in range(4):
        hashes = hashes ^ (np.uint64(1) << RNG.integers(0, 64, hashes.size).astype(np.uint64))
    return RNG.permutation(hashes)


@pytest.mark.parametrize(("threshold", "kept"), [(0, 65), (6, 10), (12, 5), (64, 1)])
def test_a_drifting_chain_keeps_one_in_every_t_plus_one(threshold, kept):
    assert len(cover_hashes(drifting(), threshold).kept) == kept


@pytest.mark.parametrize("threshold", [0, 3, 6, 12])
@pytest.mark.parametrize("make", [drifting, lambda: clusters(200)])
def test_guarantees(make, threshold):
    hashes = make()
    for ordered in (hashes, hashes[::-1].copy()):
        cover = cover_hashes(ordered, threshold)
        kept = ordered[cover.kept]
        apart = hamming(kept[:, None], kept[None])
        assert (apart[~np.eye(len(kept), dtype=bool)] > threshold).all()
        far = hamming(ordered, ordered[cover.stands_for])
        assert np.array_equal(far, cover.distance)
        assert (far <= threshold).all()
        assert set(cover.stands_for) == set(cover.kept)
        assert np.array_equal(np.sort(np.concatenate([cover.kept, cover.removed])), np.arange(len(ordered)))
        again = cover_hashes(kept, threshold)
        assert np.array_equal(again.kept, np.arange(len(kept)))  # idempotent


def test_each_stands_for_what_it_deleted_first():
    # 0b11 is within 2 of both 0 and 0b1111; the first kept one deletes it
    cover = cover_hashes(np.array([0, 0b1111, 0b11], dtype=np.uint64), 2)
    assert cover.stands_for.tolist() == [0, 1, 0]


def test_more_is_left_out_with_a_larger_threshold():
    counts = [len(cover_hashes(drifting(), t).kept) for t in range(20)]
    assert counts == sorted(counts, reverse=True)
    assert counts == [-(-65 // (t + 1)) for t in range(20)]


def test_random_hashes_lose_nothing():
    hashes = RNG.integers(0, 2**64, 400, dtype=np.uint64)
    assert len(cover_hashes(hashes, 6).kept) == 400


def test_equal_hashes_collapse_and_nothing_is_nothing():
    cover = cover_hashes(np.zeros(5, dtype=np.uint64), 0)
    assert (cover.kept.tolist(), cover.removed.tolist()) == ([0], [1, 2, 3, 4])
    assert cover_hashes(np.zeros(0, dtype=np.uint64)).kept.tolist() == []


def test_a_negative_threshold_is_refused():
    with pytest.raises(UsageError, match="0 or more, got -1"):
        greedy_cover(3, lambda a, others: np.zeros(len(others)), -1)
