"""The objective over a bank: equal to the one over a matrix, in values, gradients and log, however it is sliced."""

import math

import pytest
import torch
from torch.nn import functional

from medssl.objectives.contrast_bank import Own, contrast_bank
from medssl.objectives.contrastive import contrast

FORMS = [("inside", "own"), ("outside", "own"), ("outside", "all")]


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def setting(kind=torch.float64):
    """Five rows, seven columns in the bank, two of each row's own; some rows lack something."""
    query, bank, own = draw(5, 4, kind=kind), draw(7, 4, seed=1, kind=kind), draw(5, 2, seed=2, kind=kind)
    plus, minus = draw(5, 9, seed=7, kind=kind).relu(), draw(5, 9, seed=4, kind=kind).relu()
    plus[1] = 0
    minus[3] = 0
    return [t.requires_grad_() for t in (query, bank, own)], plus, minus


def both(leaves, plus, minus, entries, **options):
    """Loss, gradients and log over the matrix, and over the bank."""
    query, bank, own = leaves
    out = []
    for whole in (True, False):
        if whole:
            similarity = torch.cat([query @ bank.T, own], dim=1) / 0.3
            loss, log = contrast(similarity, plus, minus, **options)
        else:
            loss, log = contrast_bank(
                query,
                bank,
                temperature=0.3,
                pairs=lambda rows: (plus[rows, :7], minus[rows, :7]),
                own=Own(own, plus[:, 7:], minus[:, 7:]),
                entries=entries,
                **options,
            )
        out.append([loss.detach(), *torch.autograd.grad(2.5 * loss, leaves), *vars(log).values()])
    return out


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize(("form", "others"), FORMS)
@pytest.mark.parametrize("entries", [1, 15, 1000])
def test_equals_the_objective_over_a_matrix(coupled, form, others, entries):
    weights = {"pull": draw(5, seed=5), "row_weight": draw(5, seed=6).abs()}
    for given in ({}, weights):
        whole, sliced = both(*setting(), entries, coupled=coupled, form=form, others=others, **given)
        torch.testing.assert_close(sliced, whole)
        assert [int(n) for n in sliced[4:7]] == [3, 1, 1]


def test_bool_weights_equal_weights_of_one():
    leaves, plus, minus = setting()
    plus, minus = plus > 0, minus > 0
    torch.testing.assert_close(both(leaves, plus, minus, 14)[1], both(leaves, plus.double(), minus.double(), 14)[0])


def test_info_nce_with_key_and_queue():
    q, k = functional.normalize(draw(2, 6, 8), dim=2)
    queue = functional.normalize(draw(20, 8, seed=1), dim=1)
    q.requires_grad_()
    one, zero = torch.ones(6, 1, dtype=torch.bool), torch.zeros(6, 1, dtype=torch.bool)
    found, log = contrast_bank(q, queue, temperature=0.2, own=Own((q * k).sum(1, keepdim=True), one, zero), entries=50)
    (of_found,) = torch.autograd.grad(found, q)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1) / 0.2
    direct = functional.cross_entropy(logits, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(found, direct)
    torch.testing.assert_close(of_found, torch.autograd.grad(direct, q)[0])
    torch.testing.assert_close(log.negative, (q @ queue.T / 0.2).mean().detach())


def test_equal_vectors_and_a_bank_of_65536():
    q, one = torch.ones(2, 1), torch.ones(2, 1)
    loss, _ = contrast_bank(q, torch.ones(65536, 1), temperature=0.07, own=Own(one, one, 0 * one))
    assert float(loss) == pytest.approx(11.0904, abs=1e-4)


def test_an_empty_bank():
    q, one = draw(3, 4), torch.ones(3, 1)
    loss, log = contrast_bank(q, draw(0, 4), temperature=0.1, own=Own(one, one, 0 * one))
    assert float(loss) == 0
    assert int(log.without_negative) == 3
    loss, log = contrast_bank(q[:0], draw(5, 4), temperature=0.1)
    assert float(loss) == 0
    assert int(log.rows) == 0


def test_only_what_needs_a_gradient_gets_one():
    q, bank = draw(3, 4).requires_grad_(), draw(6, 4, seed=1).requires_grad_()
    pairs = torch.eye(3, 6), 1 - torch.eye(3, 6)
    weights = lambda rows: (pairs[0][rows], pairs[1][rows])  # noqa: E731
    loss, _ = contrast_bank(q, bank.detach(), temperature=0.1, pairs=weights)
    loss.backward()
    assert q.grad is not None
    assert bank.grad is None
    recorded = []

    def watched(rows):
        recorded.append(torch.is_grad_enabled())
        return weights(rows)

    with torch.no_grad():
        assert not contrast_bank(q, bank, temperature=0.1, pairs=watched)[0].requires_grad
    assert recorded == [False]
    loss, _ = contrast_bank(q.detach(), bank, temperature=0.1, pairs=weights)
    loss.backward()
    assert bank.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted_also_under_autocast(kind):
    leaves, plus, minus = setting(kind)
    query, bank, own = leaves
    for form, others in FORMS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, _ = contrast_bank(
                query,
                bank,
                temperature=1e-3,
                pairs=lambda rows: (plus[rows, :7], minus[rows, :7]),
                own=Own(own, plus[:, 7:], minus[:, 7:]),
                form=form,
                others=others,
            )
        assert loss.dtype == torch.float32
        exact = torch.cat([query.double() @ bank.double().T, own.double()], dim=1) / 1e-3
        wanted, _ = contrast(exact, plus, minus, form=form, others=others)
        assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)


