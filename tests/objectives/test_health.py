"""Measures of health: their ends, their definitions, what is left out."""

import math

import pytest
import torch

from medssl.objectives.health import (
    alignment,
    deviation,
    effective_rank,
    finite,
    mean_exponential,
    pair_health,
    uniformity,
)


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def test_effective_rank_of_known_spectra():
    assert effective_rank(torch.eye(7)) == pytest.approx(7, rel=1e-5)
    assert effective_rank(torch.ones(9, 4)) == pytest.approx(1, abs=1e-4)
    assert effective_rank(torch.zeros(3, 4)) == 0
    values = torch.tensor([3.0, 2.0, 1.0]).double()
    share = values / 6
    wanted = float((-(share * share.log()).sum()).exp())
    assert effective_rank(values.diag()) == pytest.approx(wanted, rel=1e-12)
    q, _ = torch.linalg.qr(draw(8, 3))
    assert effective_rank(5 * q @ values.diag()) == pytest.approx(wanted, rel=1e-9)


def test_centring_shows_a_collapse_beside_a_common_part():
    z = draw(64, 8) @ torch.diag(torch.tensor([1.0, *[0.0] * 7]).double()) + 100
    assert effective_rank(z) < 2
    assert effective_rank(z, centred=True) == pytest.approx(1, abs=1e-6)
    spread = draw(64, 8) + 1000
    assert effective_rank(spread) < 2
    assert effective_rank(spread, centred=True) > 7


def test_deviation_of_even_and_collapsed_vectors():
    torch.testing.assert_close(deviation(draw(4096, 16)), torch.ones(16).double(), atol=0.1, rtol=0)
    assert deviation(torch.ones(5, 3)).abs().max() < 1e-6


def test_alignment_equals_its_definition():
    one, two = draw(4, 3), draw(4, 3, seed=1)
    apart = [(a / a.norm() - b / b.norm()).norm() for a, b in zip(one, two, strict=True)]
    for power in (1.0, 2.0):
        wanted = sum(float(d) ** power for d in apart) / 4
        assert alignment(one, two, power) == pytest.approx(wanted, rel=1e-9)
    assert alignment(one, 3 * one) == pytest.approx(0, abs=1e-12)


def test_uniformity_equals_its_definition():
    z = draw(5, 3)
    unit = z / z.norm(dim=1, keepdim=True)
    pairs = [math.exp(-2 * float((unit[i] - unit[j]).square().sum())) for i in range(5) for j in range(i)]
    assert uniformity(z) == pytest.approx(math.log(sum(pairs) / 10), rel=1e-9)
    assert uniformity(z[torch.tensor([3, 1, 4, 0, 2])]) == pytest.approx(uniformity(z), rel=1e-9)
    assert uniformity(torch.ones(4, 3)) == pytest.approx(0, abs=1e-6)
    assert math.isnan(uniformity(z[:1]))
    # distances of evenly spread vectors of many dimensions are √2
    assert uniformity(draw(64, 4096)) == pytest.approx(-4, abs=0.05)


def test_kinds_of_pairs():
    s = torch.tensor([[1.0, 0.9, -1.0], [0.0, 1.0000005, 0.2]])
    kinds = {
        "positive": torch.tensor([[True, False, False], [False, True, False]]),
        "other": torch.tensor([[False, False, True], [True, False, True]]),
        "none": torch.zeros(2, 3, dtype=torch.bool),
    }
    found = pair_health(s, kinds, bins=10)
    assert found["positive"].histogram.tolist() == [0] * 9 + [2]
    assert found["other"].histogram.tolist() == [1, 0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert found["other"].mean == pytest.approx(-0.8 / 3)
    assert found["other"].variance == pytest.approx(float(torch.tensor([-1.0, 0.0, 0.2]).var(correction=0)))
    assert found["none"].count == 0
    assert math.isnan(found["none"].mean)


def test_mean_exponential():
    s, chosen = draw(3, 4).tanh(), draw(3, 4, seed=1) > 0
    wanted = float((s[chosen] / 0.2).exp().mean().log())
    assert mean_exponential(s, chosen, 0.2) == pytest.approx(wanted, rel=1e-9)
    assert math.isfinite(mean_exponential(s, chosen, 1e-4))
    assert mean_exponential(s, torch.zeros(3, 4, dtype=torch.bool), 0.2) == -math.inf


def test_rows_that_are_not_numbers_are_taken_out_and_counted():
    z = draw(5, 3)
    z[1, 0], z[4, 2] = math.nan, math.inf
    rows, lost = finite(z)
    assert lost == 2
    torch.testing.assert_close(rows, z[torch.tensor([0, 2, 3])])
    assert math.isfinite(effective_rank(rows))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted(kind):
    z = draw(32, 8).to(kind)
    assert effective_rank(z) == pytest.approx(effective_rank(z.double()), rel=1e-5)
    assert uniformity(z) == pytest.approx(uniformity(z.double()), rel=1e-5)
    assert alignment(z[:16], z[16:]) == pytest.approx(alignment(z[:16].double(), z[16:].double()), rel=1e-5)
    assert deviation(z).dtype == torch.float32


def test_no_gradient_and_shapes_are_checked():
    assert not deviation(draw(4, 3).requires_grad_()).requires_grad
    with pytest.raises(ValueError, match=r"positives must have one shape, got \(2, 3\) and \(1, 3\)"):
        alignment(torch.ones(2, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="pairs of kind 'x' must have the shape of the similarities"):
        pair_health(torch.ones(2, 2), {"x": torch.ones(1, 2, dtype=torch.bool)})
