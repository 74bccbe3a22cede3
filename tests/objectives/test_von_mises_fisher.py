"""DCLW: its weights and the loss of the paper as a loop."""

import math

import pytest
import torch
from torch.nn import functional

from medssl.objectives.contrastive import contrast
from medssl.objectives.von_mises_fisher import von_mises_fisher


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mean_one_and_bounds():
    for scale in (0.1, 1.0, 30.0):
        weight = von_mises_fisher(scale * draw(9))
        assert float(weight.mean()) == pytest.approx(1, abs=1e-12)
        assert weight.max() <= 2
        assert weight.min() >= 2 - 9
    assert float(von_mises_fisher(torch.tensor([0.0, 90.0])).min()) == pytest.approx(0.0)


def test_equals_its_definition():
    s = draw(5).tanh()
    total = sum(math.exp(float(v) / 0.3) for v in s)
    expected = [2 - 5 * math.exp(float(v) / 0.3) / total for v in s]
    torch.testing.assert_close(von_mises_fisher(s, 0.3), torch.tensor(expected, dtype=torch.float64))


def test_dclw_equals_the_papers_loop():
    n, tau = 4, 0.1
    one, two = functional.normalize(draw(2, n, 8, seed=4), dim=2)
    pair = (one * two).sum(1)
    weight = 2 - n * torch.softmax(pair / 0.5, 0)
    total = 0.0
    for a, b in ((one, two), (two, one)):
        for i in range(n):
            rest = [k for k in range(n) if k != i]
            away = sum(math.exp(float(a[i] @ a[k]) / tau) + math.exp(float(a[i] @ b[k]) / tau) for k in rest)
            total += -float(weight[i]) * float(a[i] @ b[i]) / tau + math.log(away)
    z = torch.cat([one, two])
    same = torch.arange(n).repeat(2)[:, None] == torch.arange(n).repeat(2)
    positive = same & ~torch.eye(2 * n, dtype=torch.bool)
    # both directions of a pair have one similarity, so normalizing over 2N rows gives the weights over N
    pull = von_mises_fisher(torch.cat([pair, pair]))
    found, _ = contrast(z @ z.T / tau, positive, ~same, coupled=False, pull=pull)
    assert float(found) == pytest.approx(total / (2 * n), rel=1e-12)


def test_no_gradient_and_float32():
    s = torch.tensor([0.1, 0.9], requires_grad=True)
    assert not von_mises_fisher(s).requires_grad
    assert von_mises_fisher(s.half()).dtype == torch.float32
    torch.testing.assert_close(von_mises_fisher(s.half()), von_mises_fisher(s.detach()), atol=1e-3, rtol=0)


def test_the_shape_is_checked():
    with pytest.raises(ValueError, match=r"positive must have shape \(N,\)"):
        von_mises_fisher(torch.zeros(2, 2))
