"""DINO's cross entropy over views and iBOT's over masked tokens."""

import math

import pytest
import torch

from medssl.objectives.across_views import across_views, masked_tokens
from medssl.objectives.centring import centred


def draw(*shape, seed=0, kind=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def entropy(scores, target, tau):
    """One row, as defined."""
    scores = scores.tolist()
    bottom = math.log(sum(math.exp(s / tau) for s in scores))
    return -sum(float(q) * (s / tau - bottom) for s, q in zip(scores, target, strict=True))


def views(count=5, b=3, k=6):
    student = [draw(b, k, seed=s).requires_grad_() for s in range(count)]
    target = [centred(draw(b, k, seed=10 + s), 0.1 * draw(k, seed=20), 0.07) for s in range(2)]
    return student, target


def test_dino_equals_the_papers_loop():
    student, target = views()
    terms = []
    for t in range(2):
        for v in range(5):
            if v != t:
                terms.append(sum(entropy(s, q, 0.1) for s, q in zip(student[v], target[t], strict=True)) / 3)
    assert len(terms) == 2 * (5 - 1)
    assert float(across_views(student, target, 0.1).detach()) == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_uniform_predictions_and_targets():
    flat, even = torch.zeros(2, 65536), torch.full((2, 65536), 1 / 65536)
    assert float(across_views([flat, flat], [even, even], 0.1)) == pytest.approx(11.0904, abs=1e-4)


def test_order_of_samples_and_of_small_crops_does_not_matter():
    student, target = views()
    loss = across_views(student, target, 0.1)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(across_views([s[order] for s in student], [t[order] for t in target], 0.1), loss)
    torch.testing.assert_close(across_views([*student[:2], student[4], student[2], student[3]], target, 0.1), loss)
    torch.testing.assert_close(
        across_views([student[4], student[0], student[2], student[3], student[1]], target, 0.1, [1, 4]), loss
    )


def test_a_target_from_outside_is_predicted_by_all():
    student, target = views(3)
    terms = [sum(entropy(s, q, 0.1) for s, q in zip(v, target[0], strict=True)) / 3 for v in student]
    assert float(across_views(student, target[:1], 0.1, [-1]).detach()) == pytest.approx(sum(terms) / 3, rel=1e-12)


def test_no_gradient_into_targets_and_one_for_every_view():
    student, _ = views()
    target = [draw(3, 6, seed=s).softmax(1).requires_grad_() for s in range(2)]
    across_views(student, target, 0.1).backward()
    assert all(s.grad.abs().sum() > 0 for s in student)
    assert all(t.grad is None for t in target)
    scores = draw(3, 6).requires_grad_()
    masked_tokens(scores, target[0], torch.zeros(3, dtype=torch.long), 1, 0.1).backward()
    assert scores.grad.abs().sum() > 0
    assert target[0].grad is None


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_and_a_tiny_temperature_stay_finite(kind):
    student = [draw(3, 64, seed=s, kind=torch.float32).to(kind).requires_grad_() for s in range(2)]
    target = [centred(draw(3, 64, seed=s).to(kind), torch.zeros(64), 1e-4) for s in range(2)]
    loss = across_views(student, target, 1e-4)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    exact = across_views([s.double() for s in student], [t.double() for t in target], 1e-4)
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=1e-4)


def test_tokens_equal_the_papers_loop():
    scores, target = draw(5, 4), draw(5, 4, seed=1).softmax(1)
    owner, weight = torch.tensor([2, 0, 2, 0, 2]), torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0])
    rows = [entropy(s, q, 0.1) for s, q in zip(scores, target, strict=True)]
    even = ((rows[1] + rows[3]) / 2 + (rows[0] + rows[2] + rows[4]) / 3) / 4
    assert float(masked_tokens(scores, target, owner, 4, 0.1)) == pytest.approx(even, rel=1e-12)
    weighed = (rows[1] + (rows[0] + rows[2] / 2 + 3 * rows[4]) / 4.5) / 4
    assert float(masked_tokens(scores, target, owner, 4, 0.1, weight)) == pytest.approx(weighed, rel=1e-12)
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = masked_tokens(scores[order], target[order], owner[order], 4, 0.1)
    assert float(moved) == pytest.approx(even, rel=1e-12)


def test_nothing_masked_is_zero_with_zero_gradient():
    scores = torch.zeros(0, 4, requires_grad=True)
    loss = masked_tokens(scores, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 3, 0.1)
    loss.backward()
    assert float(loss.detach()) == 0


def test_tokens_of_processes_average_to_those_of_one():
    scores, target = draw(5, 4), draw(5, 4, seed=1).softmax(1)
    owner = torch.tensor([0, 1, 1, 1, 3])
    parts = [
        masked_tokens(scores[:4], target[:4], owner[:4], 2, 0.1),
        masked_tokens(scores[4:], target[4:], owner[4:] - 2, 2, 0.1),
    ]
    torch.testing.assert_close(sum(parts) / 2, masked_tokens(scores, target, owner, 4, 0.1))


def test_inputs_are_checked():
    flat = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"all views must have one shape \(B, K\) and each target a source"):
        across_views([flat, torch.zeros(1, 3)], [flat], 0.1)
    with pytest.raises(ValueError, match="1 views and 1 targets leave no pair of different views"):
        across_views([flat], [flat], 0.1)
    with pytest.raises(ValueError, match=r"one shape \(n, K\) and owner \(n,\), got"):
        masked_tokens(flat, flat, torch.zeros(3, dtype=torch.long), 1, 0.1)
