"""SparK's decoder: what it is fed, where its vectors go, and that nothing hidden reaches it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medssl.encoders.build import build_encoder
from medssl.errors import RecipeError, UsageError
from medssl.heads.spark_decoder import SparkDecoder
from tests.encoders.tiny import TINY


def hidden_cells(n: int, grid: int, keep: int) -> Tensor:
    order = torch.rand(n, grid**3, generator=torch.Generator().manual_seed(0)).argsort(1)
    return (order >= keep).reshape(n, grid, grid, grid)


@pytest.mark.parametrize("name", ["resnet", "resenc"])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_hidden_voxels_change_no_bit_of_the_rebuilt_ones(name: str, norm: str) -> None:
    encoder = build_encoder(name, 1, **TINY[name] | ({"stem_stride": 2} if name == "resnet" else {}))
    decoder = SparkDecoder(encoder.channels, encoder.strides, 2, width=16, norm=norm)
    hidden = hidden_cells(2, 4, 20)
    x = torch.randn(2, 1, 32, 32, 32)
    places = hidden.repeat_interleave(8, 1).repeat_interleave(8, 2).repeat_interleave(8, 3).unsqueeze(1)
    with torch.no_grad():
        first = decoder(encoder(x, hidden), hidden, (32, 32, 32))
        second = decoder(encoder(torch.where(places, 50 * x + 3, x), hidden), hidden, (32, 32, 32))
    assert first.shape == (2, 2, 32, 32, 32)
    assert torch.equal(first, second)


def test_gradients_reach_every_parameter_and_stop_at_unused_vectors() -> None:
    encoder = build_encoder("resnet", 1, **TINY["resnet"])
    decoder = SparkDecoder(encoder.channels, encoder.strides, width=16)
    hidden = hidden_cells(2, 4, 20)
    decoder(encoder(torch.randn(2, 1, 32, 32, 32), hidden), hidden, (32, 32, 32)).square().mean().backward()
    for key, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    # strides 2, 4, 8 are as fine as the cells of 8 voxels, 16 and 32 are coarser
    assert [bool(token.grad.abs().sum() > 0) for token in decoder.tokens] == [True, True, True, False, False]


def test_odd_sizes_and_a_matching_width() -> None:
    encoder = build_encoder("resenc", 1, **TINY["resenc"])
    decoder = SparkDecoder(encoder.channels, encoder.strides, width=32)
    assert isinstance(decoder.projections[0], torch.nn.Identity)
    hidden = torch.zeros(1, 5, 1, 1, dtype=torch.bool)
    hidden[0, 1] = True
    x = torch.randn(1, 1, 20, 12, 12)
    assert decoder(encoder(x, hidden), hidden, (20, 12, 12)).shape == x.shape


def test_what_does_not_fit_is_refused() -> None:
    single = build_encoder("resnet", 1, **TINY["resnet"])
    decoder = SparkDecoder(single.channels, single.strides, width=8, norm="instance")
    hidden = hidden_cells(2, 4, 20)
    with pytest.raises(UsageError, match="instance norm needs more than one site"):
        decoder(single(torch.randn(2, 1, 32, 32, 32), hidden), hidden, (32, 32, 32))
    with pytest.raises(RecipeError, match="norm must be one of batch, instance, none"):
        SparkDecoder([4], [(2, 2, 2)], norm="group")  # type: ignore[arg-type]
    encoder = build_encoder("resenc", 1, **TINY["resenc"])
    decoder = SparkDecoder(encoder.channels[:-1], encoder.strides[:-1], width=8)
    with pytest.raises(UsageError, match=r"levels of \(4, 8, 16\) channels got \(4, 8, 16, 32\)"):
        decoder(encoder(torch.randn(1, 1, 16, 16, 16)), hidden_cells(1, 4, 8), (16, 16, 16))
