"""GroCo: its constants, the loss as a loop, who is never sorted, and batches that are too small."""

import math
from dataclasses import replace

import pytest
import torch

from medssl.errors import RecipeError, UsageError
from medssl.methods import METHODS
from medssl.methods.contract import Facts
from medssl.objectives.sorting import sorting_rows
from medssl.recipe import From, choose
from medssl.views.settings import ViewSettings
from tests.methods.contrastive.pairs import batch_of, draw, loss_of
from tests.methods.tiny import batch_for, build, context

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))


def made(**settings):
    return build("groco", "resnet", **{"steepness": 1.0, **settings})


def between(a, b):
    return float(a @ b / a.norm() / b.norm())


def along(count, length=16):
    """``count`` times the same vector, of length one."""
    return torch.eye(length)[:1].repeat(count, 1)


@pytest.mark.parametrize(("hardest", "equal"), [(1, math.log(2)), (10, 0.2020)])
def test_equal_vectors(hardest, equal):
    method = made(hardest=hardest)
    loss, logs = loss_of(method, batch_of(range(12)), along(12), along(12))
    assert float(loss) == pytest.approx(equal, abs=5e-5)
    assert float(logs["ordered"]) == 0


def test_the_best_that_one_negative_allows_is_0_1597():
    # two scans in opposite directions: positives at 1, negatives at −1
    z = torch.stack([torch.eye(16)[0], -torch.eye(16)[0]])
    loss, logs = loss_of(made(hardest=1), batch_of([5, 6]), z, z)
    assert float(loss) == pytest.approx(0.1597, abs=5e-5)
    assert float(logs["ordered"]) == 1
    assert (float(logs["similarity_positive"]), float(logs["similarity_negative"])) == pytest.approx((1, -1))


def test_ten_negatives_that_stand_above_the_positive():
    # every view in one direction, every partner in the other; 0.2643 is what the authors' sorting library gives, too
    loss, _ = loss_of(made(hardest=10), batch_of(range(11)), along(11), -along(11))
    assert float(loss) == pytest.approx(0.2643, abs=5e-5)


def test_one_negative_as_a_loop():
    method, one, two = made(hardest=1, steepness=3.0), draw(5, 16), draw(5, 16, seed=1)
    total = 0.0
    for anchors, others in ((one, two), (two, one)):
        for n in range(5):
            near = between(anchors[n], others[n])
            far = max(between(anchors[n], anchors[m]) for m in range(5) if m != n)
            total -= math.log(0.5 + math.atan(3.0 * (near - far)) / math.pi) / 10
    loss, _ = loss_of(method, batch_of(range(5)), one, two)
    assert float(loss) == pytest.approx(total, rel=1e-5)


def test_the_gradient_goes_through_anchors_alone():
    method = made(hardest=2)
    views = [draw(4, 16).requires_grad_(), draw(4, 16, seed=1).requires_grad_()]
    loss_of(method, batch_of(range(4)), *views)[0].backward()
    for n, view in enumerate(views):
        fixed = [other.detach() for other in views]
        anchor = view.detach().clone().requires_grad_()
        near = torch.nn.functional.cosine_similarity(anchor, fixed[1 - n])[:, None]
        far = torch.nn.functional.cosine_similarity(anchor[:, None], fixed[n][None], dim=2)
        far = far.masked_fill(torch.eye(4, dtype=torch.bool), -2).topk(2, dim=1).values
        (sorting_rows(near, far).mean() / 2).backward()
        torch.testing.assert_close(view.grad, anchor.grad)


def test_a_scan_of_the_same_patient_is_never_a_negative():
    method, one, two = made(hardest=1), draw(4, 16), draw(4, 16, seed=1)
    batch = batch_of([5, 5, 6, 7])
    # the patient's other scan would be the hardest of all
    one[1], two[1] = one[0], two[0]
    total = 0.0
    for anchors, others in ((one, two), (two, one)):
        for n in range(4):
            near = between(anchors[n], others[n])
            far = max(between(anchors[n], anchors[m]) for m in range(4) if m != n and {m, n} != {0, 1})
            total -= math.log(0.5 + math.atan(near - far) / math.pi) / 8
    assert float(loss_of(method, batch, one, two)[0]) == pytest.approx(total, rel=1e-5)


def test_rows_with_too_few_negatives_are_dropped_and_counted():
    method, one, two = made(hardest=2), draw(5, 16), draw(5, 16, seed=1)
    loss, logs = loss_of(method, batch_of([5, 6, 7, -1, -1]), one, two)
    assert float(logs["dropped_without_negative"]) == 2
    known, _ = loss_of(method, batch_of([5, 6, 7]), one[:3], two[:3])
    torch.testing.assert_close(loss, known)


@pytest.mark.parametrize(("patients", "hardest"), [([5, 5, 5], 1), ([5, 6, 7], 3), ([-1, -1], 1), ([5, 6], 5)])
def test_a_batch_without_enough_negatives_says_nothing(patients, hardest):
    count = len(patients)
    with pytest.raises(UsageError, match=rf"no view has {hardest} negatives among {count} scans.*\[batch\]"):
        loss_of(made(hardest=hardest), batch_of(patients), draw(count, 16), draw(count, 16, seed=1))


def test_several_positives():
    method = made(positives=2, hardest=1)
    role = method.views(ViewSettings(crop=(16,) * 3))["partner"]
    assert role.count == 2
    one, two = draw(3, 16), draw(6, 16, seed=1)
    views = [one, two[::2], two[1::2]]  # partners come scan by scan
    total = 0.0
    for v, anchors in enumerate(views):
        for n in range(3):
            near = [between(anchors[n], other[n]) for u, other in enumerate(views) if u != v]
            far = [max(between(anchors[n], anchors[m]) for m in range(3) if m != n)]
            total += float(sorting_rows(torch.tensor([near]), torch.tensor([far]))) / 9
    loss, _ = loss_of(method, batch_of(range(3), partner=[0, 0, 1, 1, 2, 2]), one, two)
    assert float(loss) == pytest.approx(total, rel=1e-5)


def test_several_positives_from_end_to_end():
    method = made(positives=2, hardest=1)
    batch = batch_for(method, "groco")
    assert len(batch["partner"]) == 2 * len(batch["view"])
    loss, _ = method.loss(method.encode(batch, context()), batch, context())
    assert torch.isfinite(loss)


def test_more_negatives_than_a_batch_can_hold_are_refused_before_the_run():
    facts = Facts(scans=40, patients=30, batch=11, steps=100)
    assert made(hardest=10).check(facts) == []
    with pytest.raises(RecipeError, match=r"hardest: expected at most 10, since there are 11 scans a batch, got 11"):
        made(hardest=11).check(facts)
    with pytest.raises(RecipeError, match=r"hardest: expected at most 5, since there are 6 patients, got 10"):
        made(hardest=10).check(replace(facts, patients=6))


def test_settings_out_of_range_are_refused():
    for settings, reason in (({"steepness": 0}, "steepness: expected a number above 0"), ({"k": 1}, "unknown key")):
        with pytest.raises(RecipeError, match=reason):
            choose(METHOD, {"name": "groco", **settings})
