"""VoCo's losses: the closed-form values, the paper's loop and the invariances."""

import math

import pytest
import torch

from medssl.objectives.voco import EPS, base_loss, predicted_overlap, prediction_loss, voco_loss


def draw(*shape, seed=0, kind=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def parts(labels, predicted, form="released"):
    """L_pos and L_neg of one volume."""
    labels, predicted = torch.as_tensor(labels), torch.as_tensor(predicted)
    same = torch.ones(labels.shape, dtype=torch.bool)
    positive, negative = prediction_loss(labels, predicted, same, torch.zeros(len(labels), dtype=torch.long), 1, form)
    return float(positive), float(negative)


def one_hot(count=16):
    return torch.eye(count)[:1]


def test_a_perfect_prediction_is_slightly_below_zero():
    positive, negative = parts(one_hot(), one_hot())
    assert positive == pytest.approx(-math.log(1 + 1e-6), abs=1e-7)
    assert positive < 0
    assert negative == 0


def test_constant_predictions_of_a_one_hot_label():
    full = torch.ones(1, 16)
    assert parts(one_hot(), 0 * full) == pytest.approx((13.8155, 0.0), abs=1e-3)
    assert parts(one_hot(), full) == pytest.approx((0.0, 1.0), abs=2e-6)
    assert parts(one_hot(), 0.5 * full) == pytest.approx((math.log(2), 0.25), abs=5e-6)


def test_four_quarters_predicted_as_nothing():
    labels = torch.zeros(1, 16)
    labels[0, [5, 6, 9, 10]] = 0.25
    assert parts(labels, torch.zeros(1, 16))[0] == pytest.approx(0.28768, abs=2e-6)


def test_base_loss_of_orthonormal_identical_and_random_bases():
    group = torch.zeros(16, dtype=torch.long)
    assert float(base_loss(torch.eye(16), group, 1)) == 0
    assert float(base_loss(torch.ones(16, 32), group, 1)) == pytest.approx(1, abs=1e-6)
    # half of the pairs are negative, and cos² of the others averages 1/d
    several = [float(base_loss(draw(16, 2048, seed=s), group, 1)) for s in range(20)]
    assert sum(several) / 20 == pytest.approx(1 / (2 * 2048), rel=0.2)


@pytest.mark.parametrize(("form", "expected"), [("released", 2.0), ("log", 14.8155)])
def test_total_collapse(form, expected):
    same = torch.eye(8)[:1].expand(16, 8)
    owner = torch.zeros(16, dtype=torch.long)
    predicted = predicted_overlap(same[:1], same, same[:1], same)
    loss = voco_loss(one_hot(), predicted, same, owner[:1], owner, form)
    assert float(loss.total) == pytest.approx(expected, abs=1e-4)


def test_gradient_at_a_positive_and_the_dead_relu():
    predicted = torch.tensor([[0.25, 0.0]], requires_grad=True)
    labels, same, group = torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool), torch.zeros(1).long()
    prediction_loss(labels, predicted, same, group, 1)[0].backward()
    assert float(predicted.grad[0, 0]) == pytest.approx(-1 / (0.25 + EPS), rel=1e-4)
    query = torch.tensor([[-1.0, 0.1]], requires_grad=True)
    base = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    overlap = predicted_overlap(query, base, -base[:1], base)
    prediction_loss(labels, overlap, same, group, 1)[0].backward()
    assert query.grad.abs().sum() == 0


def test_predicted_overlap_averages_the_two_directions_and_keeps_the_teacher_out():
    tensors = [draw(n, 8, seed=s).requires_grad_() for s, n in enumerate((2, 5, 2, 5))]
    query, base, query_teacher, base_teacher = tensors
    found = predicted_overlap(*tensors)
    for q in range(2):
        for k in range(5):
            one = torch.cosine_similarity(query[q], base_teacher[k], dim=0).relu()
            two = torch.cosine_similarity(query_teacher[q], base[k], dim=0).relu()
            torch.testing.assert_close(found[q, k], (one + two) / 2)
    found.sum().backward()
    assert query.grad.abs().sum() > 0
    assert base.grad.abs().sum() > 0
    assert query_teacher.grad is None
    assert base_teacher.grad is None


def loop(labels, predicted, base, form):
    """The loss of one volume, written as in the specification."""
    pos, weight, neg, away, everything = 0.0, 0.0, 0.0, 0, 0.0
    for y, guess in zip(labels.flatten().tolist(), predicted.flatten().tolist(), strict=True):
        everything += -math.log(1 - abs(y - guess) + EPS)
        if y > 0:
            pos += -y * math.log(1 - abs(y - guess) + EPS)
            weight += y
        else:
            neg += -math.log(1 - guess + EPS) if form == "log" else guess**2
            away += 1
    regular, pairs = 0.0, 0
    for i in range(len(base)):
        for j in range(i + 1, len(base)):
            c = float(torch.cosine_similarity(base[i], base[j], dim=0))
            regular += abs(c) if form == "paper" else max(c, 0.0) ** 2
            pairs += 1
    if form == "paper":
        return everything / labels.numel(), 0.0, regular / pairs
    return pos / (weight + EPS), neg / (away + EPS), regular / pairs


@pytest.mark.parametrize("form", ["released", "paper", "log"])
def test_equals_the_loop_with_volumes_of_different_counts(form):
    query_owner, base_owner = torch.tensor([7, 3, 3]), torch.tensor([3, 7, 3, 7, 7, 3, 3])
    labels = torch.rand(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.where(labels < 0.5, 0.0, labels)
    predicted = torch.rand(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    base = draw(7, 6, kind=torch.float64)
    found = voco_loss(labels, predicted, base, query_owner, base_owner, form)
    wanted = []
    for owner in (3, 7):
        q, b = query_owner == owner, base_owner == owner
        wanted.append(loop(labels[q][:, b], predicted[q][:, b], base[b], form))
    mean = torch.tensor(wanted).double().mean(dim=0)
    torch.testing.assert_close(torch.stack([found.positive, found.negative, found.base]).double(), mean)


def test_only_the_earlier_base_of_a_pair_is_pushed():
    base = draw(2, 4, seed=1).abs().requires_grad_()
    group = torch.zeros(2, dtype=torch.long)
    base_loss(base, group, 1).backward()
    assert base.grad[0].abs().sum() > 0
    assert base.grad[1].abs().sum() == 0
    base.grad = None
    base_loss(base, group, 1, "paper").backward()
    assert base.grad.abs().sum(dim=1).min() > 0


def test_order_of_bases_does_not_matter():
    owner = torch.zeros(9, dtype=torch.long)
    labels, predicted, base = torch.rand(2, 9), torch.rand(2, 9), draw(9, 5)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    one = voco_loss(labels, predicted, base, owner[:2], owner)
    two = voco_loss(labels[:, order], predicted[:, order], base[order], owner[:2], owner)
    torch.testing.assert_close(one.total, two.total)


@pytest.mark.parametrize("form", ["released", "log"])
def test_half_precision_and_cosines_above_one_stay_finite(form):
    base = draw(9, 2048).half().requires_grad_()
    query = base.detach()[:2].clone().requires_grad_()
    owner = torch.zeros(9, dtype=torch.long)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = predicted_overlap(query, base, query, base)
        loss = voco_loss(torch.zeros(2, 9), predicted, base, owner[:2], owner, form).total
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert base.grad.isfinite().all()


def test_the_form_is_checked():
    one = torch.zeros(1, dtype=torch.long)
    with pytest.raises(ValueError, match="form must be released, paper or log, got 'v3'"):
        voco_loss(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 2), one, one, "v3")
