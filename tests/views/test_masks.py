from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import RecipeError
from medssl.views.masks import RandomCells, hidden_count


@pytest.mark.parametrize(("cells", "kept"), [(49, 20), (64, 26), (125, 50)])
def test_keep_counts_of_spark(cells: int, kept: int) -> None:
    assert cells - hidden_count(cells, 0.6) == kept


@pytest.mark.parametrize(
    ("cells", "ratio", "rounding", "hidden"),
    [
        (16, 0.75, "ceil", 12),
        (10, 0.55, "floor", 5),
        (10, 0.55, "ceil", 6),
        (100, 0.55, "ceil", 55),
        (100, 0.29, "floor", 29),
        (4, 0.99, "ceil", 3),
        (1, 0.9, "ceil", 0),
        (64, 0.0, "round", 0),
    ],
)
def test_rounding(cells: int, ratio: float, rounding: str, hidden: int) -> None:
    assert hidden_count(cells, ratio, rounding) == hidden  # type: ignore[arg-type]


def test_every_draw_hides_the_same_count_and_every_cell_in_turn() -> None:
    policy = RandomCells(0.6)
    rng = np.random.default_rng(0)
    draws = np.stack([policy.draw((3, 4, 5), rng) for _ in range(2000)])
    assert set(draws.sum(axis=(1, 2, 3)).tolist()) == {36}
    assert np.abs(draws.mean(axis=0) - 0.6).max() < 0.06
    assert draws.dtype == np.bool_


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"ratio": 1.0}, r"\[0, 1\)"),
        ({"ratio": -0.1}, r"\[0, 1\)"),
        ({"cell": 0}, "at least 1"),
        ({"rounding": "up"}, "round, floor or ceil"),
    ],
)
def test_senseless_settings_are_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        RandomCells(**given)  # type: ignore[arg-type]
