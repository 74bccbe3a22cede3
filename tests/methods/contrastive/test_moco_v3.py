"""MoCo v3: its constant, the paper as a loop, who is never a negative, the teacher, the frozen patches."""

import math

import pytest
import torch

from medssl.errors import RecipeError, UsageError
from medssl.methods import METHODS
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of, draw, loss_of, stepped
from tests.methods.tiny import batch_for, build, context

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_equal_vectors_cost_2_tau_log_n_in_each_direction(temperature):
    method = build("moco-v3", "resnet", temperature=temperature)
    same = torch.ones(5, 16)
    loss, logs = loss_of(method, batch_of([5, 6, 7, 8, 9]), same, same, same, same)
    assert float(loss) == pytest.approx(2 * 2 * temperature * math.log(5), rel=1e-5)
    assert float(logs["similarity_positive"]) == pytest.approx(1, abs=1e-5)
    assert float(logs["embedding_std"]) == pytest.approx(0, abs=1e-3)


def test_equals_the_paper_as_a_loop():
    method = build("moco-v3", "resnet", temperature=0.2)
    one, two, first, second = (torch.nn.functional.normalize(draw(4, 16, seed=seed), dim=1) for seed in range(4))
    total = 0.0
    for queries, keys in ((one, second), (two, first)):
        for n in range(4):
            terms = [math.exp(float(queries[n] @ key) / 0.2) for key in keys]
            total -= 2 * 0.2 * math.log(terms[n] / sum(terms)) / 4
    loss, _ = loss_of(method, batch_of([5, 6, 7, 8]), 2 * one, two, first, 3 * second)
    assert float(loss) == pytest.approx(total, rel=1e-5)


def test_a_scan_of_the_same_patient_is_never_a_negative():
    method = build("moco-v3", "resnet")
    batch = batch_of([5, 5, 6])
    parts = [draw(3, 16, seed=seed) for seed in range(4)]
    loss, _ = loss_of(method, batch, *parts)
    weights = torch.ones(3, 3)
    weights[0, 1] = weights[1, 0] = 0
    wanted = 0.0
    for queries, keys in ((parts[0], parts[3]), (parts[1], parts[2])):
        s = torch.nn.functional.cosine_similarity(queries[:, None], keys[None], dim=2) / method.temperature
        rows = -(s.diagonal() - (weights * s.exp()).sum(1).log())
        wanted += float(2 * method.temperature * rows.mean())
    assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_rows_without_a_negative_are_dropped_and_counted():
    method = build("moco-v3", "resnet")
    parts = [draw(3, 16, seed=seed) for seed in range(4)]
    loss, logs = loss_of(method, batch_of([5, 6, -1]), *parts)
    assert float(logs["dropped_without_negative"]) == 1
    known, _ = loss_of(method, batch_of([5, 6]), *(part[:2] for part in parts))
    torch.testing.assert_close(loss, known)


def test_a_batch_of_one_patient_says_nothing():
    parts = [draw(2, 16, seed=seed) for seed in range(4)]
    with pytest.raises(UsageError, match=r"no positive beside a negative among 2 views.*\[batch\]"):
        loss_of(build("moco-v3", "resnet"), batch_of([5, 5]), *parts)


def test_targets_have_no_gradient():
    targets = [draw(3, 16).requires_grad_(), draw(3, 16, seed=1).requires_grad_()]
    views = [draw(3, 16, seed=2).requires_grad_(), draw(3, 16, seed=3).requires_grad_()]
    loss_of(build("moco-v3", "resnet"), batch_of([5, 6, 7]), *views, *targets)[0].backward()
    assert all(view.grad is not None for view in views)
    assert all(target.grad is None for target in targets)


def test_a_run_goes_on_bit_for_bit_after_a_save():
    method, other = build("moco-v3", "vit", norm="batch"), build("moco-v3", "vit", seed=1, norm="batch")
    batch = batch_for(method, "moco-v3")
    stepped(method, batch)
    assert int(method.teacher.started) == 1
    other.load_state_dict(method.state_dict())
    stepped(method, batch, 2)
    stepped(other, batch, 2)
    for (name, kept), found in zip(method.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(kept, found), name


def test_the_teacher_moves_by_a_momentum_that_grows_to_1():
    method = build("moco-v3", "resnet")
    method.encode(batch_for(method, "moco-v3"), context())
    old = method.teacher["projector"].layers[0].weight.clone()
    with torch.no_grad():
        method.projector.layers[0].weight.add_(1.0)
    method.after_step(context(step=5))
    wanted = 0.95 * old + 0.05 * method.projector.layers[0].weight
    torch.testing.assert_close(method.teacher["projector"].layers[0].weight, wanted)


def test_three_layers_on_a_transformer_two_on_a_cnn():
    for encoder, count in (("resnet", 2), ("resenc", 2), ("vit", 3), ("swin", 3)):
        layers = build("moco-v3", encoder).projector.layers
        assert sum(isinstance(layer, torch.nn.Linear) for layer in layers) == count, encoder


def test_a_frozen_patch_embedding_stays_as_it_is():
    method = build("moco-v3", "vit", freeze_patches=True)
    before = method.encoder.patch_embed.weight.clone()
    block = next(method.encoder.blocks.parameters()).clone()
    stepped(method, batch_for(method, "moco-v3"))
    assert torch.equal(method.encoder.patch_embed.weight, before)
    assert not torch.equal(next(method.encoder.blocks.parameters()), block)
    frozen = {id(p) for p in method.encoder.patch_embed.parameters()}
    assert not frozen & {id(p) for group in method.param_groups() for p in group["params"]}


@pytest.mark.parametrize("encoder", ["resnet", "resenc"])
def test_a_cnn_has_no_patch_embedding_to_freeze(encoder):
    with pytest.raises(RecipeError, match=r"freeze_patches: \w+ has no patch embedding"):
        build("moco-v3", encoder, freeze_patches=True)


def test_settings_out_of_range_are_refused():
    for settings, reason in (({"temperature": 0}, "temperature: expected a number above 0"), ({"m": 1}, "unknown key")):
        with pytest.raises(RecipeError, match=reason):
            choose(METHOD, {"name": "moco-v3", **settings})
