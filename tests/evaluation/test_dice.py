"""Dice against the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.evaluation.dice import dice_scores


def test_it_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(0, 4, (2, 5, 6, 7))
    scores = dice_scores(prediction, label, {0: "background", 1: "a", 2: "b", 3: "c"})
    assert list(scores) == ["a", "b", "c"]
    for value, name in ((1, "a"), (2, "b"), (3, "c")):
        p, y = prediction == value, label == value
        assert scores[name] == pytest.approx(2 * (p & y).sum() / (p.sum() + y.sum()), rel=1e-6)


def test_ends_and_absent_classes() -> None:
    label = np.array([[[1, 1, 0, 2]]])
    scores = dice_scores(np.array([[[1, 1, 0, 3]]]), label, {1: "same", 2: "missed", 3: "invented"})
    assert scores["same"] == 1.0
    assert scores["missed"] == 0.0
    assert math.isnan(scores["invented"])


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="label's shape"):
        dice_scores(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), {1: "a"})
