"""VICReg: constants, the definition as a loop, invariances."""

import pytest
import torch

from medssl.objectives.vicreg import covariance_error, variance_hinge, vicreg


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def whitened(n, d):
    """Columns of mean 0, unbiased variance 1 and no covariance."""
    q, _ = torch.linalg.qr(draw(n, d) - draw(n, d).mean(0))
    return q * (n - 1) ** 0.5


def test_a_collapsed_batch():
    same = torch.ones(6, 4) * 3
    found = vicreg(same, same)
    assert float(found.variance) == pytest.approx(0.99, abs=1e-6)
    assert float(vicreg(same, same, "paper").variance) == pytest.approx(1.98, abs=1e-6)
    assert float(found.invariance) == 0
    assert float(found.covariance) == 0
    assert float(found.total()) == pytest.approx(25 * 0.99, abs=1e-4)


def test_whitened_views_cost_nothing():
    z = whitened(9, 4)
    found = vicreg(z, z)
    assert float(found.total()) == pytest.approx(0, abs=1e-12)


def test_equal_features_with_variance_one():
    column = whitened(9, 1)
    d = 5
    assert float(covariance_error(column.expand(9, d))) == pytest.approx(d - 1)


def test_equals_the_papers_loop():
    n, d = 5, 3
    one, two = 0.4 * draw(n, d), 0.4 * draw(n, d, seed=1)
    hinge, off = 0.0, 0.0
    for z in (one, two):
        mean = [sum(float(z[i, a]) for i in range(n)) / n for a in range(d)]
        for a in range(d):
            for b in range(d):
                c = sum((float(z[i, a]) - mean[a]) * (float(z[i, b]) - mean[b]) for i in range(n)) / (n - 1)
                if a == b:
                    hinge += max(0.0, 1 - (c + 1e-4) ** 0.5) / d
                else:
                    off += c * c / d
    apart = sum((float(one[i, a]) - float(two[i, a])) ** 2 for i in range(n) for a in range(d)) / (n * d)
    found = vicreg(one, two, "paper")
    values = [float(x) for x in (found.invariance, found.variance, found.covariance)]
    assert values == pytest.approx([apart, hinge, off], rel=1e-12)
    assert float(found.total(1, 2, 3)) == pytest.approx(apart + 2 * hinge + 3 * off, rel=1e-12)
    assert float(vicreg(one, two).variance) == pytest.approx(hinge / 2, rel=1e-12)


def test_order_of_rows_and_views_does_not_matter():
    one, two = draw(6, 4), draw(6, 4, seed=1)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    total = vicreg(one, two).total()
    torch.testing.assert_close(vicreg(one[order], two[order]).total(), total)
    torch.testing.assert_close(vicreg(two, one).total(), total)


def test_gradient_reaches_both_views_and_stays_finite_when_collapsed():
    one, two = torch.ones(4, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    vicreg(one, two).total().backward()
    assert one.grad.isfinite().all()
    one, two = draw(6, 4).requires_grad_(), draw(6, 4, seed=1).requires_grad_()
    vicreg(one, two).total().backward()
    assert one.grad.abs().sum() > 0
    assert two.grad.abs().sum() > 0


def test_finite_differences():
    one = (0.3 * draw(5, 3)).requires_grad_()
    two = (0.3 * draw(5, 3, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: vicreg(a, b).total(), (one, two))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted_also_under_autocast(kind):
    one, two = draw(8, 16, kind=torch.float32).to(kind), draw(8, 16, seed=1, kind=torch.float32).to(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = vicreg(one, two).total()
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(vicreg(one.double(), two.double()).total()), rel=1e-5)


def test_variance_is_the_unbiased_one():
    z = torch.tensor([[0.0], [1.0]]).double()
    assert float(variance_hinge(z)) == pytest.approx(1 - (0.5 + 1e-4) ** 0.5)


def test_inputs_are_checked():
    with pytest.raises(ValueError, match=r"one shape \(N, d\), got \(2, 3\) and \(3, 3\)"):
        vicreg(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match="variance needs 2 rows or more over all processes, got 1"):
        vicreg(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="variance must be released or paper, got 'v'"):
        vicreg(torch.ones(2, 3), torch.ones(2, 3), "v")
