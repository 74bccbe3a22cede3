"""GroCo: the relaxed network, the constants, the loss as a loop."""

import math

import pytest
import torch
from torch.nn import functional

from medssl.objectives.sorting import groco, relaxed_sort, sorting_rows


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def network(values, steepness):
    """One row through the odd-even network, with lists."""
    n = len(values)
    values, share = list(values), [[float(i == r) for r in range(n)] for i in range(n)]
    for layer in range(n):
        for a in range(layer % 2, n - 1, 2):
            low, high = values[a], values[a + 1]
            keep = 0.5 + math.atan(steepness * (high - low)) / math.pi
            values[a], values[a + 1] = keep * low + (1 - keep) * high, (1 - keep) * low + keep * high
            for row in share:
                row[a], row[a + 1] = keep * row[a] + (1 - keep) * row[a + 1], (1 - keep) * row[a] + keep * row[a + 1]
    return values, share


def loop(positive, negative, steepness):
    _, share = network([*sorted(negative), *sorted(positive)], steepness)
    total = 0.0
    for index, row in enumerate(share):
        top = sum(row[len(negative) :])
        total -= math.log(top) if index >= len(negative) else math.log(1 - top)
    return total / len(share)


@pytest.mark.parametrize("length", [1, 2, 5, 8])
@pytest.mark.parametrize("steepness", [0.5, 10.0])
def test_the_network_equals_its_definition_and_is_doubly_stochastic(length, steepness):
    x = draw(3, length)
    values, share = relaxed_sort(x, steepness)
    for row in range(3):
        wanted = network(x[row].tolist(), steepness)
        torch.testing.assert_close(values[row], torch.tensor(wanted[0]).double())
        torch.testing.assert_close(share[row], torch.tensor(wanted[1]).double())
    torch.testing.assert_close(share.sum(1), torch.ones(3, length).double())
    torch.testing.assert_close(share.sum(2), torch.ones(3, length).double())
    torch.testing.assert_close((x[:, :, None] * share).sum(1), values)


def test_the_steep_limit_is_the_sort():
    x = draw(6, 9)
    values, share = relaxed_sort(x, 1e12)
    torch.testing.assert_close(values, x.sort(dim=1).values, atol=1e-8, rtol=0)
    torch.testing.assert_close(share.argmax(1), x.argsort(dim=1))
    torch.testing.assert_close(share.amax(1), torch.ones(6, 9).double(), atol=1e-8, rtol=0)


@pytest.mark.parametrize("steepness", [1.0, 10.0])
def test_one_positive_and_one_negative(steepness):
    p, n = draw(5).tanh(), draw(5, seed=1).tanh()
    wanted = -(0.5 + torch.atan(steepness * (p - n)) / math.pi).log()
    torch.testing.assert_close(sorting_rows(p[:, None], n[:, None], steepness), wanted)


