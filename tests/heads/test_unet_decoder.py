"""The U-Net decoder on every registered encoder, and on strides of all kinds."""

from __future__ import annotations

import pytest
import torch

from medssl.encoders import ENCODERS
from medssl.encoders.build import build_encoder
from medssl.encoders.contract import FeatureMap, Features
from medssl.errors import RecipeError, UsageError
from medssl.heads.unet_decoder import UNetDecoder
from medssl.heads.upsampling import steps_between
from tests.encoders.tiny import TINY


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_full_resolution_from_every_encoder(name: str) -> None:
    encoder = build_encoder(name, 1, **TINY[name])
    decoder = UNetDecoder(encoder.channels, encoder.strides, 1, 5, width=2)
    x = torch.randn(2, 1, 32, 32, 32)
    out = decoder(encoder(x), x)
    assert out.shape == (2, 5, 32, 32, 32)
    out.square().mean().backward()
    for key, parameter in decoder.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


@pytest.mark.parametrize(
    "strides",
    [[(1, 1, 1)], [(4, 4, 2)], [(2, 2, 1), (4, 4, 1), (12, 4, 4)], [(2, 2, 2), (2, 2, 2), (6, 6, 6)]],
)
@pytest.mark.parametrize("crop", [(24, 24, 16), (23, 19, 13)])
def test_any_strides_and_odd_sizes(strides: list[tuple[int, ...]], crop: tuple[int, ...]) -> None:
    channels = list(range(3, 3 + len(strides)))
    levels = [
        FeatureMap(torch.randn(2, c, *(-(-n // s) for n, s in zip(crop, stride, strict=True))), stride)
        for c, stride in zip(channels, strides, strict=True)
    ]
    image = torch.randn(2, 2, *crop)
    decoder = UNetDecoder(channels, strides, 2, 4, width=2)
    assert decoder(Features(levels, torch.zeros(2, 1)), image).shape == (2, 4, *crop)


def test_two_dimensions() -> None:
    decoder = UNetDecoder([4], [(4, 4)], 1, 2, width=2)
    image = torch.randn(1, 1, 16, 16)
    assert decoder(Features([FeatureMap(torch.randn(1, 4, 4, 4), (4, 4))], torch.zeros(1, 4)), image).shape[1:] == (
        2,
        16,
        16,
    )


def test_the_image_itself_reaches_the_result() -> None:
    decoder = UNetDecoder([4], [(4, 4, 4)], 1, 2, width=2).eval()
    features = Features([FeatureMap(torch.randn(1, 4, 4, 4, 4), (4, 4, 4))], torch.zeros(1, 4))
    image = torch.randn(1, 1, 16, 16, 16)
    assert not torch.allclose(decoder(features, image), decoder(features, image.flip(2)))


def test_steps_are_small_factors() -> None:
    assert steps_between((16, 16, 16), (1, 1, 1)) == [(2, 2, 2)] * 4
    assert steps_between((12, 4, 1), (2, 2, 1)) == [(2, 2, 1), (3, 1, 1)]
    assert steps_between((35, 1, 1), (1, 1, 1)) == [(5, 1, 1), (7, 1, 1)]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot go from stride \(3, 3, 3\) to \(2, 2, 2\)"):
        UNetDecoder([2, 4], [(2, 2, 2), (3, 3, 3)], 1, 2)
    with pytest.raises(RecipeError, match="levels must be above 0"):
        UNetDecoder([], [], 1, 2)
    with pytest.raises(UsageError, match=r"levels of \(4,\) channels got \(\) .*drops hidden tokens"):
        UNetDecoder([4], [(4, 4, 4)], 1, 2)(Features([], torch.zeros(1, 4)), torch.zeros(1, 1, 8, 8, 8))


def test_a_level_of_one_site_is_refused_by_name():
    decoder = UNetDecoder((4, 8, 8), ((4,) * 3, (8,) * 3, (16,) * 3), 1, 1, 4)
    maps = [FeatureMap(torch.zeros(1, c, n, n, n), (s,) * 3) for c, n, s in ((4, 2, 4), (8, 1, 8), (8, 1, 16))]
    features = Features(maps, torch.zeros(1, 8))
    with pytest.raises(UsageError, match=r"more than one site at every level but the coarsest \[encoder\]"):
        decoder(features, torch.zeros(1, 1, 8, 8, 8))
