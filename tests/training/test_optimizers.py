"""Optimizers against loops over plain numbers."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from medssl.training.optimizers import LAMB, LARS, Optim, make_optimizer, rate, set_rate

GRADS = [torch.tensor([[0.5, -1.0], [2.0, 0.25]]), torch.tensor([[-0.5, 1.0], [1.0, 0.5]])]


def _stepped(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> list[list[float]]:
    for grad in GRADS:
        weight.grad = grad.reshape(weight.shape).clone()
        optimizer.step()
    return weight.detach().double().reshape(-1).tolist()


def _norm(values: list[float]) -> float:
    return math.sqrt(sum(v * v for v in values))


def test_lars_against_a_loop() -> None:
    weight = nn.Parameter(torch.tensor([[1.0, 2.0], [-3.0, 0.5]]))
    got = _stepped(LARS([weight], lr=0.1, weight_decay=0.01, momentum=0.9, trust=0.02), weight)
    w, moved = [1.0, 2.0, -3.0, 0.5], [0.0] * 4
    for grad in GRADS:
        change = [g + 0.01 * v for g, v in zip(grad.reshape(-1).tolist(), w, strict=True)]
        ratio = 0.02 * _norm(w) / _norm(change)
        moved = [0.9 * m + ratio * c for m, c in zip(moved, change, strict=True)]
        w = [v - 0.1 * m for v, m in zip(w, moved, strict=True)]
    assert got == pytest.approx(w, rel=1e-6)


def test_lars_moves_vectors_as_sgd_does() -> None:
    ours, theirs = (nn.Parameter(torch.tensor([1.0, 2.0, -3.0, 0.5])) for _ in range(2))
    got = _stepped(LARS([ours], lr=0.1, weight_decay=0.0), ours)
    assert got == pytest.approx(_stepped(torch.optim.SGD([theirs], lr=0.1, momentum=0.9), theirs), rel=1e-6)


def test_lamb_against_a_loop() -> None:
    weight = nn.Parameter(torch.tensor([[1.0, 2.0], [-3.0, 0.5]]))
    got = _stepped(LAMB([weight], lr=0.1, weight_decay=0.01, betas=(0.9, 0.95)), weight)
    w, first, second = [1.0, 2.0, -3.0, 0.5], [0.0] * 4, [0.0] * 4
    for count, grad in enumerate(GRADS, start=1):
        g = grad.reshape(-1).tolist()
        first = [0.9 * m + 0.1 * x for m, x in zip(first, g, strict=True)]
        second = [0.95 * v + 0.05 * x * x for v, x in zip(second, g, strict=True)]
        change = [
            m / (1 - 0.9**count) / (math.sqrt(v / (1 - 0.95**count)) + 1e-6) + 0.01 * x
            for m, v, x in zip(first, second, w, strict=True)
        ]
        ratio = _norm(w) / _norm(change)
        w = [x - 0.1 * ratio * c for x, c in zip(w, change, strict=True)]
    assert got == pytest.approx(w, rel=1e-5)


@pytest.mark.parametrize("kind", [LARS, LAMB])
def test_weights_of_zero_move_at_all(kind: type[torch.optim.Optimizer]) -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    got = _stepped(kind([weight], lr=0.1), weight)
    assert all(v != 0 and math.isfinite(v) for v in got)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars", "lamb"])
def test_every_optimizer_lowers_a_bowl(name: str) -> None:
    weight = nn.Parameter(torch.full((3, 3), 2.0))
    lr = {"lars": 20.0, "sgd": 0.05}.get(name, 0.2)
    optimizer = make_optimizer(Optim(name=name, lr=lr, weight_decay=0.0), [{"params": [weight]}])  # type: ignore[arg-type]
    for _ in range(40):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    assert float((weight.detach() ** 2).sum()) < 4.0


def test_rate_is_linear_then_a_cosine_to_zero() -> None:
    assert [rate(s, 100, 10) for s in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]
    assert rate(55, 100, 10) == pytest.approx(0.5)
    assert rate(100, 100, 10) == 0.0


def test_a_group_may_scale_its_rate_and_empty_groups_go() -> None:
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer(Optim(), [{"params": [a], "lr_scale": 0.1}, {"params": [b]}, {"params": []}])
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.5]


def test_state_goes_through_a_state_dict() -> None:
    a = nn.Parameter(torch.tensor([[1.0, 2.0], [-3.0, 0.5]]))
    first = LAMB([a], lr=0.1)
    a.grad = GRADS[0].clone()
    first.step()
    b = nn.Parameter(a.detach().clone())
    second = LAMB([b], lr=0.1)
    second.load_state_dict(deepcopy(first.state_dict()))
    for weight, optimizer in ((a, first), (b, second)):
        weight.grad = GRADS[1].clone()
        optimizer.step()
    assert torch.equal(a, b)


def test_weight_decay_moves_by_a_cosine_where_a_group_has_none_of_its_own() -> None:
    a, b = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optim = Optim(weight_decay=0.04, weight_decay_end=0.4)
    optimizer = make_optimizer(optim, [{"params": [a]}, {"params": [b], "weight_decay": 0.0}])
    for progress, wanted in ((0.0, 0.04), (0.25, 0.4 - 0.36 * 0.5 * (1 + math.sqrt(0.5))), (0.5, 0.22), (1.0, 0.4)):
        set_rate(optimizer, 0.1, optim.decay(progress))
        assert [group["weight_decay"] for group in optimizer.param_groups] == [pytest.approx(wanted), 0.0]
    assert Optim(weight_decay=0.05).decay(0.7) == pytest.approx(0.05)
