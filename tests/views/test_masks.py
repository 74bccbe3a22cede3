from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medssl.errors import RecipeError
from medssl.recipe import load_class
from medssl.views.masks import MASKS
from medssl.views.masks.blocks import Blocks
from medssl.views.masks.columns import Columns, Tubes
from medssl.views.masks.complementary import Complementary
from medssl.views.masks.contract import Mask, hidden_count
from medssl.views.masks.random_cells import RandomCells


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


POLICIES = [
    RandomCells(0.6),
    Blocks(0.6),
    Blocks(0.3, edge=(1, 9)),
    Columns(0.75, axis=0),
    Columns(0.5, axis=2),
    Tubes(0.75, axis=1, length=3),
    Complementary(0.75),
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("cells", [(4, 4, 4), (6, 5, 3), (1, 7, 2)])
def test_every_policy_hides_the_same_count_in_every_draw(policy: Mask, cells: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    counts = {int(policy.draw(cells, rng).sum()) for _ in range(30)}
    counts |= set(policy.draws(cells, rng, 3).sum(axis=(1, 2, 3)).tolist())
    assert len(counts) == 1
    (count,) = counts
    assert 0 <= count < np.prod(cells)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_cell_is_hidden_about_as_often_as_the_ratio_says(policy: Mask) -> None:
    rng = np.random.default_rng(1)
    share = np.mean([policy.draw((4, 4, 4), rng) for _ in range(1500)], axis=0)
    ratio = policy.draw((4, 4, 4), rng).mean()
    # boxes reach the middle more often than the corners
    assert np.abs(share - ratio).max() < (0.35 if isinstance(policy, Blocks) else 0.06)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_columns_are_the_same_along_their_axis(axis: int) -> None:
    hidden = Columns(0.75, axis=axis).draw((4, 4, 4), np.random.default_rng(0))
    first = np.take(hidden, [0], axis=axis)
    assert (hidden == first).all()
    # Alice: ceil(0.75 · 16) of the 4 × 4 columns
    assert int(first.sum()) == 12


def test_tubes_are_drawn_anew_for_every_stretch() -> None:
    hidden = Tubes(0.5, axis=2, length=2).draw((6, 6, 5), np.random.default_rng(0))
    assert (hidden[..., 0] == hidden[..., 1]).all()
    assert (hidden[..., 2] == hidden[..., 3]).all()
    assert (hidden[..., 1] != hidden[..., 2]).any()
    assert hidden.sum(axis=(0, 1)).tolist() == [18] * 5


def test_a_tube_over_the_whole_axis_is_a_column() -> None:
    one = Tubes(0.75, axis=2, length=9, rounding="ceil").draw((4, 4, 4), np.random.default_rng(7))
    other = Columns(0.75, axis=2).draw((4, 4, 4), np.random.default_rng(7))
    assert (one == other).all()


@pytest.mark.parametrize(("ratio", "draws"), [(0.5, 2), (0.75, 4), (0.8, 5)])
def test_complementary_draws_show_every_cell_once(ratio: float, draws: int) -> None:
    hidden = Complementary(ratio).draws((5, 4, 4), np.random.default_rng(0), draws)
    assert ((~hidden).sum(axis=0) == 1).all()


def test_two_sparse_complementary_draws_hide_no_cell_together() -> None:
    first, second = Complementary(0.3).draws((5, 4, 4), np.random.default_rng(0), 2)
    assert not (first & second).any()


def test_blocks_are_larger_pieces_than_random_cells() -> None:
    def neighbours(policy: Mask) -> float:
        rng = np.random.default_rng(0)
        found = [policy.draw((8, 8, 8), rng) for _ in range(20)]
        return float(np.mean([(one[1:] == one[:-1]).mean() for one in found]))

    assert neighbours(Blocks(0.5)) > neighbours(RandomCells(0.5)) + 0.15


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Blocks(edge=(3, 2)), "edge"),
        (lambda: Columns(axis=3), "axis"),
        (lambda: Tubes(length=0), "length"),
        (lambda: Complementary(1.0), "ratio"),
        (lambda: Tubes(cell=0), "cell"),
    ],
)
def test_new_policies_refuse_settings_out_of_range(make: Callable[[], Mask], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        make()


def test_every_registered_policy_is_a_mask() -> None:
    for target in MASKS.values():
        assert issubclass(load_class(target), Mask)
