"""DINO's centre and its targets."""

import pytest
import torch

from medssl.objectives.centring import centred, moved
from tests.objectives.processes import shares


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_targets_equal_their_definition():
    t, c = draw(4, 3), draw(3, seed=1)
    raw = ((t - c) / 0.07).exp()
    torch.testing.assert_close(centred(t, c, 0.07), raw / raw.sum(1, keepdim=True))
    torch.testing.assert_close(centred(t + 5, c + 5, 0.07), centred(t, c, 0.07))


def test_the_centre_moves_to_the_mean():
    t = draw(4, 3)
    torch.testing.assert_close(moved(torch.ones(3).double(), t), 0.9 + 0.1 * t.mean(0))
    centre = torch.zeros(3).double()
    for _ in range(300):
        centre = moved(centre, t)
    torch.testing.assert_close(centre, t.mean(0))


def test_nothing_has_a_gradient():
    t, c = draw(4, 3).requires_grad_(), draw(3).requires_grad_()
    assert not centred(t, c, 0.1).requires_grad
    assert not moved(c, t).requires_grad


@pytest.mark.parametrize("cuts", [[3, 5], [8, 0], [1, 2, 5]])
def test_any_number_of_processes_gives_the_same(cuts):
    t, c = draw(8, 4), draw(4, seed=1)
    for found in shares(lambda part, gather: moved(c, part, gather=gather), list(t.split(cuts))):
        torch.testing.assert_close(found, moved(c, t))


def test_nothing_seen_leaves_the_centre():
    c = draw(4)
    assert torch.equal(moved(c, torch.zeros(0, 4)), c)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted(kind):
    t = (60000 if kind == torch.float16 else 1e30) * torch.ones(4, 2, dtype=kind)  # the sum overflows half precision
    assert moved(torch.zeros(2), t).isfinite().all()
    assert centred(t, torch.zeros(2), 1e-4).tolist() == [[0.5, 0.5]] * 4
    assert centred(t, torch.zeros(2), 0.1).dtype == torch.float32


def test_the_centre_is_checked():
    with pytest.raises(ValueError, match=r"centre must have shape \(3,\), got \(1, 3\)"):
        centred(torch.zeros(2, 3), torch.zeros(1, 3), 0.1)
