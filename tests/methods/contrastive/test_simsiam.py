"""SimSiam: the value of its equations, and a target that is the network's own, without gradient."""

import pytest
import torch

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.recipe import From, choose
from tests.methods.contrastive.pairs import batch_of, draw, loss_of
from tests.methods.tiny import batch_for, build, context

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))


def test_the_loss_lies_between_minus_1_and_1():
    method, batch = build("simsiam", "resnet"), batch_of([5, 6, 7])
    z, w = draw(3, 16), draw(3, 16, seed=1)
    for sign in (1, -1):
        loss, logs = loss_of(method, batch, z, w, sign * w, sign * z)
        assert float(loss) == pytest.approx(-sign, abs=1e-5)
        assert float(logs["similarity_positive"]) == pytest.approx(sign, abs=1e-5)


def test_equals_the_paper_as_a_loop():
    method = build("simsiam", "resnet")
    one, two, first, second = (draw(4, 16, seed=seed) for seed in range(4))
    total = 0.0
    for n in range(4):
        for prediction, target in ((one[n], second[n]), (two[n], first[n])):
            total -= float(prediction @ target / prediction.norm() / target.norm()) / 2
    loss, _ = loss_of(method, batch_of([5, 6, 7, 8]), one, two, first, second)
    assert float(loss) == pytest.approx(total / 4, rel=1e-5)


def test_targets_are_its_own_projections_of_the_other_view_without_gradient():
    method = build("simsiam", "resnet")
    batch = batch_for(method, "simsiam")
    found = method.encode(batch, context())
    projections = {role: method.projector(method.encoder(batch[role].image).pooled) for role in ("view", "partner")}
    for role, projection in projections.items():
        assert not found[f"{role}_teacher"].requires_grad
        torch.testing.assert_close(found[f"{role}_teacher"], projection)
        torch.testing.assert_close(found[role], method.predictor(projection))
    targets = [projections["view"], projections["partner"]]
    loss, _ = loss_of(method, batch, found["view"].detach(), found["partner"].detach(), *targets)
    assert not loss.requires_grad


def test_without_the_stop_the_gradient_would_be_another():
    method = build("simsiam", "resnet")
    batch = batch_for(method, "simsiam")

    def gradient(stopped):
        found = method.encode(batch, context())
        if not stopped:
            rows = {role: method.projector(method.encoder(batch[role].image).pooled) for role in ("view", "partner")}
            cosines = [
                torch.nn.functional.cosine_similarity(found[role], rows[other]).mean()
                for role, other in (("view", "partner"), ("partner", "view"))
            ]
            loss = -sum(cosines) / 2
        else:
            loss, _ = method.loss(found, batch, context())
        method.zero_grad()
        loss.backward()
        return float(loss.detach()), method.projector.layers[0].weight.grad.clone()

    (with_stop, kept), (without, other) = gradient(True), gradient(False)
    assert with_stop == pytest.approx(without, rel=1e-4, abs=1e-5)
    assert not torch.allclose(kept, other, rtol=1e-2)


def test_the_projector_ends_in_a_norm_and_the_predictor_does_not():
    method = build("simsiam", "resnet", norm="batch")
    assert isinstance(method.projector.layers[-1], torch.nn.BatchNorm1d)
    assert not method.projector.layers[-1].affine
    assert isinstance(method.predictor.layers[-1], torch.nn.Linear)
    assert method.predictor.layers[0].out_features == 8


def test_settings_out_of_range_are_refused():
    for settings, reason in (({"bottleneck": 0}, "bottleneck: expected at least 1"), ({"momentum": 1}, "unknown key")):
        with pytest.raises(RecipeError, match=reason):
            choose(METHOD, {"name": "simsiam", **settings})
