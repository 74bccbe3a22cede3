"""What every method must keep, with every encoder that can carry it."""

import pytest
import torch

from medssl.methods import METHODS
from medssl.methods.contract import Batch
from medssl.pairing.momentum import MomentumTeacher
from tests.methods.side_by_side import side_by_side
from tests.methods.tiny import PAIRS, batch_for, build, context_for, double, reorder, stage_of, take

MAGNIFIED = ("barlow-twins", "dino", "dinov2")
"""Methods that divide by a spread or a small temperature: where a fresh network hardly varies, that is rounding."""

UNUSED = ("mask_token",)
"""Parameters of transformers that nothing reaches while hidden tokens are dropped."""


def loss_of(method, batch, ctx=None):
    ctx = ctx or context_for(method)
    return method.loss(method.encode(batch, ctx), batch, ctx)


def gradients(method):
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def test_every_registered_method_is_tested():
    assert {name for name, _ in PAIRS} == set(METHODS)


@pytest.mark.parametrize(("name", "encoder"), PAIRS)
def test_loss_is_finite_and_reaches_every_weight_but_the_teachers(name, encoder):
    method = build(name, encoder)
    loss, logs = loss_of(method, batch_for(method, name))
    loss.backward()
    assert loss.ndim == 0
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    for key, value in logs.items():
        assert value.ndim == 0, key
        assert value.is_floating_point(), key
        assert value.isfinite(), key
        assert not value.requires_grad, key
    trains = stage_of(method).trains or ("",)
    for key, parameter in method.named_parameters():
        if not key.startswith(trains):
            continue  # the trainer freezes it in this stage
        if "teacher." in key:
            assert not parameter.requires_grad, key
            assert parameter.grad is None, key
        elif not key.endswith(UNUSED) or key.startswith("decoder."):
            assert parameter.grad is not None, key
    assert sum(float(p.grad.abs().sum()) for p in method.encoder.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize(("name", "encoder"), PAIRS)
def test_loss_falls_on_one_batch(name, encoder):
    method = build(name, encoder)
    batch = batch_for(method, name)
    optimizer = torch.optim.AdamW(method.param_groups(), lr=3e-3)
    losses = []
    for step in range(20):
        ctx = context_for(method, step=step)
        loss, _ = loss_of(method, batch, ctx)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(ctx)
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) / 3 < 0.9 * losses[0]


@pytest.mark.parametrize(("name", "encoder"), PAIRS)
def test_state_dict_round_trip(name, encoder):
    method, other = build(name, encoder), build(name, encoder, seed=1)
    batch = batch_for(method, name)
    loss_of(method, batch)[0].backward()
    torch.optim.SGD(method.param_groups(), lr=0.1).step()
    method.after_step(context_for(method, step=1))
    other.load_state_dict(method.state_dict())
    one, two = (m.encode(batch, context_for(m, step=1)) for m in (method, other))
    assert one.keys() == two.keys()
    for key in one:
        assert torch.equal(one[key], two[key]), key


@pytest.mark.parametrize(("name", "encoder"), [pair for pair in PAIRS if pair[1] != "swin"])
def test_two_processes_equal_one(name, encoder):
    method = build(name, encoder)
    batch = batch_for(method, name)
    if name in MAGNIFIED:
        method, batch = method.double(), double(batch)
    whole, _ = loss_of(method, batch)
    whole.backward()
    expected = gradients(method)
    method.zero_grad()

    parts = [take(batch, [0, 1]), take(batch, [2, 3])]
    vectors = [method.encode(part, context_for(method)) for part in parts]
    works = [
        lambda gather, v=v, part=part: method.loss(v, part, context_for(method, gather=gather))[0]
        for v, part in zip(vectors, parts, strict=True)
    ]
    losses = side_by_side(works)
    mean = sum(losses) / 2  # every process has its own loss, and gradients are averaged
    mean.backward()
    torch.testing.assert_close(mean, whole)
    found = gradients(method)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", METHODS)
def test_order_of_views_does_not_matter(name):
    method = build(name, next(encoder for method, encoder in PAIRS if method == name))
    batch = batch_for(method, name)
    vectors = method.encode(batch, context_for(method))
    loss, _ = method.loss(vectors, batch, context_for(method))
    moved, roles = dict(vectors), {}
    for role, views in batch.roles.items():
        rows = torch.randperm(len(views), generator=torch.Generator().manual_seed(1))
        roles[role] = reorder(views, rows)
        for key in vectors:
            if key == role or key.startswith(f"{role}_") or (key == "rebuilt" and role == "view"):
                moved[key] = vectors[key][rows]
    shuffled, _ = method.loss(moved, Batch(roles, batch.size), context_for(method))
    torch.testing.assert_close(shuffled, loss)


@pytest.mark.parametrize(("name", "encoder"), PAIRS)
def test_mixed_precision_stays_close(name, encoder):
    method = build(name, encoder)
    batch = batch_for(method, name)
    exact, _ = loss_of(method, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, _ = loss_of(method, batch)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0.5 if name in MAGNIFIED else 5e-2, atol=5e-2)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_exported_covers_every_trained_weight(name):
    method = build(name, next(encoder for method, encoder in PAIRS if method == name))
    exported = method.exported()
    assert exported["encoder"] is method.encoder
    covered = {id(p) for module in exported.values() for p in module.parameters()}
    assert {id(p) for p in method.parameters()} <= covered


def test_teachers_are_left_to_after_step():
    method = build("voco", "resnet")
    batch = batch_for(method, "voco")
    teachers = [module for module in method.modules() if isinstance(module, MomentumTeacher)]
    assert len(teachers) == 1
    loss_of(method, batch)[0].backward()
    before = [p.clone() for p in teachers[0].parameters()]
    torch.optim.SGD(method.param_groups(), lr=0.1).step()
    loss_of(method, batch)
    for parameter, old in zip(teachers[0].parameters(), before, strict=True):
        assert torch.equal(parameter, old)
    method.after_step(context_for(method, step=1))
    students = [*method.encoder.parameters(), *method.projector.parameters()]
    for parameter, old, student in zip(teachers[0].parameters(), before, students, strict=True):
        torch.testing.assert_close(parameter, 0.9 * old + (1 - 0.9) * student, rtol=1e-6, atol=1e-8)