def test_order_of_rows_and_bank_does_not_matter():
    leaves, plus, minus = setting()
    rows, columns = torch.tensor([4, 2, 0, 3, 1]), torch.tensor([6, 0, 5, 1, 4, 2, 3])
    moved = [leaves[0][rows], leaves[1][columns], leaves[2][rows]]
    everywhere = torch.cat([columns, torch.tensor([7, 8])])
    one = both(leaves, plus, minus, 14)[1][0]
    torch.testing.assert_close(both(moved, plus[rows][:, everywhere], minus[rows][:, everywhere], 14)[1][0], one)


def test_slices_are_never_larger_than_asked_for():
    seen = []

    def pairs(rows):
        seen.append(rows)
        return None, None

    q, one = draw(10, 2), torch.ones(10, 1)
    contrast_bank(q, draw(30, 2, seed=1), temperature=0.1, own=Own(one, one, 0 * one), pairs=pairs, entries=100)
    assert [rows.stop - rows.start for rows in seen] == [3, 3, 3, 1]


def test_a_dropped_row_of_rubbish_reaches_nothing():
    q, bank = draw(3, 4).requires_grad_(), draw(6, 4, seed=1)
    plus, minus = torch.eye(3, 6), 1 - torch.eye(3, 6)
    minus[2] = 0
    own = Own(torch.tensor([[0.0], [math.inf], [math.nan]]), torch.zeros(3, 1), torch.zeros(3, 1))
    loss, log = contrast_bank(q, bank, temperature=0.1, pairs=lambda rows: (plus[rows], minus[rows]), own=own)
    loss.backward()
    assert int(log.rows) == 2
    assert q.grad.isfinite().all()
    assert q.grad[2].abs().sum() == 0


def test_inputs_are_checked():
    q, bank = torch.zeros(2, 3), torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"query \(N, d\) and bank \(M, d\) must fit, got \(2, 3\) and \(4, 2\)"):
        contrast_bank(q, bank[:, :2], temperature=0.1)
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        contrast_bank(q, bank, temperature=0)
    with pytest.raises(ValueError, match=r"pairs must give W⁻ of shape \(2, 4\), got \(2, 3\)"):
        contrast_bank(q, bank, temperature=1, pairs=lambda rows: (None, torch.ones(2, 3)))
    with pytest.raises(ValueError, match=r"own columns must have one shape \(2, E\), got"):
        contrast_bank(q, bank, temperature=1, own=Own(torch.ones(2, 1), torch.ones(2, 1), torch.ones(2, 2)))
    with pytest.raises(ValueError, match="form must be inside or outside"):
        contrast_bank(q, bank, temperature=1, form="beside")
