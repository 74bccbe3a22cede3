"""The generic contrastive objective against direct formulas, constants and the papers' loops."""

import math

import pytest
import torch
from torch.nn import functional

from medssl.objectives.contrastive import contrast


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def twins(n):
    """Positives and negatives of two views each of ``n`` samples, views stacked one after the other."""
    sample = torch.arange(n).repeat(2)
    same = sample[:, None] == sample[None, :]
    self_pair = torch.eye(2 * n, dtype=torch.bool)
    return same & ~self_pair, ~same


def similarity(n, temperature=0.2, seed=0):
    z = functional.normalize(draw(2 * n, 16, seed=seed), dim=1)
    return z @ z.T / temperature


def test_nt_xent_equals_cross_entropy():
    s = similarity(5)
    positive, negative = twins(5)
    logits = s.masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf)
    direct = functional.cross_entropy(logits, torch.arange(10).roll(5))
    torch.testing.assert_close(contrast(s, positive, negative)[0], direct)


def test_nt_xent_equals_the_papers_loop():
    n, tau = 4, 0.3
    z = functional.normalize(draw(2 * n, 8, seed=3), dim=1)
    total = 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        top = math.exp(float(z[i] @ z[j]) / tau)
        bottom = sum(math.exp(float(z[i] @ z[k]) / tau) for k in range(2 * n) if k != i)
        total += -math.log(top / bottom)
    found, _ = contrast(z @ z.T / tau, *twins(n))
    assert float(found) == pytest.approx(total / (2 * n), rel=1e-12)


def test_dcl_equals_the_papers_loop():
    n, tau = 4, 0.1
    z = functional.normalize(draw(2 * n, 8, seed=4), dim=1)
    one, two = z[:n], z[n:]
    total = 0.0
    for a, b in ((one, two), (two, one)):
        for i in range(n):
            rest = [k for k in range(n) if k != i]
            away = sum(math.exp(float(a[i] @ a[k]) / tau) + math.exp(float(a[i] @ b[k]) / tau) for k in rest)
            total += -float(a[i] @ b[i]) / tau + math.log(away)
    found, _ = contrast(z @ z.T / tau, *twins(n), coupled=False)
    assert float(found) == pytest.approx(total / (2 * n), rel=1e-12)


def test_nt_xent_is_softplus_of_dcl_row_by_row():
    s = similarity(4, temperature=0.5)
    positive, negative = twins(4)
    for row in range(8):
        one = slice(row, row + 1)
        coupled, _ = contrast(s[one], positive[one], negative[one])
        decoupled, _ = contrast(s[one], positive[one], negative[one], coupled=False)
        torch.testing.assert_close(coupled, functional.softplus(decoupled))


def test_gradient_of_nt_xent_is_the_coupling_factor_times_that_of_dcl():
    s = similarity(3, temperature=0.5).requires_grad_()
    positive, negative = (m[:1] for m in twins(3))
    decoupled, _ = contrast(s[:1], positive, negative, coupled=False)
    (of_dcl,) = torch.autograd.grad(decoupled, s, retain_graph=True)
    (of_nt_xent,) = torch.autograd.grad(contrast(s[:1], positive, negative)[0], s)
    torch.testing.assert_close(of_nt_xent, decoupled.detach().sigmoid() * of_dcl)


def test_sup_con_equals_the_direct_formula():
    classes = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    s = similarity(4, temperature=0.1)
    self_pair = torch.eye(8, dtype=torch.bool)
    positive = (classes[:, None] == classes[None, :]) & ~self_pair
    negative = classes[:, None] != classes[None, :]
    log_softmax = functional.log_softmax(s.masked_fill(self_pair, -torch.inf), dim=1)
    direct = -torch.where(positive, log_softmax, 0.0).sum(1) / positive.sum(1)
    torch.testing.assert_close(contrast(s, positive, negative, form="outside", others="all")[0], direct.mean())


def test_weighted_pairs_equal_the_collossl_formula_and_only_their_ratio_counts():
    s, plus, minus = draw(5, 7), draw(5, 7, seed=1).abs(), draw(5, 7, seed=2).abs()
    above, below = (plus * s.exp()).sum(1), (minus * s.exp()).sum(1)
    direct = -(above / (above + below)).log().mean()
    torch.testing.assert_close(contrast(s, plus, minus)[0], direct)
    torch.testing.assert_close(contrast(s, 3 * plus, 3 * minus)[0], direct)


