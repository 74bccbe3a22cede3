"""Percentile bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl import draws

Statistic = Callable[[NDArray[np.int64]], float]
"""From the rows that were drawn to a number; NaN where it has none."""


def bootstrap(
    patients: Sequence[Any], statistic: Statistic, *, draws_count: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The interval of a statistic when patients, with all their rows, are drawn with replacement.

    Args:
        patients: whose each row is.
        statistic: from row numbers to a number.
        draws_count: how many times patients are drawn.
        level: share of the draws inside the interval.
        seed: of the draws.

    Returns:
        Lower and upper end; NaN with fewer than two patients, since one patient tells nothing of others.

    Example:
        >>> low, high = bootstrap(["a", "b", "c"], lambda rows: float(np.mean(np.array([1.0, 2.0, 3.0])[rows])))
        >>> 1.0 <= low < 2.0 < high <= 3.0
        True
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < 2:
        return float("nan"), float("nan")
    rows_of = [np.flatnonzero(owner == n) for n in range(len(names))]
    found = np.empty(draws_count)
    for number in range(draws_count):
        rng = draws.generator(seed, draws.SAMPLE, number)
        taken = rng.integers(len(names), size=len(names))
        found[number] = statistic(np.concatenate([rows_of[n] for n in taken]))
    found = found[np.isfinite(found)]
    if found.size == 0:
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    return float(low), float(high)


def mean_of(values: Sequence[float]) -> Statistic:
    """The mean of the finite ones among the rows that were drawn."""
    numbers = np.asarray(values, dtype=np.float64)

    def statistic(rows: NDArray[np.int64]) -> float:
        chosen = numbers[rows]
        chosen = chosen[np.isfinite(chosen)]
        return float(chosen.mean()) if chosen.size else float("nan")

    return statistic
