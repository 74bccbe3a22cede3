"""Sinkhorn: marginals, the released algorithm as a loop, constants, processes."""

import pytest
import torch

from medssl.objectives.sinkhorn import sinkhorn
from tests.objectives.processes import shares


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def loop(scores, epsilon, iterations):
    """SwAV's, on exponentials."""
    n, k = scores.shape
    q = (scores / epsilon).exp().T
    q = q / q.sum()
    for _ in range(iterations):
        for row in range(k):
            q[row] /= q[row].sum() * k
        for column in range(n):
            q[:, column] /= q[:, column].sum() * n
    return (q * n).T


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_equals_the_released_algorithm(iterations):
    scores = draw(6, 4).tanh()
    torch.testing.assert_close(sinkhorn(scores, 0.05, iterations), loop(scores, 0.05, iterations))


def test_marginals():
    found = sinkhorn(draw(32, 8).tanh(), 0.5, 50)
    torch.testing.assert_close(found.sum(1), torch.ones(32).double())
    torch.testing.assert_close(found.sum(0), torch.full((8,), 4.0).double())
    rough = sinkhorn(draw(32, 8).tanh(), 0.05, 3)
    torch.testing.assert_close(rough.sum(1), torch.ones(32).double())


def test_constant_scores_are_even():
    torch.testing.assert_close(sinkhorn(torch.full((5, 7), 3.0)), torch.full((5, 7), 1 / 7))


def test_permutations_go_through():
    scores, rows, columns = draw(6, 4), torch.tensor([3, 1, 5, 0, 4, 2]), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(sinkhorn(scores[rows][:, columns]), sinkhorn(scores)[rows][:, columns])
    torch.testing.assert_close(sinkhorn(scores + 7), sinkhorn(scores))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_and_a_tiny_epsilon_stay_finite(kind):
    found = sinkhorn(draw(16, 8, kind=torch.float32).tanh().to(kind), 1e-4)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(1), torch.ones(16))


def test_a_column_that_nobody_can_have_stays_empty():
    scores = draw(4, 3)
    scores[:, 1] = -torch.inf
    found = sinkhorn(scores)
    assert found.isfinite().all()
    assert found[:, 1].sum() == 0
    torch.testing.assert_close(found[:, [0, 2]], sinkhorn(scores[:, [0, 2]]))


def test_no_gradient():
    assert not sinkhorn(draw(3, 2).requires_grad_()).requires_grad


@pytest.mark.parametrize("cuts", [[3, 5], [8, 0], [1, 2, 5]])
def test_any_number_of_processes_gives_the_same(cuts):
    scores = draw(8, 4)
    found = shares(lambda part, gather: sinkhorn(part, gather=gather), list(scores.split(cuts)))
    torch.testing.assert_close(torch.cat(found), sinkhorn(scores))


def test_inputs_are_checked():
    for arguments in ((torch.zeros(3), 0.1, 3), (torch.zeros(2, 2), 0.0, 3), (torch.zeros(2, 2), 0.1, 0)):
        with pytest.raises(ValueError, match="epsilon above 0 and iterations 1 or more, got"):
            sinkhorn(*arguments)