def test_binary_neighbours_equal_the_scgc_formula():
    generator = torch.Generator().manual_seed(5)
    s = similarity(4).fill_diagonal_(0.0)  # the released code zeroes the diagonal and keeps its e⁰ = 1
    near = (torch.rand(8, 8, generator=generator) < 0.4).fill_diagonal_(False)
    near[:, 0] = True
    near[0] = torch.arange(8) == 1
    direct = -((near * s.exp()).sum(1) / s.exp().sum(1)).log().mean()
    torch.testing.assert_close(contrast(s, near, ~near)[0], direct)


def test_outside_with_its_own_positive_only():
    s, plus, minus = draw(4, 6), draw(4, 6, seed=1).abs(), draw(4, 6, seed=2).abs()
    away = (minus * s.exp()).sum(1, keepdim=True)
    rows = (plus * -(s.exp() / (s.exp() + away)).log()).sum(1) / plus.sum(1)
    torch.testing.assert_close(contrast(s, plus, minus, form="outside")[0], rows.mean())
    rows = (plus * (away.log() - s)).sum(1) / plus.sum(1)
    torch.testing.assert_close(contrast(s, plus, minus, form="outside", coupled=False)[0], rows.mean())


def test_outside_with_all_positives_counts_each_of_them_once():
    s, plus, minus = draw(4, 6), draw(4, 6, seed=4).relu(), draw(4, 6, seed=2).abs()
    bottom = ((plus > 0) * s.exp() + minus * s.exp()).sum(1, keepdim=True)
    rows = (plus * (bottom.log() - s)).sum(1) / plus.sum(1)
    torch.testing.assert_close(contrast(s, plus, minus, form="outside", others="all")[0], rows.mean())


def test_one_positive_makes_all_forms_equal():
    s = similarity(4)
    inside, _ = contrast(s, *twins(4))
    for others in ("own", "all"):
        torch.testing.assert_close(contrast(s, *twins(4), form="outside", others=others)[0], inside)


@pytest.mark.parametrize("n", [2, 7])
def test_equal_embeddings(n):
    s = torch.full((2 * n, 2 * n), 10.0)
    assert float(contrast(s, *twins(n))[0]) == pytest.approx(math.log(2 * n - 1), rel=1e-6)
    assert float(contrast(s, *twins(n), coupled=False)[0]) == pytest.approx(math.log(2 * n - 2), rel=1e-6)


def test_positives_equal_and_the_rest_orthogonal():
    n, tau = 5, 0.5
    z = torch.eye(n).repeat(2, 1)
    expected = math.log(1 + (2 * n - 2) * math.exp(-1 / tau))
    assert float(contrast(z @ z.T / tau, *twins(n))[0]) == pytest.approx(expected, rel=1e-6)


def test_slice_partitions_of_equal_embeddings():
    # Chaitanya et al., G^D-: triples of 12 slices in 4 partitions, each row beside 27 negatives
    part = torch.arange(12).remainder(4).repeat(3)
    sample = torch.arange(12).repeat(3)
    negative = part[:, None] != part[None, :]
    positive = (sample[:, None] == sample[None, :]) & ~torch.eye(36, dtype=torch.bool)
    assert negative.sum(1).unique().tolist() == [27]
    found, _ = contrast(torch.zeros(36, 36), positive, negative, form="outside")
    assert float(2 * found) == pytest.approx(2 * math.log(28), rel=1e-6)


def test_rows_without_positive_or_negative_are_dropped_and_counted():
    s = draw(4, 5)
    positive = torch.zeros(4, 5, dtype=torch.bool)
    negative = torch.zeros(4, 5, dtype=torch.bool)
    positive[0, 0] = positive[1, 1] = True  # row 1 has no negative
    negative[0, 2:] = negative[2, 2:] = True  # row 2 has no positive, row 3 neither
    for options in ({}, {"coupled": False}, {"form": "outside"}, {"form": "outside", "others": "all"}):
        found, log = contrast(s, positive, negative, **options)
        torch.testing.assert_close(found, contrast(s[:1], positive[:1], negative[:1], **options)[0])
        assert (int(log.rows), int(log.without_positive), int(log.without_negative)) == (1, 2, 1)


