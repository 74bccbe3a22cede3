"""Bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medssl.evaluation.interval import bootstrap, mean_of


def test_it_covers_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=200)
    low, high = bootstrap(list(range(200)), mean_of(values.tolist()))
    half = 1.96 * values.std() / math.sqrt(200)
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_rows_of_a_patient_go_together() -> None:
    values = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    by_row = bootstrap(range(6), mean_of(values))
    by_patient = bootstrap(["a"] * 3 + ["b"] * 3, mean_of(values))
    assert by_patient == (0.0, 1.0)
    assert by_row[1] - by_row[0] < 1.0


def test_the_seed_decides() -> None:
    values = mean_of([1.0, 2.0, 4.0, 8.0])
    assert bootstrap(range(4), values, seed=1) == bootstrap(range(4), values, seed=1)
    assert bootstrap(range(4), values, seed=1) != bootstrap(range(4), values, seed=2)


def test_numbers_that_are_missing_do_not_count() -> None:
    assert bootstrap(range(3), mean_of([2.0, float("nan"), 2.0])) == (2.0, 2.0)


def test_one_patient_has_no_interval() -> None:
    assert all(math.isnan(end) for end in bootstrap(["a", "a"], mean_of([1.0, 2.0])))
