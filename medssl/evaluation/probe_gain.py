"""What training added to a probe, with its interval: a bootstrap over seeds and test patients at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl import draws
from medssl.errors import UsageError
from medssl.evaluation.probe import Answers

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """The difference of two probes.

    Args:
        before: mean balanced accuracy over seeds of the encoder with random weights.
        after: of the trained one.
        difference: ``after − before``.
        low: lower end of the interval of the difference.
        high: its upper end.
    """

    before: float
    after: float
    difference: float
    low: float
    high: float


def gain(
    after: Sequence[Answers],
    before: Sequence[Answers],
    *,
    draws_count: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Gain:
    """The paired difference of balanced accuracies, mean over seeds, and its percentile interval.

    Each draw takes as many seeds as there are, and as many test patients as there are, with replacement and
    independently of each other; a patient comes with all its rows, in both members of every drawn pair. The
    statistic of a draw is the mean over its seeds of the difference of the two balanced accuracies over its
    patients. Classes that none of the drawn patients has are left out of that draw's mean.

    Args:
        after: answers of the trained encoder, one for each seed.
        before: of the encoder with random weights, at the same seeds and about the same rows.
        draws_count: how often seeds and patients are drawn.
        level: share of the draws inside the interval.
        seed: of the draws.

    Raises:
        UsageError: the two lists differ in length, are empty, or were asked about different rows.
    """
    if not after or len(after) != len(before):
        raise UsageError(f"expected as many answers before as after, one a seed, got {len(before)} and {len(after)}")
    if any(not _same_rows(after[0], other) for other in (*after, *before)):
        raise UsageError("the probes were asked about different rows")
    names, owner = np.unique(after[0].patients, return_inverse=True)
    values, kind = np.unique(after[0].truth, return_inverse=True)
    shape = (len(names), len(values))
    counts = _summed(np.ones(len(owner)), owner, kind, shape)
    right = np.stack(
        [
            [_summed(one.predicted == one.truth, owner, kind, shape) for one in pair]
            for pair in zip(before, after, strict=True)
        ]
    )
    point = _balanced(right, counts, np.ones(len(names)))
    found = np.empty(draws_count)
    for number in range(draws_count):
        rng = draws.generator(seed, draws.SAMPLE, number)
        runs = rng.integers(len(after), size=len(after))
        weight = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)).astype(np.float64)
        one = _balanced(right[runs], counts, weight)
        found[number] = (one[:, 1] - one[:, 0]).mean()
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(found, [tail, 100 - tail])
    start, end = (float(number) for number in point.mean(0))
    return Gain(start, end, end - start, float(low), float(high))


def _same_rows(one: Answers, other: Answers) -> bool:
    return np.array_equal(one.truth, other.truth) and np.array_equal(one.patients, other.patients)


def _summed(what: NDArray[Any], owner: NDArray[Any], kind: NDArray[Any], shape: tuple[int, int]) -> Counts:
    """Sums by patient and class."""
    out = np.zeros(shape)
    np.add.at(out, (owner, kind), what)
    return out


def _balanced(right: Counts, counts: Counts, weight: Counts) -> Counts:
    """Balanced accuracy ``(seeds, 2)`` of weighted patients, from right answers ``(seeds, 2, patients, classes)``."""
    there = weight @ counts
    share = np.einsum("p,sapc->sac", weight, right)[..., there > 0] / there[there > 0]
    out: Counts = share.mean(-1)
    return out