def test_nothing_left_is_zero_with_zero_gradient():
    s = draw(3, 3).requires_grad_()
    nothing = torch.zeros(3, 3)
    loss, log = contrast(s, nothing, nothing)
    loss.backward()
    assert float(loss.detach()) == 0
    assert int(log.rows) == 0
    assert s.grad.abs().sum() == 0


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize(("form", "others"), [("inside", "own"), ("outside", "own"), ("outside", "all")])
def test_masked_entries_reach_neither_value_nor_gradient(coupled, form, others):
    positive, negative = twins(3)
    negative[0] = False  # a dropped row among the others
    clean = similarity(3)
    spoilt = clean.clone()
    masked = ~(positive | negative)
    spoilt[masked] = torch.tensor([-torch.inf, torch.inf, torch.nan]).repeat(6)[: int(masked.sum())].double()
    results = []
    for s in (clean, spoilt):
        s.requires_grad_()
        with torch.autograd.set_detect_anomaly(True):  # no NaN on the way, either
            loss, _ = contrast(s, positive, negative, coupled=coupled, form=form, others=others)
            loss.backward()
        results.append((loss.detach(), s.grad))
    torch.testing.assert_close(results[0], results[1])
    assert results[0][1].isfinite().all()
    assert results[0][1][masked].abs().sum() == 0
    assert results[0][1][1:].abs().sum() > 0
    assert results[0][1][0].abs().sum() == 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted(kind):
    s = similarity(4)
    found, _ = contrast(s.to(kind), *twins(4))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(contrast(s, *twins(4))[0]), abs=1e-2)


def test_small_temperatures_do_not_overflow():
    s = torch.tensor([[1000.0, -1000.0, 999.0, -torch.inf]]).requires_grad_()
    loss, _ = contrast(s, torch.tensor([[1, 0, 0, 0]]), torch.tensor([[0, 1, 1, 0]]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-5)
    assert s.grad.isfinite().all()


def test_order_does_not_matter():
    s, plus, minus = draw(5, 6), draw(5, 6, seed=1).abs(), draw(5, 6, seed=2).abs()
    rows, columns = torch.randperm(5, generator=torch.Generator().manual_seed(0)), torch.arange(5, -1, -1)
    moved = [m[rows][:, columns] for m in (s, plus, minus)]
    for form in ("inside", "outside"):
        torch.testing.assert_close(contrast(*moved, form=form)[0], contrast(s, plus, minus, form=form)[0])


def test_the_log_tells_mean_similarities():
    s = torch.tensor([[1.0, 2.0, 4.0, 100.0]])
    _, log = contrast(s, torch.tensor([[1, 0, 0, 0]]), torch.tensor([[0, 1, 1, 0]]))
    assert float(log.positive) == 1
    assert float(log.negative) == 3


def test_shapes_and_names_are_checked():
    with pytest.raises(ValueError, match=r"one shape \(n, M\), got \[\(2, 2\), \(2, 3\), \(2, 2\)\]"):
        contrast(torch.zeros(2, 2), torch.zeros(2, 3), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="form must be inside or outside"):
        contrast(torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, 2), form="beside")


def test_sup_con_inside_is_the_papers_up_to_the_number_of_positives():
    # L_in of arXiv 2004.11362 has 1/|P(i)| inside the logarithm
    classes = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    s = similarity(4, temperature=0.1)
    self_pair = torch.eye(8, dtype=torch.bool)
    positive = (classes[:, None] == classes[None, :]) & ~self_pair
    total = 0.0
    for i in range(8):
        bottom = sum(math.exp(float(s[i, a])) for a in range(8) if a != i)
        of = [p for p in range(8) if positive[i, p]]
        total += -math.log(sum(math.exp(float(s[i, p])) / bottom for p in of) / len(of))
    found, _ = contrast(s, positive, classes[:, None] != classes[None, :])
    wanted = total / 8 - positive.sum(1).double().log().mean()
    torch.testing.assert_close(found, wanted)


