"""The projector's layers, shapes and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medssl.errors import RecipeError, UsageError
from medssl.heads.projector import Projector


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_shapes_and_gradients(norm: str, layers: int) -> None:
    head = Projector(6, 8, 4, layers=layers, norm=norm)
    out = head(torch.randn(5, 6))
    assert out.shape == (5, 4)
    assert sum(isinstance(m, nn.Linear) for m in head.modules()) == layers
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


def test_leading_axes_are_rows() -> None:
    head = Projector(6, 8, 4)
    x = torch.randn(2, 3, 6)
    assert torch.allclose(head(x), head(x.reshape(6, 6)).reshape(2, 3, 4), atol=1e-6)


def test_last_norm_standardizes_the_result() -> None:
    out = Projector(6, 8, 4, last_norm=True)(torch.randn(64, 6))
    assert torch.allclose(out.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(out.var(0, unbiased=False), torch.ones(4), atol=1e-2)


def test_a_single_row_is_refused_in_training_only() -> None:
    head = Projector(6, 8, 4)
    with pytest.raises(UsageError, match=r"2 or more rows in training, got 1 \[batch\]"):
        head(torch.randn(1, 6))
    assert head.eval()(torch.randn(1, 6)).shape == (1, 4)
    assert Projector(6, 8, 4, norm="layer")(torch.randn(1, 6)).shape == (1, 4)


def test_wrong_lengths_and_settings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"vectors of length 6, got \(2, 5\)"):
        Projector(6)(torch.zeros(2, 5))
    with pytest.raises(RecipeError, match="norm must be one of batch, layer, none, got 'group'"):
        Projector(6, norm="group")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="layers must be above 0, got 0"):
        Projector(6, layers=0)


@pytest.mark.parametrize(
    ("arguments", "settings", "kinds"),
    [
        ((6, 8, 4), {}, "Linear BatchNorm1d ReLU Linear"),  # SimCLR, BYOL and its predictor
        ((6, 8, 4), {"norm": "none"}, "Linear ReLU Linear"),  # MoCo v2
        (
            (6, 8, 4),
            {"layers": 3, "last_norm": True},  # SimSiam, MoCo v3
            "Linear BatchNorm1d ReLU Linear BatchNorm1d ReLU Linear BatchNorm1d",
        ),
        ((4, 8, 4), {"last_norm": True}, "Linear BatchNorm1d ReLU Linear BatchNorm1d"),  # MoCo v3's predictor
        ((6, 8, 4), {"layers": 3, "norm": "none", "activation": "gelu"}, "Linear GELU Linear GELU Linear"),  # DINO
    ],
)
def test_the_heads_of_the_papers_are_arguments(arguments, settings, kinds):
    head = Projector(*arguments, **settings)
    assert " ".join(type(part).__name__ for part in head.layers) == kinds
    last = head.layers[-1]
    if isinstance(last, torch.nn.BatchNorm1d):
        assert last.weight is None


def test_an_unknown_activation_is_refused():
    with pytest.raises(RecipeError, match="activation must be one of relu, gelu"):
        Projector(6, activation="tanh")  # type: ignore[arg-type]
