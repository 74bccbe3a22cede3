"""Greedy cover: keep the first that remains, leave out all it stands for, go on (arXiv 2410.14524)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medssl.errors import UsageError
from medssl.reduction.dhash import Hashes, hamming

Distances = Callable[[int, NDArray[np.int64]], NDArray[np.float64]]
"""``distances(item, others)``: how far each of the others ``(M,)`` is from the item."""


@dataclass(frozen=True, eq=False)
class Cover:
    """What a cover keeps and what stands for the rest.

    Args:
        kept: indices of the kept items, in the order given.
        stands_for: ``(N,)`` the kept item that stands for each item; a kept item stands for itself.
        distance: ``(N,)`` distance of each item to it.
    """

    kept: NDArray[np.int64]
    stands_for: NDArray[np.int64]
    distance: NDArray[np.float64]

    @property
    def removed(self) -> NDArray[np.int64]:
        """Indices of the items left out."""
        return np.flatnonzero(self.stands_for != np.arange(len(self.stands_for))).astype(np.int64)


def greedy_cover(count: int, distances: Distances, threshold: float) -> Cover:
    """Cover items by a few of them.

    Any two kept items are more than ``threshold`` apart; every item left out is within ``threshold`` of the kept
    item named for it. Which items are kept depends on the order, these two guarantees do not.

    Args:
        count: how many items there are.
        distances: distance from one item to others.
        threshold: an item at this distance or nearer is left out.

    Raises:
        UsageError: a negative threshold.

    Example:
        >>> cover = greedy_cover(4, lambda a, others: np.abs(others - a).astype(float), 1)
        >>> cover.kept.tolist(), cover.stands_for.tolist()
        ([0, 2], [0, 0, 2, 2])
    """
    if not threshold >= 0:
        raise UsageError(f"the threshold must be 0 or more, got {threshold}")
    remaining = np.arange(count, dtype=np.int64)
    stands_for = np.arange(count, dtype=np.int64)
    distance = np.zeros(count, dtype=np.float64)
    kept: list[int] = []
    while remaining.size:
        first, others = int(remaining[0]), remaining[1:]
        kept.append(first)
        far = np.asarray(distances(first, others), dtype=np.float64)
        near = far <= threshold
        stands_for[others[near]] = first
        distance[others[near]] = far[near]
        remaining = others[~near]
    return Cover(np.array(kept, dtype=np.int64), stands_for, distance)


def cover_hashes(hashes: Hashes, threshold: int = 6) -> Cover:
    """Greedy cover of 64-bit hashes by Hamming distance.

    Example:
        >>> cover_hashes(np.array([0b0, 0b1, 0b1111], dtype=np.uint64), threshold=2).kept.tolist()
        [0, 2]
    """
    return greedy_cover(len(hashes), lambda a, others: hamming(hashes[a], hashes[others]).astype(np.float64), threshold)