def test_two_exits_of_orthogonal_samples():
    # SelfCon, arXiv 2106.15499: log(1 + 2 e^(−1/τ)) with both exits equal, log(NE − 1) when everything is
    z, tau = torch.eye(2).repeat(2, 1), 0.07
    for vectors, expected in ((z, math.log(1 + 2 * math.exp(-1 / tau))), (torch.ones(4, 2) / 2**0.5, math.log(3))):
        found, _ = contrast(vectors @ vectors.T / tau, *twins(2), form="outside", others="all")
        assert float(found) == pytest.approx(expected, abs=1e-6)


def test_the_scale_of_scgc_weights():
    # scaling a row of W⁺ by c adds −log c where the denominator does not see W⁺
    s, plus, minus = draw(5, 7), draw(5, 7, seed=1).abs(), draw(5, 7, seed=2).abs()
    one, _ = contrast(s, plus, minus, coupled=False)
    torch.testing.assert_close(contrast(s, 3 * plus, minus, coupled=False)[0], one - math.log(3))


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize(("form", "others"), [("inside", "own"), ("outside", "own"), ("outside", "all")])
def test_pull_weighs_the_attraction_alone(coupled, form, others):
    s, plus, minus = draw(4, 6), draw(4, 6, seed=1).abs(), draw(4, 6, seed=2).abs()
    options = {"coupled": coupled, "form": form, "others": others}
    pull = torch.tensor([1.0, 0.0, 2.0, -0.5]).double()
    base, _ = contrast(s, plus, minus, **options)
    torch.testing.assert_close(contrast(s, plus, minus, pull=torch.ones(4).double(), **options)[0], base)
    attraction = (plus * s.exp()).sum(1).log() if form == "inside" else (plus * s).sum(1) / plus.sum(1)
    wanted = base + ((1 - pull) * attraction).mean()
    torch.testing.assert_close(contrast(s, plus, minus, pull=pull, **options)[0], wanted)


def test_rows_are_weighed_without_gradient_and_dropped_ones_do_not_count():
    s, plus, minus = draw(3, 5), draw(3, 5, seed=1).abs(), draw(3, 5, seed=2).abs()
    weight = torch.tensor([1.0, 3.0, 50.0], dtype=torch.float64, requires_grad=True)
    rows = [contrast(s[i : i + 1], plus[i : i + 1], minus[i : i + 1])[0] for i in range(2)]
    minus[2] = 0
    found, log = contrast(s, plus, minus, row_weight=weight)
    torch.testing.assert_close(found, (rows[0] + 3 * rows[1]) / 4)
    assert int(log.rows) == 2
    assert not found.requires_grad
    assert float(contrast(s, plus, minus, row_weight=torch.zeros(3))[0]) == 0


def test_weights_of_every_size_count_on_logarithms():
    s = torch.tensor([[200.0, 0.0, 0.0]])
    plus, minus = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[1e-38, 0.0, 1.0]])
    found, _ = contrast(s, plus, minus, coupled=False)
    assert float(found) == pytest.approx(200 + math.log(1e-38), rel=1e-6)


def test_gradients_are_those_of_finite_differences():
    plus, minus = draw(3, 5, seed=1).relu(), draw(3, 5, seed=2).relu()
    s, pull = draw(3, 5).requires_grad_(), torch.tensor([1.0, 0.5, 2.0]).double()
    for form, others in (("inside", "own"), ("outside", "own"), ("outside", "all")):
        for coupled in (True, False):
            options = {"form": form, "others": others, "coupled": coupled, "pull": pull}
            assert torch.autograd.gradcheck(lambda x, o=options: contrast(x, plus, minus, **o)[0], s)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("temperature", [1e-4, 1e4])
def test_extreme_temperatures_stay_finite(kind, temperature):
    z = functional.normalize(draw(8, 16), dim=1).to(kind).requires_grad_()
    similarity = z.float() @ z.float().T / temperature
    for form, others in (("inside", "own"), ("outside", "own"), ("outside", "all")):
        for coupled in (True, False):
            loss, _ = contrast(similarity, *twins(4), form=form, others=others, coupled=coupled)
            (grad,) = torch.autograd.grad(loss, z, retain_graph=True)
            assert loss.isfinite()
            assert grad.isfinite().all()


def test_weights_of_rows_are_checked():
    with pytest.raises(ValueError, match=r"row_weight must have shape \(2,\), one for each row, got \(3,\)"):
        contrast(torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, 2), row_weight=torch.ones(3))
