"""Chance that all processes share."""

import pytest
import torch

from medssl.pairing.chance import beta, common_generator, uniform
from tests.pairing.vectors import chance


def test_all_processes_draw_what_the_first_would_draw_alone():
    ranks = [chance(7), chance(8)]
    seeds = []
    for one in (chance(7), chance(8)):
        common_generator(one, lambda value: seeds.append(value) or value, torch.zeros(1))
    found = [common_generator(one, lambda value: torch.cat(seeds), torch.zeros(1)) for one in ranks]
    alone = common_generator(chance(7), lambda value: value, torch.zeros(1))
    drawn = [uniform((5,), one, torch.zeros(1)) for one in (*found, alone)]
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], uniform((5,), chance(7), torch.zeros(1)))


@pytest.mark.parametrize(("alpha", "variance"), [(2.0, 0.05), (1.6, 0.25 / 4.2)])
def test_beta_has_its_moments_and_its_seed(alpha, variance):
    drawn = beta((50_000,), alpha, chance(), torch.zeros(1))
    assert float(drawn.mean()) == pytest.approx(0.5, abs=4e-3)
    assert float(drawn.var()) == pytest.approx(variance, rel=0.02)
    assert torch.equal(drawn, beta((50_000,), alpha, chance(), torch.zeros(1)))
    generator = chance()
    assert not torch.equal(*(beta((3,), alpha, generator, torch.zeros(1)) for _ in range(2)))
