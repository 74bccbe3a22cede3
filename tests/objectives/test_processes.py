"""One process with all rows and several with a part each: the same loss, and the mean of the gradients the same."""

import pytest
import torch

from medssl.objectives.across_views import across_views
from medssl.objectives.alignment import cosine_loss
from medssl.objectives.barlow_twins import barlow_twins
from medssl.objectives.contrast_bank import Own, contrast_bank
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, unit
from medssl.objectives.entropy import unevenness
from medssl.objectives.koleo import koleo
from medssl.objectives.sinkhorn import sinkhorn
from medssl.objectives.sorting import groco
from medssl.objectives.vicreg import vicreg
from medssl.objectives.von_mises_fisher import von_mises_fisher
from tests.objectives.processes import shares

D = 6
PATIENT = torch.tensor([0, 1, 2, 2, 3, 4, 5, 1])


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pairs_of(rows):
    return PATIENT[:, None] == PATIENT[None, :], torch.eye(len(rows), dtype=torch.bool)


def nt_xent(rows, gather):
    one, two = gather(rows).split(D, dim=1)
    same, twin = pairs_of(one)
    return contrast(cosine(one, two) / 0.2, twin, ~same)[0]


def dclw(rows, gather):
    one, two = gather(rows).split(D, dim=1)
    same, twin = pairs_of(one)
    s = cosine(one, two)
    return contrast(s / 0.2, twin, ~same, coupled=False, pull=von_mises_fisher(s.diagonal()))[0]


def bank(rows, gather):
    one, two = (unit(part) for part in gather(rows).split(D, dim=1))
    same, twin = pairs_of(one)
    own = Own((one * draw(8, D)).sum(1, keepdim=True), torch.ones(8, 1), torch.zeros(8, 1))
    return contrast_bank(one, two, temperature=0.2, pairs=lambda r: (twin[r], ~same[r]), own=own, entries=17)[0]


def sorting(rows, gather):
    one, two = gather(rows).split(D, dim=1)
    same, _ = pairs_of(one)
    return groco(one, two[:, None], one, ~same, hardest=3)[0]


def swav(rows, gather):
    one, two = rows.split(D, dim=1)
    return across_views([one, two], [sinkhorn(view, gather=gather) for view in (one, two)], 0.1)


GATHERED = {
    "nt_xent": nt_xent,
    "dclw": dclw,
    "bank": bank,
    "groco": sorting,
    "vicreg": lambda rows, gather: vicreg(*gather(rows).split(D, dim=1)).total(),
    "barlow_twins": lambda rows, gather: barlow_twins(*gather(rows).split(D, dim=1)).total(),
    "unevenness": lambda rows, gather: unevenness(rows, 0.5, gather),
}
"""Every process has the whole loss."""
LOCAL = {
    "byol": lambda rows, gather: cosine_loss(*rows.split(D, dim=1)),
    "swav": swav,
    "koleo": lambda rows, gather: koleo(rows[:, :D], torch.arange(len(rows)) // 4).loss,
}
"""Every process has the part of its own rows, of which all have as many."""


def compared(method, cuts):
    """Losses and gradients of several processes, and of one; the mean over processes is what DDP takes."""
    rows = draw(8, 2 * D, seed=3).requires_grad_()
    whole = method(rows, lambda value: value)
    found = shares(method, list(rows.split(cuts)))
    (wanted,) = torch.autograd.grad(whole, rows, retain_graph=True)
    (grad,) = torch.autograd.grad(sum(found) / len(found), rows)
    return found, whole, grad, wanted


@pytest.mark.parametrize("name", GATHERED)
@pytest.mark.parametrize("cuts", [[4, 4], [1, 5, 2]])
def test_gathered_losses(name, cuts):
    found, whole, grad, wanted = compared(GATHERED[name], cuts)
    for loss in found:
        torch.testing.assert_close(loss, whole)
    torch.testing.assert_close(grad, wanted)
    assert wanted.abs().sum() > 0


@pytest.mark.parametrize("name", LOCAL)
def test_local_losses(name):
    found, whole, grad, wanted = compared(LOCAL[name], [4, 4])
    torch.testing.assert_close(sum(found) / 2, whole)
    torch.testing.assert_close(grad, wanted)
    assert wanted.abs().sum() > 0


def test_without_a_gather_the_losses_are_others():
    for name in ("vicreg", "barlow_twins", "unevenness"):
        alone = lambda rows, gather, n=name: GATHERED[n](rows, lambda value: value)  # noqa: E731
        found, whole, _, _ = compared(alone, [4, 4])
        assert not torch.allclose(sum(found) / 2, whole)
