"""BYOL's and SimSiam's alignment, and squared error of vectors."""

import math

import pytest
import torch

from medssl.objectives.alignment import cosine_loss, cosine_rows, squared_loss


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def test_equals_the_papers_loop():
    p, z = draw(6, 5), draw(6, 5, seed=1)
    byol = simsiam = 0.0
    for a, b in zip(p.tolist(), z.tolist(), strict=True):
        long = math.sqrt(sum(x * x for x in a)), math.sqrt(sum(x * x for x in b))
        byol += sum((x / long[0] - y / long[1]) ** 2 for x, y in zip(a, b, strict=True))
        simsiam -= sum(x * y for x, y in zip(a, b, strict=True)) / long[0] / long[1]
    assert float(cosine_loss(p, z)) == pytest.approx(byol / 6, rel=1e-12)
    assert float(cosine_loss(p, z, "simsiam")) == pytest.approx(simsiam / 6, rel=1e-12)
    assert float(5 * squared_loss(p, z, normalized=True)) == pytest.approx(byol / 6, rel=1e-12)
    assert float(squared_loss(p, z)) == pytest.approx(float((p - z).square().mean()), rel=1e-12)


def test_the_two_kinds_differ_by_scale_and_offset():
    p, z = draw(6, 5), draw(6, 5, seed=1)
    torch.testing.assert_close(cosine_loss(p, z), 2 + 2 * cosine_loss(p, z, "simsiam"))


def test_length_does_not_matter_and_order_neither():
    p, z = draw(6, 5), draw(6, 5, seed=1)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(cosine_loss(7 * p, z / 9), cosine_loss(p, z))
    for loss in (cosine_loss, squared_loss):
        torch.testing.assert_close(loss(p[order], z[order]), loss(p, z))


def test_no_gradient_into_the_target():
    for loss in (cosine_loss, squared_loss, lambda p, z: cosine_rows(p, z).sum()):
        p, z = draw(3, 4).requires_grad_(), draw(3, 4, seed=1).requires_grad_()
        loss(p, z).backward()
        assert p.grad.abs().sum() > 0
        assert z.grad is None


def test_zero_vectors_stay_finite():
    p = torch.zeros(2, 4, requires_grad=True)
    loss = cosine_loss(p, torch.ones(2, 4))
    loss.backward()
    assert float(loss.detach()) == 2
    assert p.grad.isfinite().all()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted(kind):
    p, z = 300 * draw(4, 64, kind=torch.float32), 300 * draw(4, 64, seed=1, kind=torch.float32)
    for loss in (cosine_loss, squared_loss):
        found = loss(p.to(kind), z.to(kind))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, loss(p, z), rtol=1e-2, atol=1e-2)


def test_inputs_are_checked():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(1, 3\)"):
        cosine_loss(torch.ones(2, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="kind must be byol or simsiam, got 'cos'"):
        cosine_loss(torch.ones(2, 3), torch.ones(2, 3), "cos")
