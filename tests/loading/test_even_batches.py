"""Colouring edges: every colour meets every node at most once, and colours are even."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from medssl.loading.even_batches import even_batches, within_capacity


@pytest.mark.parametrize("seed", range(20))
def test_any_graph_is_parted_without_a_repetition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 200))
    left = rng.integers(0, rng.integers(1, 20), count).tolist()
    right = rng.integers(0, rng.integers(1, 20), count).tolist()
    steps = max(*Counter(left).values(), *Counter(right).values())
    size = count // steps
    batches = even_batches(left, right, steps, size)
    assert sorted(n for batch in batches for n in batch) == list(range(count))
    for batch in batches:
        assert len(batch) >= size
        assert len({left[n] for n in batch}) == len({right[n] for n in batch}) == len(batch)


def test_complete_graphs_are_parted_into_perfect_matchings() -> None:
    left, right = np.divmod(np.arange(49), 7)
    batches = even_batches(left.tolist(), right.tolist(), 7, 7)
    assert [len(batch) for batch in batches] == [7] * 7


@pytest.mark.parametrize("seed", range(10))
def test_capacities_are_kept_and_used(seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.geometric(0.3, 100).tolist(), rng.geometric(0.3, 100).tolist()
    kept = within_capacity(left, right, (9, 12))
    one, two = Counter(left[n] for n in kept), Counter(right[n] for n in kept)
    assert max(one.values()) <= 9
    assert max(two.values()) <= 12
    for n in set(range(100)) - set(kept):  # nothing more would fit
        assert one[left[n]] == 9 or two[right[n]] == 12
