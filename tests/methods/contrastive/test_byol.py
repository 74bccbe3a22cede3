"""BYOL: the value of its equation 2, a teacher that follows, and targets without gradient."""

from dataclasses import replace

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.methods.contract import Facts
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of, draw, loss_of, stepped
from tests.methods.tiny import batch_for, build, context

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))


def test_the_loss_is_0_at_identity_and_8_at_opposites():
    method, batch = build("byol", "resnet"), batch_of([5, 6, 7])
    z, w = draw(3, 16), draw(3, 16, seed=1)
    for sign, wanted in ((1, 0.0), (-1, 8.0)):
        loss, logs = loss_of(method, batch, z, w, sign * 3 * w, sign * 0.5 * z)
        assert float(loss) == pytest.approx(wanted, abs=1e-5)
        assert float(logs["similarity_positive"]) == pytest.approx(sign, abs=1e-5)
    right = torch.eye(16)
    assert float(loss_of(method, batch, right[:3], right[3:6], right[:3], right[3:6])[0]) == pytest.approx(4)


def test_equals_the_paper_as_a_loop():
    method = build("byol", "resnet")
    one, two, first, second = (draw(4, 16, seed=seed) for seed in range(4))
    total = 0.0
    for n in range(4):
        for prediction, target in ((one[n], second[n]), (two[n], first[n])):
            total += float((prediction / prediction.norm() - target / target.norm()).square().sum())
    loss, _ = loss_of(method, batch_of([5, 6, 7, 8]), one, two, first, second)
    assert float(loss) == pytest.approx(total / 4, rel=1e-5)


def test_views_find_their_partner_whatever_the_order():
    method = build("byol", "resnet")
    one, two, first, second = (draw(3, 16, seed=seed) for seed in range(4))
    loss, _ = loss_of(method, batch_of([5, 6, 7]), one, two, first, second)
    a, b = [1, 2, 0], [2, 1, 0]
    moved, _ = loss_of(method, batch_of([5, 6, 7], a, b), one[a], two[b], first[a], second[b])
    torch.testing.assert_close(moved, loss)


def test_targets_are_the_teachers_and_have_no_gradient():
    method, targets = build("byol", "resnet"), [draw(2, 16).requires_grad_(), draw(2, 16).requires_grad_()]
    views = [draw(2, 16, seed=1).requires_grad_(), draw(2, 16, seed=2).requires_grad_()]
    loss_of(method, batch_of([5, 6]), *views, *targets)[0].backward()
    assert all(view.grad is not None for view in views)
    assert all(target.grad is None for target in targets)
    batch = batch_for(method, "byol")
    found = method.encode(batch, context())
    assert not found["view_teacher"].requires_grad
    with torch.no_grad():
        # before the first step it is the student without its predictor
        wanted = method.projector(method.encoder(batch["partner"].image).pooled)
    torch.testing.assert_close(found["partner_teacher"], wanted)


@pytest.mark.parametrize(("step", "momentum"), [(0, 0.9), (5, 0.95), (10, 1.0)])
def test_the_teacher_moves_by_a_momentum_that_grows_to_1(step, momentum):
    method = build("byol", "resnet")
    method.encode(batch_for(method, "byol"), context())
    before = [p.clone() for p in method.teacher.networks.parameters()]
    students = [*method.encoder.parameters(), *method.projector.parameters()]
    with torch.no_grad():
        for student in students:
            student.add_(1.0)
    method.after_step(context(step=step))
    for parameter, old, student in zip(method.teacher.networks.parameters(), before, students, strict=True):
        torch.testing.assert_close(parameter, momentum * old + (1 - momentum) * student)


def test_a_run_goes_on_bit_for_bit_after_a_save():
    method, other = build("byol", "resnet", norm="batch"), build("byol", "resnet", seed=1, norm="batch")
    batch = batch_for(method, "byol")
    stepped(method, batch)
    other.load_state_dict(method.state_dict())
    for step in (2, 3):
        stepped(method, batch, step)
        stepped(other, batch, step)
    for (name, kept), found in zip(method.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(kept, found), name


def test_the_predictor_may_learn_faster_and_no_weight_is_forgotten():
    method = build("byol", "resnet", predictor_rate=10.0)
    groups = method.param_groups()
    rates = {id(p): group.get("lr_scale", 1.0) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates)
    for name, parameter in method.named_parameters():
        wanted = 10.0 if name.startswith("predictor.") else 1.0
        assert rates.get(id(parameter)) == (None if name.startswith("teacher.") else wanted), name
    decays = {id(p): group.get("weight_decay") for group in groups for p in group["params"]}
    assert all(decays[id(p)] == (0.0 if p.ndim == 1 else None) for p in method.predictor.parameters())


def test_a_teacher_that_hardly_moves_is_told():
    facts = Facts(scans=9, patients=9, batch=8, steps=100)
    assert build("byol", "resnet", norm="batch", momentum=0.99).check(facts) == []
    for momentum in (0.996, 1.0):
        (note,) = build("byol", "resnet", norm="batch", momentum=momentum).check(facts)
        assert f"hardly moves within 100 steps at momentum {momentum}" in note


@pytest.mark.parametrize("name", ["byol", "simsiam"])
def test_what_may_collapse_is_told(name):
    facts = Facts(scans=9, patients=9, batch=8, steps=100)
    assert build(name, "resnet", norm="batch").check(facts) == []
    (note,) = build(name, "resnet", norm="layer").check(facts)
    assert "without method.norm batch" in note
    (note,) = build(name, "resnet", norm="batch").check(replace(facts, processes=4))
    assert "batch norm has 4 vectors a process to tell apart: raise optim.batch to 8" in note


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"momentum": 1.1}, r"momentum: expected at most 1, got 1\.1"),
        ({"predictor_rate": 0}, "predictor_rate: expected a number above 0, got 0"),
        ({"norm": "group"}, "norm: expected 'batch', 'layer' or 'none'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, reason):
    with pytest.raises(RecipeError, match=reason):
        choose(METHOD, {"name": "byol", **settings})
