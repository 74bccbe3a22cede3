"""Features at voxels against the definition of trilinear interpolation, and encoders that stay as they were."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from medssl.encoders.resenc import ResEnc
from medssl.encoders.vit import ViT
from medssl.errors import UsageError
from medssl.evaluation.probe_features import at_voxels, pooled_features, voxel_features
from medssl.evaluation.probe_norms import settle

SMALL = {"widths": (4, 6), "blocks": (1, 1), "strides": (1, 2)}


def interpolated(data: np.ndarray, place: np.ndarray, image: tuple[int, ...]) -> np.ndarray:
    """The definition: weights of the eight nearest voxel centres, indices clipped to the map."""
    shape = data.shape[1:]
    at = (place + 0.5) * np.array(shape) / np.array(image) - 0.5
    low = np.floor(at).astype(int)
    total = np.zeros(data.shape[0])
    for corner in itertools.product((0, 1), repeat=3):
        index = np.clip(low + corner, 0, np.array(shape) - 1)
        weight = np.prod(np.where(np.array(corner) == 1, at - low, 1 - (at - low)))
        total += weight * data[(slice(None), *index)]
    return total


def test_it_is_the_definition() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 3, 4, 2, 5))
    image = (8, 6, 10)
    places = rng.integers(0, image, (2, 9, 3))
    found = at_voxels(torch.from_numpy(data), torch.from_numpy(places), image).numpy()
    for n, v in itertools.product(range(2), range(9)):
        assert found[n, v] == pytest.approx(interpolated(data[n], places[n, v], image), abs=1e-10)


def test_voxel_features_are_all_levels_in_the_order_of_the_places() -> None:
    encoder = ResEnc(**SMALL).eval()
    images, places = torch.rand(5, 1, 8, 8, 8), np.random.default_rng(0).integers(0, 8, (5, 3, 3))
    found = voxel_features(encoder, images, places, batch=2)
    assert found.shape == (15, 10)
    with torch.no_grad():
        maps = [level.data for level in encoder(images).pyramid]
    # the finest level has a voxel for every voxel
    for n, v in itertools.product(range(5), range(3)):
        assert found[3 * n + v, :4] == pytest.approx(maps[0][n][(slice(None), *places[n, v])].numpy(), abs=1e-5)
    assert found[:3, 4:] == pytest.approx(at_voxels(maps[1], torch.from_numpy(places), (8, 8, 8))[0].numpy(), abs=1e-5)


def test_an_encoder_stays_in_its_mode_and_unchanged() -> None:
    encoder = ResEnc(**SMALL, norm="batch").train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    images = torch.rand(4, 1, 8, 8, 8)
    found = pooled_features(encoder, images, batch=3)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert found == pytest.approx(encoder.eval()(images).pooled.detach().numpy(), abs=1e-6)


def test_tokens_have_a_pyramid_and_what_has_none_is_refused() -> None:
    images, places = torch.rand(2, 1, 8, 8, 8), np.zeros((2, 1, 3), dtype=np.int64)
    encoder = ViT(patch=4, width=12, depth=1, heads=2)
    assert voxel_features(encoder, images, places).shape == (2, 12)

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            features = encoder(x)
            features.pyramid = []
            return features

    with pytest.raises(UsageError, match="encoder with a pyramid"):
        voxel_features(Bare(), images, places)


def test_settled_norms_give_the_statistics_of_the_images() -> None:
    encoder = ResEnc(**SMALL, norm="batch").eval()
    images = 5 + 3 * torch.rand(6, 1, 8, 8, 8)
    weights = {name: value.clone() for name, value in encoder.named_parameters()}
    count = settle(encoder, images, batch=6)
    assert count == sum(isinstance(m, nn.BatchNorm3d) for m in encoder.modules()) > 0
    first = encoder.stem[0](images).detach()
    assert encoder.stem[1].running_mean.numpy() == pytest.approx(first.mean((0, 2, 3, 4)).numpy(), rel=1e-4)
    assert encoder.stem[1].momentum == 0.1
    assert not encoder.training
    assert all(torch.equal(value, weights[name]) for name, value in encoder.named_parameters())
    # two equal halves have the mean of their statistics
    settle(encoder, images, batch=3)
    assert encoder.stem[1].running_mean.numpy() == pytest.approx(first.mean((0, 2, 3, 4)).numpy(), rel=1e-4)
    assert settle(ResEnc(**SMALL), images) == 0
