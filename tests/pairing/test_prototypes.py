"""Prototypes keep length one in either of two ways, and stay where they are while they are frozen."""

import io

import pytest
import torch

from medssl.errors import RecipeError
from medssl.pairing.prototypes import Prototypes
from tests.pairing.vectors import units


def layer(**settings):
    torch.manual_seed(0)
    return Prototypes(8, 5, **settings)


def step(prototypes, at, optimizer, x):
    optimizer.zero_grad()
    prototypes(x, at).square().sum().neg().backward()
    optimizer.step()
    prototypes.after_step(at + 1)


@pytest.mark.parametrize("unit", ["forward", "after_step"])
def test_gives_cosines(unit):
    prototypes, x = layer(unit=unit), units(6) * 3
    torch.testing.assert_close(prototypes(x), torch.cosine_similarity(x[:, None], prototypes.weight[None], dim=-1))
    assert prototypes(x.half()).dtype == torch.float32
    assert prototypes(x.reshape(2, 3, 8)).shape == (2, 3, 5)


def test_in_the_forward_pass_length_changes_nothing_and_the_gradient_is_across():
    prototypes, x = layer(), units(6)
    before = prototypes(x)
    with torch.no_grad():
        prototypes.weight.mul_(torch.arange(1.0, 6.0)[:, None])
    torch.testing.assert_close(prototypes(x), before)
    prototypes(x).square().sum().backward()
    along = (prototypes.weight * prototypes.weight.grad).sum(1)
    torch.testing.assert_close(along, torch.zeros(5), atol=1e-5, rtol=0)


def test_after_a_step_rows_have_length_one():
    prototypes = layer(unit="after_step")
    optimizer = torch.optim.SGD(prototypes.parameters(), lr=0.5)
    for at in range(3):
        step(prototypes, at, optimizer, units(6))
        torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("unit", ["forward", "after_step"])
def test_frozen_ones_keep_their_directions_in_spite_of_weight_decay(unit):
    prototypes = layer(unit=unit, freeze_steps=3)
    before = prototypes.weight.detach().clone()
    optimizer = torch.optim.AdamW(prototypes.parameters(), lr=0.1, weight_decay=0.5)
    for at in range(3):
        step(prototypes, at, optimizer, units(6))
        assert prototypes.weight.grad is not None  # processes wait for it
        torch.testing.assert_close(prototypes.weight.detach(), before)
    step(prototypes, 3, optimizer, units(6))
    assert (torch.cosine_similarity(prototypes.weight, before, dim=1) < 0.9999).all()


def test_frozen_ones_pass_the_gradient_on_to_the_vectors():
    prototypes, x = layer(freeze_steps=2), units(6).requires_grad_()
    prototypes(x, 0).square().sum().backward()
    frozen, x.grad = x.grad, None
    assert (prototypes.weight.grad == 0).all()
    prototypes(x, 2).square().sum().backward()
    assert torch.equal(frozen, x.grad)
    assert (prototypes.weight.grad != 0).any()


def test_a_saved_layer_is_the_same_bit_for_bit():
    prototypes, file = layer(), io.BytesIO()
    torch.save(prototypes.state_dict(), file)
    file.seek(0)
    other = Prototypes(8, 5)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(units(4)), prototypes(units(4)))


def test_settings_out_of_range_are_refused():
    with pytest.raises(RecipeError, match="count must be above 0"):
        Prototypes(4, 0)
    with pytest.raises(RecipeError, match="unit must be one of"):
        Prototypes(4, 2, unit="never")  # type: ignore[arg-type]
