"""AUC against counting pairs."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.evaluation.auc import auc


def test_it_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 30) / 6, rng.integers(0, 2, 30)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert auc(np.stack([1 - scores, scores], axis=1), labels) == pytest.approx(np.mean(pairs))


def test_several_classes_are_one_against_the_rest() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    assert auc(np.eye(4)[labels], labels) == 1.0
    assert auc(np.full((6, 3), 1 / 3), labels) == 0.5


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match=r"two classes, got only class \[1\]"):
        auc(np.array([0.1, 0.2]), np.array([1, 1]))
    with pytest.raises(InputError, match="a score for each"):
        auc(np.array([0.1]), np.array([1, 0]))
