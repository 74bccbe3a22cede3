"""Tokens of the vision transformer: places, index, cells coarser than patches."""

from __future__ import annotations

import pytest
import torch

from medssl.encoders.transformer import grid_places, sine_cosine
from medssl.encoders.vit import ViT
from medssl.errors import RecipeError, UsageError


def vit(patch: int | tuple[int, ...] = 8) -> ViT:
    return ViT(patch=patch, width=24, depth=1, heads=2).eval()


def test_places_are_the_centres_of_patches_in_voxels() -> None:
    tokens = vit((8, 4, 4))(torch.zeros(1, 1, 16, 8, 8)).tokens
    assert tokens.grid == (2, 2, 2)
    assert tokens.place[0, 0].tolist() == [3.5, 1.5, 1.5]
    assert tokens.place[0, 7].tolist() == [11.5, 5.5, 5.5]
    assert tokens.index.tolist() == [list(range(8))]


def test_visible_tokens_keep_their_place_and_index() -> None:
    hidden = torch.ones(1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 1, 0, 1] = False
    tokens = vit()(torch.randn(1, 1, 16, 16, 16), hidden).tokens
    assert tokens.index.tolist() == [[5]]
    assert tokens.place.tolist() == [[[11.5, 3.5, 11.5]]]


def test_cells_of_several_patches() -> None:
    hidden = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    hidden[:, 0] = True
    features = vit(4)(torch.randn(2, 1, 16, 16, 16), hidden)
    assert features.tokens.index.tolist() == [list(range(32, 64))] * 2


def test_pooled_is_the_mean_over_visible_tokens() -> None:
    hidden = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 0] = True
    features = vit()(torch.randn(1, 1, 16, 16, 16), hidden, "learned")
    assert torch.allclose(features.pooled, features.pyramid[0].data[:, :, 1].flatten(2).mean(2), atol=1e-6)


def test_fills_differ() -> None:
    hidden = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 0] = True
    encoder, x = vit(), torch.randn(1, 1, 16, 16, 16)
    pooled = [encoder(x, hidden, fill).pooled for fill in ("drop", "zero", "learned")]
    assert not torch.allclose(pooled[0], pooled[1])
    assert not torch.allclose(pooled[1], pooled[2], atol=1e-7)


def test_other_crop_sizes_have_positions_of_their_own() -> None:
    encoder = vit()
    assert encoder(torch.zeros(1, 1, 24, 8, 40)).pyramid[0].data.shape == (1, 24, 3, 1, 5)
    places = grid_places((6, 7, 8), torch.device("cpu"))
    waves = sine_cosine(places, 24)
    assert len(torch.unique(waves, dim=0)) == 6 * 7 * 8
    assert torch.equal(sine_cosine(places[40:50], 24), waves[40:50])
    assert (sine_cosine(places, 27)[:, 24:] == 0).all()


def test_what_does_not_fit_is_refused() -> None:
    uneven = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    uneven[0, 0] = True
    with pytest.raises(UsageError, match=r"same number of visible tokens to drop the others, got \[4, 8\]"):
        vit()(torch.zeros(2, 1, 16, 16, 16), uneven)
    with pytest.raises(UsageError, match=r"patches \(8, 8, 8\) must divide the input \(16, 12, 16\)"):
        vit()(torch.zeros(1, 1, 16, 12, 16))
    with pytest.raises(UsageError, match="a cell is a whole number of patches"):
        vit()(torch.zeros(2, 1, 16, 16, 16), torch.zeros(2, 4, 4, 4, dtype=torch.bool))
    with pytest.raises(RecipeError, match="width must be 6 or more to hold positions, got 4"):
        ViT(width=4, heads=1)
