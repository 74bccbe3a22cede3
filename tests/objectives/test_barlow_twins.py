"""Barlow Twins: constants, the definition as a loop, invariances."""

import math

import pytest
import torch

from medssl.objectives.barlow_twins import barlow_twins, cross_correlation


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def test_uncorrelated_features_that_agree_cost_nothing():
    z = draw(9, 4)
    q, _ = torch.linalg.qr(z - z.mean(0))
    assert float(barlow_twins(5 * q + 2, 3 * q).total()) == pytest.approx(0, abs=1e-12)


def test_equal_features():
    d, weight = 6, 5e-3
    z = draw(9, 1).expand(9, d)
    assert float(barlow_twins(z, z).total(weight)) == pytest.approx(weight * d * (d - 1), rel=1e-9)


def test_equals_the_papers_loop():
    n, d, weight = 5, 3, 0.02
    one, two = draw(n, d).tolist(), draw(n, d, seed=1).tolist()
    mean = [[sum(row[a] for row in z) / n for a in range(d)] for z in (one, two)]
    total = 0.0
    for i in range(d):
        for j in range(d):
            a = [row[i] - mean[0][i] for row in one]
            b = [row[j] - mean[1][j] for row in two]
            c = sum(x * y for x, y in zip(a, b, strict=True))
            c /= math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
            total += (1 - c) ** 2 if i == j else weight * c * c
    assert float(barlow_twins(draw(n, d), draw(n, d, seed=1)).total(weight)) == pytest.approx(total, rel=1e-12)


def test_order_of_rows_shift_and_scale_do_not_matter():
    one, two = draw(6, 4), draw(6, 4, seed=1)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    total = barlow_twins(one, two).total()
    torch.testing.assert_close(barlow_twins(one[order], two[order]).total(), total)
    torch.testing.assert_close(barlow_twins(two, one).total(), total)
    torch.testing.assert_close(barlow_twins(1e-3 * one + 5, 100 * two).total(), total)


def test_gradient_reaches_both_views():
    one, two = draw(5, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: barlow_twins(a, b).total(0.1), (one, two))
    barlow_twins(one, two).total().backward()
    assert min(one.grad.abs().sum(), two.grad.abs().sum()) > 0


def test_a_constant_feature_agrees_with_nothing_and_stays_finite():
    z = draw(6, 3)
    z[:, 1] = 4.0
    z.requires_grad_()
    found = barlow_twins(z, z)
    found.total().backward()
    assert float(found.diagonal.detach()) == pytest.approx(1)
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted_also_under_autocast(kind):
    one, two = (100 * draw(8, 16, kind=torch.float32)).to(kind), draw(8, 16, seed=1, kind=torch.float32).to(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = barlow_twins(one, two).total()
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(barlow_twins(one.double(), two.double()).total()), rel=1e-5)
    assert cross_correlation(one, one).abs().max() <= 1 + 1e-5


def test_inputs_are_checked():
    with pytest.raises(ValueError, match=r"one shape \(N, d\), got \(2, 3\) and \(3, 3\)"):
        barlow_twins(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match="correlation needs 2 rows or more over all processes, got 1"):
        barlow_twins(torch.ones(1, 3), torch.ones(1, 3))
