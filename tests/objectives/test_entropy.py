"""Mean-entropy maximization: its ends, its definition, processes."""

import math

import pytest
import torch

from medssl.objectives.entropy import unevenness
from tests.objectives.processes import shares


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_zero_only_when_even():
    assert float(unevenness(1000 * torch.eye(5), 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(unevenness(torch.zeros(3, 5), 0.1)) == pytest.approx(0, abs=1e-6)
    assert float(unevenness(draw(9, 5), 0.1)) > 0


def test_all_on_one_prototype():
    scores = torch.zeros(4, 8)
    scores[:, 2] = 1e4
    scores.requires_grad_()
    loss = unevenness(scores, 0.1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(8), rel=1e-6)
    assert scores.grad.isfinite().all()


def test_equals_its_definition():
    scores = draw(4, 3)
    mean = [sum(float(row[k]) for row in (scores / 0.5).softmax(1)) / 4 for k in range(3)]
    wanted = math.log(3) + sum(m * math.log(m) for m in mean)
    assert float(unevenness(scores, 0.5)) == pytest.approx(wanted, rel=1e-12)
    assert float(unevenness(scores[torch.tensor([2, 0, 3, 1])], 0.5)) == pytest.approx(wanted, rel=1e-12)


def test_finite_differences():
    assert torch.autograd.gradcheck(lambda s: unevenness(s, 0.5), draw(4, 3).requires_grad_())


@pytest.mark.parametrize("cuts", [[3, 5], [1, 2, 5]])
def test_any_number_of_processes_has_the_loss_and_gradient_of_one(cuts):
    scores = draw(8, 4).requires_grad_()
    (wanted,) = torch.autograd.grad(unevenness(scores, 0.5), scores)
    found = shares(lambda part, gather: unevenness(part, 0.5, gather), list(scores.split(cuts)))
    for loss in found:
        torch.testing.assert_close(loss, unevenness(scores, 0.5))
    # the real gather sums gradients over processes and DDP takes their mean
    (grad,) = torch.autograd.grad(sum(found) / len(found), scores)
    torch.testing.assert_close(grad, wanted)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted(kind):
    found = unevenness(draw(8, 16).to(kind), 1e-3)
    assert found.dtype == torch.float32
    assert found.isfinite()