def test_constants():
    one = torch.ones(1, 1).double()
    assert float(sorting_rows(one, one)) == pytest.approx(math.log(2))
    assert float(sorting_rows(one, -one)) == pytest.approx(0.1597, abs=5e-5)
    ten = torch.ones(1, 10).double()
    assert float(sorting_rows(one, ten)) == pytest.approx(0.2020, abs=5e-5)
    assert float(sorting_rows(one, -ten, 10.0)) == pytest.approx(0.0148, abs=5e-5)
    # with all negatives equal at steepness 1, by the loop above
    assert float(sorting_rows(one, -ten)) == pytest.approx(0.1470, abs=5e-5)
    assert float(sorting_rows(-one, ten)) == pytest.approx(0.2643, abs=5e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_equals_the_papers_loop(count):
    p, n = draw(4, count).tanh(), draw(4, 6, seed=1).tanh()
    wanted = [loop(a, b, 2.0) for a, b in zip(p.tolist(), n.tolist(), strict=True)]
    torch.testing.assert_close(sorting_rows(p, n, 2.0), torch.tensor(wanted).double())
    torch.testing.assert_close(sorting_rows(p.flip(1), n.roll(2, 1), 2.0), torch.tensor(wanted).double())


def setting():
    anchor, positive, candidates = draw(4, 5), draw(4, 2, 5, seed=1), draw(9, 5, seed=2)
    allowed = torch.ones(4, 9, dtype=torch.bool)
    allowed[torch.arange(4), torch.arange(4)] = False
    return anchor, positive, candidates, allowed


def test_the_hardest_allowed_are_sorted():
    anchor, positive, candidates, allowed = setting()
    found, log = groco(anchor, positive, candidates, allowed, hardest=3)
    unit = [functional.normalize(t, dim=-1) for t in (anchor, positive, candidates)]
    wanted, ordered = [], 0
    for i in range(4):
        far = sorted((float(unit[0][i] @ unit[2][j]) for j in range(9) if allowed[i, j]), reverse=True)[:3]
        near = [float(unit[0][i] @ p) for p in unit[1][i]]
        wanted.append(loop(near, far, 1.0))
        ordered += min(near) > max(far)
    assert float(found) == pytest.approx(sum(wanted) / 4, rel=1e-9)
    assert float(log.ordered) == ordered / 4
    order = torch.tensor([2, 0, 3, 1])
    places = torch.tensor([8, 3, 1, 0, 2, 7, 5, 4, 6])
    moved, _ = groco(anchor[order], positive[order], candidates[places], allowed[order][:, places], hardest=3)
    torch.testing.assert_close(moved, found)


def test_a_forbidden_candidate_changes_nothing():
    anchor, positive, candidates, allowed = setting()
    allowed[:, 8] = False
    found, _ = groco(anchor, positive, candidates, allowed, hardest=3)
    candidates[8] = anchor[0]
    torch.testing.assert_close(groco(anchor, positive, candidates, allowed, hardest=3)[0], found)


def test_anchors_with_too_few_negatives_are_dropped_and_counted():
    anchor, positive, candidates, allowed = setting()
    allowed[1, 2:] = False
    anchor.requires_grad_()
    found, log = groco(anchor, positive, candidates, allowed, hardest=3)
    found.backward()
    kept = torch.tensor([0, 2, 3])
    wanted, _ = groco(anchor[kept], positive[kept], candidates, allowed[kept], hardest=3)
    torch.testing.assert_close(found, wanted)
    assert (int(log.rows), int(log.dropped)) == (3, 1)
    assert anchor.grad.isfinite().all()
    assert anchor.grad[1].abs().sum() == 0
    nothing, log = groco(anchor, positive, candidates, torch.zeros_like(allowed), hardest=8)
    assert float(nothing.detach()) == 0
    assert int(log.dropped) == 4


def test_gradient_reaches_the_anchor_only():
    anchor, positive, candidates, allowed = setting()
    leaves = [t.requires_grad_() for t in (anchor, positive, candidates)]
    groco(*leaves, allowed, hardest=3)[0].backward()
    assert anchor.grad.abs().sum() > 0
    assert positive.grad is None
    assert candidates.grad is None
    assert torch.autograd.gradcheck(lambda a: groco(a, positive, candidates, allowed, hardest=3)[0], anchor)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_and_great_steepness_stay_finite(kind):
    anchor, positive, candidates, allowed = setting()
    half = [t.to(kind) for t in (anchor, positive, candidates)]
    for steepness in (1.0, 1e8):
        leaf = half[0].clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, _ = groco(leaf, *half[1:], allowed, hardest=3, steepness=steepness)
        loss.backward()
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert leaf.grad.isfinite().all()
    exact, _ = groco(*(t.double() for t in half), allowed, hardest=3)
    found, _ = groco(*half, allowed, hardest=3)
    assert float(found) == pytest.approx(float(exact), rel=1e-4)


def test_inputs_are_checked():
    anchor, positive, candidates, allowed = setting()
    with pytest.raises(ValueError, match="hardest must be 1 to the number of candidates, 9, got 10"):
        groco(anchor, positive, candidates, allowed)
    with pytest.raises(ValueError, match=r"expected \(n, d\), \(n, P, d\), \(M, d\) and \(n, M\), got"):
        groco(anchor, positive[:, 0], candidates, allowed, hardest=2)
