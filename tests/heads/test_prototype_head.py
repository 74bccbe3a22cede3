"""DINO's head: its layers, its start, its bottleneck, its prototypes and their freezing."""

import copy

import pytest
import torch
from torch import nn

from medssl.errors import RecipeError
from medssl.heads.prototype_head import PrototypeHead


def head(**settings):
    torch.manual_seed(0)
    return PrototypeHead(6, 10, hidden=8, bottleneck=4, **settings)


def test_has_the_layers_and_the_start_of_the_paper():
    made = head()
    kinds = [type(part).__name__ for part in made.projector.layers]
    assert kinds == ["Linear", "GELU", "Linear", "GELU", "Linear"]
    for part in made.projector.layers[::2]:
        assert (part.bias == 0).all()
        assert float(part.weight.detach().std()) == pytest.approx(0.02, rel=0.5)
    assert made.prototypes.weight.shape == (10, 4)


def test_is_the_formula():
    made, x = head(), torch.randn(5, 6)
    z = made.projector(x)
    expected = nn.functional.normalize(z, dim=1) @ nn.functional.normalize(made.prototypes.weight, dim=1).T
    torch.testing.assert_close(made(x), expected)
    assert made(x).abs().max() <= 1 + 1e-6


def test_takes_tokens():
    x = torch.randn(2, 3, 6)
    made = head()
    torch.testing.assert_close(made(x)[1], made(x[1]))


def test_prototypes_are_frozen_for_the_first_steps():
    made = head(freeze_steps=2)
    made(torch.randn(5, 6), step=1).square().sum().backward()
    assert (made.prototypes.weight.grad == 0).all()
    assert made.projector.layers[0].weight.grad.abs().sum() > 0


def test_swavs_head_is_arguments():
    made = head(layers=2, norm="batch", unit="after_step")
    assert [type(part).__name__ for part in made.projector.layers] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert made.prototypes.unit == "after_step"


def test_a_copy_with_its_state_is_the_same_bit_for_bit():
    made, other = head(), PrototypeHead(6, 10, hidden=8, bottleneck=4)
    other.load_state_dict(copy.deepcopy(made.state_dict()))
    x = torch.randn(5, 6)
    assert torch.equal(made(x), other(x))


def test_settings_out_of_range_are_refused():
    with pytest.raises(RecipeError, match="prototypes must be above 0"):
        PrototypeHead(6, 0)
