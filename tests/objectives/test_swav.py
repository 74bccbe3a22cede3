"""SwAV: codes with and without a queue, and the swapped prediction of all crops as a loop."""

import math

import pytest
import torch

from medssl.objectives.across_views import across_views
from medssl.objectives.sinkhorn import sinkhorn
from medssl.objectives.swav import codes
from tests.objectives.processes import shares


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_codes_of_a_batch_are_sinkhorn_of_it():
    torch.testing.assert_close(codes(draw(6, 4)), sinkhorn(draw(6, 4)))


def test_the_queue_balances_and_is_cut_off():
    scores, queued = draw(3, 8), draw(40, 8, seed=1)
    found = codes(scores, queued)
    torch.testing.assert_close(found, sinkhorn(torch.cat([scores, queued]))[:3])
    torch.testing.assert_close(found.sum(1), torch.ones(3).double())
    torch.testing.assert_close(codes(scores, queued[torch.arange(39, -1, -1)]), found)


def test_swapped_prediction_of_multi_crop_equals_the_papers_loop():
    tau, crops = 0.1, [draw(5, 4, seed=s).tanh() for s in range(4)]
    full = [codes(crops[0]), codes(crops[1])]
    total = 0.0
    for s, q in enumerate(full):
        inner = 0.0
        for v in range(4):
            if v != s:
                for row in range(5):
                    bottom = math.log(sum(math.exp(float(x) / tau) for x in crops[v][row]))
                    inner -= sum(float(q[row, k]) * (float(crops[v][row, k]) / tau - bottom) for k in range(4)) / 5
        total += inner / 3
    assert float(across_views(crops, full, tau)) == pytest.approx(total / 2, rel=1e-12)


def test_no_gradient_through_codes():
    scores = draw(4, 3).requires_grad_()
    assert not codes(scores, draw(2, 3).requires_grad_()).requires_grad


def test_processes_with_queues_of_their_own():
    scores, queued = draw(6, 4), draw(10, 4, seed=1)
    parts = [torch.cat([scores[a], queued[b]]) for a, b in ((slice(0, 3), slice(0, 5)), (slice(3, 6), slice(5, 10)))]
    found = shares(lambda part, gather: codes(part[:3], part[3:], gather=gather), parts)
    torch.testing.assert_close(torch.cat(found), codes(scores, queued))


def test_processes_that_hold_the_same_queue_count_it_once():
    scores, queued = draw(6, 4), draw(10, 4, seed=1)
    parts = [scores[:4], scores[4:]]
    found = shares(lambda part, gather: codes(part, queued, gather=gather, shared=True), parts)
    torch.testing.assert_close(torch.cat(found), codes(scores, queued))
    torch.testing.assert_close(codes(scores, queued, shared=True), codes(scores, queued))
    wrong = shares(lambda part, gather: codes(part, queued, gather=gather), parts)
    assert not torch.allclose(torch.cat(wrong), codes(scores, queued), atol=1e-3)


def test_prototypes_of_the_queue_are_checked():
    with pytest.raises(ValueError, match=r"queued scores must have 3 prototypes, got \(2, 4\)"):
        codes(torch.zeros(2, 3), torch.zeros(2, 4))
