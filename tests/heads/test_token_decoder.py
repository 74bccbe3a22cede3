"""The masked autoencoder's decoder: places, mask tokens, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medssl.encoders.build import build_encoder
from medssl.encoders.patches import from_patches
from medssl.encoders.vit import ViT
from medssl.errors import RecipeError, UsageError
from medssl.heads.token_decoder import TokenDecoder
from tests.encoders.tiny import TINY


def hidden_cells(n: int, keep: int = 16) -> Tensor:
    order = torch.rand(n, 64, generator=torch.Generator().manual_seed(0)).argsort(1)
    return (order >= keep).reshape(n, 4, 4, 4)


def test_visible_tokens_come_back_as_voxels_of_every_patch() -> None:
    encoder = build_encoder("vit", 2, **TINY["vit"])
    decoder = TokenDecoder(48, (8, 8, 8), 2, width=24, depth=1, heads=2)
    features = encoder(torch.randn(2, 2, 32, 32, 32), hidden_cells(2))
    assert features.pyramid == []
    assert features.tokens is not None
    assert features.tokens.data.shape == (2, 16, 48)
    rows = decoder(features.tokens)
    assert rows.shape == (2, 64, 2 * 8**3)
    assert from_patches(rows, features.tokens.grid, (8, 8, 8)).shape == (2, 2, 32, 32, 32)
    rows.square().mean().backward()
    for key, parameter in [*encoder.named_parameters(), *decoder.named_parameters()]:
        if key == "mask_token" and parameter is encoder.mask_token:
            continue
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


def test_tokens_land_at_their_index() -> None:
    """Without blocks each row depends on its own token and place only."""
    encoder = build_encoder("vit", 1, **TINY["vit"])
    decoder = TokenDecoder(48, (8, 8, 8), width=24, depth=1, heads=2)
    decoder.blocks = torch.nn.ModuleList()
    hidden = hidden_cells(1)
    tokens = encoder(torch.randn(1, 1, 32, 32, 32), hidden).tokens
    first = decoder(tokens)
    tokens.data = tokens.data + torch.randn_like(tokens.data)
    changed = (decoder(tokens) != first).any(-1)
    assert torch.equal(changed, ~hidden.flatten(1))


def test_order_of_the_visible_tokens_does_not_matter() -> None:
    encoder = build_encoder("vit", 1, **TINY["vit"])
    decoder = TokenDecoder(48, (8, 8, 8), width=24, depth=2, heads=2)
    tokens = encoder(torch.randn(1, 1, 32, 32, 32), hidden_cells(1)).tokens
    first = decoder(tokens)
    order = torch.randperm(16)
    tokens.data, tokens.index = tokens.data[:, order], tokens.index[:, order]
    assert torch.allclose(first, decoder(tokens), atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    encoder = ViT(patch=8, width=12, depth=1, heads=1)
    decoder = TokenDecoder(48, (8, 8, 8), width=24, depth=1, heads=2)
    with pytest.raises(UsageError, match="expected tokens of length 48"):
        decoder(encoder(torch.zeros(1, 1, 8, 8, 8)).tokens)
    with pytest.raises(RecipeError, match="heads must divide the width 24, got 5"):
        TokenDecoder(48, (8, 8, 8), width=24, heads=5)
