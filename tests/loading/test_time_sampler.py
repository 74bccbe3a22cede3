"""Pairs of time points: whose they are, and how often near and far ones come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from medssl import draws
from medssl.errors import InputError, UsageError
from medssl.loading.time_sampler import TimePairSampler


@dataclass(frozen=True)
class Ids:
    """Patients and times of some scans."""

    rows: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def ids(self, position: int) -> Mapping[str, int]:
        """Patient and time."""
        return {"patient": self.rows[position][0], "time": self.rows[position][1]}

    def modality(self, position: int) -> str:
        """Unknown."""
        return ""

    def targets(self, position: int) -> Mapping[str, float]:
        """None."""
        return {}


def pairs(sampler: TimePairSampler, steps: int, size: int) -> list[tuple[int, ...]]:
    return [pair for step in range(steps) for pair in sampler.draw(step, size, draws.generator(0, draws.SAMPLE, step))]


def test_a_pair_is_of_one_patient() -> None:
    rows = ((0, 0), (0, 10), (1, 5), (1, 7), (1, 30), (2, 1), (-1, 3), (3, -1), (3, -1))
    found = pairs(TimePairSampler(Ids(rows)), 40, 4)
    assert {rows[one][0] for one, _ in found} == {-1, 0, 1, 2, 3}
    for one, other in found:
        assert one == other or (rows[one][0] == rows[other][0] and min(rows[one] + rows[other]) >= 0)
    assert any(one != other for one, other in found)


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_gaps_follow_the_law(power: float) -> None:
    points = 11
    sampler = TimePairSampler(Ids(tuple((0, 10 * n) for n in range(points))), power=power)
    found = pairs(sampler, 4000, 1)
    gaps = Counter(abs(one - other) for one, other in found)

    def below(x: float) -> float:
        """The law's share of gaps below x in [0, 1]."""
        x = min(max(x, 0.0), 1.0)
        return ((power + 1) * x - x ** (power + 1)) / power

    for gap in range(points):
        expected = below((gap + 0.5) / 10) - below((gap - 0.5) / 10)
        assert gaps[gap] / 4000 == pytest.approx(expected, abs=4 * (expected / 4000) ** 0.5 + 1e-3)
    assert 0.4 < sum(one > other for one, other in found) / sum(one != other for one, other in found) < 0.6


def test_a_reach_bounds_the_gap() -> None:
    sampler = TimePairSampler(Ids(tuple((0, 10 * n) for n in range(11))), reach=25)
    found = {abs(one - other) for one, other in pairs(sampler, 500, 1)}
    assert found == {0, 1, 2}


def test_a_reach_beyond_the_last_visit_changes_nothing() -> None:
    rows = Ids(tuple((0, 10 * n) for n in range(5)))
    assert pairs(TimePairSampler(rows, reach=1e6), 50, 1) == pairs(TimePairSampler(rows), 50, 1)


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    rows = Ids(tuple((n // 3, n % 3) for n in range(30)))
    one, two = TimePairSampler(rows, 5), TimePairSampler(rows, 5)
    pairs(two, 10, 4)
    rng = draws.generator(5, draws.SAMPLE, 7)
    assert one.draw(7, 4, rng) == two.draw(7, 4, draws.generator(5, draws.SAMPLE, 7))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="power and reach must be above 0"):
        TimePairSampler(Ids(((0, 0),)), power=0.0)
    with pytest.raises(UsageError, match="power and reach must be above 0"):
        TimePairSampler(Ids(((0, 0),)), reach=0.0)
    with pytest.raises(InputError, match="no scan to draw from"):
        TimePairSampler(Ids(()))
