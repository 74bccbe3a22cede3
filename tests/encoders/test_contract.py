"""Every registered encoder keeps the contract."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from medssl.encoders import ENCODERS
from medssl.encoders.build import build_encoder
from medssl.encoders.contract import Encoder, Features
from medssl.errors import MedsslError, RecipeError, UsageError
from medssl.recipe import From, choose
from tests.encoders.tiny import TINY, UNUSED

NAMES = sorted(ENCODERS)
CROP = (32, 32, 32)


def tiny(name: str, in_channels: int = 1) -> Encoder:
    torch.manual_seed(0)
    return build_encoder(name, in_channels, **TINY[name])


def image(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hidden_cells(n: int, grid: int = 4, keep: int = 26, seed: int = 2) -> Tensor:
    order = torch.rand(n, grid**3, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return (order >= keep).reshape(n, grid, grid, grid)


def tensors(features: Features) -> dict[str, Tensor]:
    found = {f"level {n}": level.data for n, level in enumerate(features.pyramid)} | {"pooled": features.pooled}
    return found if features.tokens is None else found | {"tokens": features.tokens.data}


def test_tiny_settings_cover_the_registry() -> None:
    assert set(TINY) == set(ENCODERS)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_as_the_attributes_say(name: str) -> None:
    encoder = tiny(name, in_channels=2)
    features = encoder(image(2, 2, *CROP))
    assert encoder.in_channels == 2
    assert encoder.dims == 3
    assert len(features.pyramid) == len(encoder.channels) == len(encoder.strides)
    for level, channels, stride in zip(features.pyramid, encoder.channels, encoder.strides, strict=True):
        assert level.stride == stride
        assert level.data.shape == (2, channels, *(n // s for n, s in zip(CROP, stride, strict=True)))
    finest_first = [math.prod(level.data.shape[2:]) for level in features.pyramid]
    assert finest_first == sorted(finest_first, reverse=True)
    assert features.pooled.shape == (2, encoder.width)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fill", ["drop", "zero", "learned"])
def test_hidden_voxels_change_nothing(name: str, training: bool, fill: str) -> None:
    encoder = tiny(name).train(training)
    x, hidden = image(2, 1, *CROP), hidden_cells(2)
    places = hidden.repeat_interleave(8, 1).repeat_interleave(8, 2).repeat_interleave(8, 3).unsqueeze(1)
    other = torch.where(places, 1e3 * image(2, 1, *CROP, seed=3), x)
    other[0][places[0]] = float("nan")
    with torch.no_grad():
        first, second = tensors(encoder(x, hidden, fill)), tensors(encoder(other, hidden, fill))
    assert first.keys() == second.keys()
    for what, value in first.items():
        assert torch.isfinite(value).all(), what
        assert torch.equal(value, second[what]), what
    visible = torch.where(places, x, x + 1)
    with torch.no_grad():
        assert not torch.equal(first["pooled"], encoder(visible, hidden, fill).pooled)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_hidden_is_the_dense_network(name: str) -> None:
    encoder = tiny(name).eval()
    x, nothing = image(2, 1, *CROP), torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    with torch.no_grad():
        dense, masked = tensors(encoder(x)), tensors(encoder(x, nothing))
    assert dense.keys() == masked.keys()
    for what, value in dense.items():
        assert torch.allclose(value, masked[what], atol=1e-6), what


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_and_reach_every_parameter(name: str) -> None:
    encoder = tiny(name)
    sum((value.square().mean() for value in tensors(encoder(image(2, 1, *CROP))).values()), torch.zeros(())).backward()
    for key, parameter in encoder.named_parameters():
        if key in UNUSED.get(name, ()):
            assert parameter.grad is None, key
        else:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert parameter.grad.abs().max() > 0 or name == "swin", key


@pytest.mark.parametrize("name", NAMES)
def test_gradients_with_hidden_cells_are_finite_whatever_is_hidden(name: str) -> None:
    encoder = tiny(name)
    x, hidden = image(2, 1, *CROP), hidden_cells(2)
    x[hidden.repeat_interleave(8, 1).repeat_interleave(8, 2).repeat_interleave(8, 3).unsqueeze(1)] = float("nan")
    features = encoder(x, hidden, "learned")
    (features.pooled.square().sum() + sum(level.data.square().mean() for level in features.pyramid)).backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_round_trip_and_masking_leaves_its_keys(name: str) -> None:
    encoder, other = tiny(name), build_encoder(name, 1, **TINY[name])
    before = list(encoder.state_dict())
    encoder(image(2, 1, *CROP), hidden_cells(2))
    assert list(encoder.state_dict()) == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())
    other.load_state_dict(encoder.state_dict())
    x = image(1, 1, *CROP)
    with torch.no_grad():
        assert torch.equal(encoder.eval()(x).pooled, other.eval()(x).pooled)


@pytest.mark.parametrize("name", NAMES)
def test_taps_give_the_layers_asked_for(name: str) -> None:
    layer = {"vit": "blocks.0", "swin": "transformer.layers2"}.get(name, "stages.1")
    layer = f"{layer}.0" if name == "swin" else layer
    encoder = tiny(name)
    features = encoder(image(2, 1, *CROP), taps=[layer])
    assert list(features.taps) == [layer]
    assert features.taps[layer].shape[0] == 2
    with pytest.raises(UsageError, match=r"there is no layer .* to tap \[encoder\] \(close names: "):
        encoder(image(2, 1, *CROP), taps=[layer + "9"])
    assert not encoder(image(2, 1, *CROP)).taps


@pytest.mark.parametrize("name", NAMES)
def test_odd_inputs_are_refused(name: str) -> None:
    encoder = tiny(name)
    with pytest.raises(UsageError, match=r"takes \(N, 1, i, j, k\), got \(2, 3, 32, 32, 32\)"):
        encoder(image(2, 3, *CROP))
    with pytest.raises(UsageError, match="fill must be one of drop, zero, learned"):
        encoder(image(2, 1, *CROP), fill="mean")
    with pytest.raises(UsageError, match="hidden must be"):
        encoder(image(2, 1, *CROP), hidden_cells(1))
    with pytest.raises(UsageError, match="must divide the input"):
        encoder(image(2, 1, *CROP), hidden_cells(2, grid=5))
    with pytest.raises(UsageError, match="every sample needs a visible cell"):
        encoder(image(2, 1, *CROP), hidden_cells(2, keep=0))


@pytest.mark.parametrize("name", NAMES)
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"in_channels must be above 0, got 0 \[recipe-value\]"):
        build_encoder(name, 0, **TINY[name])
    with pytest.raises(RecipeError, match=r"dims must be 2 or 3, got 4 \[encoder\]"):
        build_encoder(name, 1, **{**TINY[name], "dims": 4})


@pytest.mark.parametrize("name", NAMES)
def test_two_dimensions(name: str) -> None:
    encoder = build_encoder(name, 1, **{**TINY[name], "dims": 2}).eval()
    hidden = torch.zeros(2, 4, 4, dtype=torch.bool)
    hidden[:, 1:3] = True
    x = image(2, 1, 32, 32)
    other = x.clone()
    other[:, :, 8:24] = 7
    with torch.no_grad():
        assert encoder(x).pyramid[-1].data.ndim == 4
        assert torch.equal(encoder(x, hidden).pooled, encoder(other, hidden).pooled)


@pytest.mark.parametrize("name", ["resnet", "resenc", "swin"])
def test_any_crop_size_works(name: str) -> None:
    encoder = tiny(name).eval()
    with torch.no_grad():
        features = encoder(image(1, 1, 35, 24, 41))
    for level in features.pyramid:
        assert level.data.shape[2:] == tuple(math.ceil(n / s) for n, s in zip((35, 24, 41), level.stride, strict=True))


@pytest.mark.parametrize(
    ("name", "settings", "match"),
    [
        ("resnet", {"depth": 12}, r"depth must be one of 10, 18, 34, 50, got 12"),
        ("resnet", {"norm": "layer"}, r"norm must be one of batch, instance, group"),
        ("resnet", {"widht": 8}, r"encoder.widht: resnet has no such setting \[recipe-key\] \(did you mean width\?\)"),
        ("resenc", {"blocks": (1, 1)}, r"blocks must have 6 entries, got 2"),
        ("vit", {"width": 50, "heads": 3}, r"heads must divide the width 50, got 3"),
        ("vit", {"patch": (8, 8)}, r"patch must have 3 entries"),
        ("swin", {"heads": (5, 6, 12, 24)}, r"heads must divide the stage's width 48, got 5"),
        ("swin", {"depths": (2, 2)}, r"depths must have 4 entries"),
        ("resnett", {}, r"encoder.name: must be one of .* got 'resnett' \[recipe-name\] \(did you mean resnet\?\)"),
    ],
)
def test_wrong_settings_say_what_was_expected(name: str, settings: dict[str, object], match: str) -> None:
    with pytest.raises(MedsslError, match=match):
        build_encoder(name, 1, **settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_can_say_every_setting(name: str) -> None:
    """Lists of a recipe arrive as the tuples that the signature names; wrong types are refused by name."""
    marker = From(ENCODERS, "medssl.encoders.contract:Encoder", ("in_channels",))
    plain = json.loads(json.dumps({"name": name, **TINY[name]}))
    chosen = choose(marker, plain, "recipe.yaml", "encoder")
    assert chosen.build(in_channels=1).width == tiny(name).width
    with pytest.raises(RecipeError, match=r"encoder.dims"):
        choose(marker, {**plain, "dims": "three"}, "recipe.yaml", "encoder")
