"""Masks over half of a batch's views, each stratum of the range once."""

import numpy as np
import pytest

from medssl.errors import RecipeError
from medssl.views.masks.masked_half import MaskedHalf
from medssl.views.masks.random_cells import RandomCells
from medssl.views.view import BatchMasks

CELLS = (10, 10, 10)


def counts(turn, slots, seed=0):
    policy = MaskedHalf((0.2, 0.75), 8, turn)
    return [int(policy.at(n, slots).draw(CELLS, np.random.default_rng(seed + n)).sum()) for n in range(slots)]


@pytest.mark.parametrize("seed", [0, 7])
def test_one_view_of_each_pair_is_masked_and_every_stratum_is_met_once(seed):
    view, partner = counts(0, 8, seed), counts(1, 8, seed)
    assert [n > 0 for n in view] == [True, False] * 4
    assert [n > 0 for n in partner] == [False, True] * 4
    for slot, hidden in enumerate(np.add(view, partner)):
        low, high = (200 + 550 * place / 8 for place in (slot, slot + 1))
        assert low - 1 <= hidden <= high


def test_cells_are_hidden_anywhere():
    policy = MaskedHalf((0.5, 0.5), 8).at(0, 1)
    share = np.mean([policy.draw((4, 4, 4), np.random.default_rng(n)) for n in range(400)], axis=0)
    assert share.min() > 0.4
    assert share.max() < 0.6


def test_a_view_by_itself_is_masked_half_of_the_times_over_the_whole_range():
    drawn = [int(MaskedHalf((0.2, 0.75), 8).draw(CELLS, np.random.default_rng(n)).sum()) for n in range(400)]
    masked = [n for n in drawn if n]
    assert 160 < len(masked) < 240
    assert 200 <= min(masked) < 230
    assert 720 < max(masked) <= 750


def test_as_many_numbers_are_drawn_for_whole_views():
    ends = []
    for slot in (0, 1):
        rng = np.random.default_rng(3)
        MaskedHalf().at(slot, 2).draw(CELLS, rng)
        ends.append(rng.random())
    assert ends[0] == ends[1]


def test_it_is_a_mask_policy_that_asks_for_its_place():
    assert isinstance(MaskedHalf(), BatchMasks)
    assert not isinstance(RandomCells(), BatchMasks)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ratio": (0.5, 0.2)}, r"ratio must be two rising shares, got \(0.5, 0.2\)"),
        ({"ratio": (0.5, 1.0)}, r"ratio must be in \[0, 1\), got 1.0"),
        ({"cell": 0}, "cell must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, reason):
    with pytest.raises(RecipeError, match=reason):
        MaskedHalf(**settings)
