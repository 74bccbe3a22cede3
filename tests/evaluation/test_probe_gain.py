"""The interval of what training added, against closed forms and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.evaluation.probe import Answers
from medssl.evaluation.probe_gain import gain


def answers(accuracy: float, seed: int, patients: int = 20) -> Answers:
    rng = np.random.default_rng(seed)
    truth = np.tile([1, 1, 2, 2, 2, 3], patients)
    right = rng.random(len(truth)) < accuracy
    predicted = np.where(right, truth, 1 + truth % 3)
    return Answers(predicted, truth, np.repeat(np.arange(patients), 6))


def test_the_point_is_the_mean_difference_of_balanced_accuracies() -> None:
    before, after = [answers(0.5, n) for n in range(3)], [answers(0.8, 10 + n) for n in range(3)]
    found = gain(after, before)
    assert found.before == pytest.approx(np.mean([one.balanced_accuracy for one in before]))
    assert found.after == pytest.approx(np.mean([one.balanced_accuracy for one in after]))
    assert found.difference == pytest.approx(found.after - found.before)
    assert 0 < found.low < found.difference < found.high


def test_nothing_added_has_no_interval_and_the_same_accuracy_has_one_about_zero() -> None:
    same = [answers(0.6, n) for n in range(3)]
    found = gain(same, same)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
    found = gain([answers(0.6, 20 + n) for n in range(3)], same)
    assert found.low < 0 < found.high


def test_it_is_a_bootstrap_over_seeds_and_patients() -> None:
    before, after = [answers(0.5, n, 8) for n in range(3)], [answers(0.7, 10 + n, 8) for n in range(3)]
    rng = np.random.default_rng(5)

    def accuracy(one: Answers, taken: np.ndarray) -> float:
        rows = np.concatenate([np.flatnonzero(one.patients == p) for p in taken])
        return Answers(one.predicted[rows], one.truth[rows], one.patients[rows]).balanced_accuracy

    found = []
    for _ in range(1500):
        runs, taken = rng.integers(3, size=3), rng.integers(8, size=8)
        found.append(np.mean([accuracy(after[n], taken) - accuracy(before[n], taken) for n in runs]))
    ends = gain(after, before, draws_count=4000)
    assert (ends.low, ends.high) == pytest.approx(np.percentile(found, [2.5, 97.5]), abs=0.02)


def test_seeds_that_disagree_widen_the_interval() -> None:
    before = [answers(0.5, 0)] * 3
    alike = gain([answers(0.8, 1)] * 3, before)
    apart = gain([answers(0.8, 1), answers(0.5, 2), answers(0.99, 3)], before)
    assert apart.high - apart.low > 1.3 * (alike.high - alike.low)


def test_wrong_lists() -> None:
    with pytest.raises(UsageError, match="one a seed, got 1 and 2"):
        gain([answers(0.5, 0)] * 2, [answers(0.5, 0)])
    with pytest.raises(UsageError, match="different rows"):
        gain([answers(0.5, 0)], [answers(0.5, 0, 19)])
