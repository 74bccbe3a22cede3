"""Networks of the user's own behind the contract."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medssl.encoders.contract import FeatureMap, Features
from medssl.encoders.resnet import ResNet
from medssl.encoders.wrap import as_encoder
from medssl.errors import RecipeError, UsageError

CROP = (16, 16, 16)


class Levels(nn.Module):
    """Two maps, coarsest first, and a vector if asked for."""

    def __init__(self, vector: bool = False) -> None:
        super().__init__()
        self.vector = vector
        self.fine = nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU())
        self.coarse = nn.Conv3d(4, 6, 3, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps at strides 2 and 1, and the mean."""
        fine = self.fine(x)
        coarse = self.coarse(fine)
        return [coarse, fine, fine.mean((2, 3, 4))] if self.vector else [coarse, fine]


class Given(nn.Module):
    """Gives what it was given."""

    def __init__(self, out: object) -> None:
        super().__init__()
        self.out = out

    def forward(self, x: Tensor) -> object:
        """Whatever came."""
        return self.out


def test_levels_are_found_and_sorted() -> None:
    module = Levels().train()
    encoder = as_encoder(module, 2, CROP)
    assert encoder.channels == (4, 6)
    assert encoder.strides == ((1, 1, 1), (2, 2, 2))
    assert (encoder.width, encoder.masking, encoder.in_channels) == (6, "erase", 2)
    assert module.training
    assert int(module.fine[1].num_batches_tracked) == 0
    features = encoder(torch.randn(2, 2, *CROP), taps=["module.fine.0"])
    assert [tuple(level.data.shape[1:]) for level in features.pyramid] == [(4, 16, 16, 16), (6, 8, 8, 8)]
    assert features.taps["module.fine.0"].shape == (2, 4, *CROP)


def test_hidden_voxels_change_nothing() -> None:
    encoder = as_encoder(Levels(), 2, CROP)
    hidden = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    hidden[:, :2] = True
    x = torch.randn(2, 2, *CROP)
    other = x.clone()
    other[:, :, :8] = 5
    first, second = encoder(x, hidden), encoder(other, hidden)
    assert torch.equal(first.pooled, second.pooled)
    for a, b in zip(first.pyramid, second.pyramid, strict=True):
        assert torch.equal(a.data, b.data)
        assert (a.data[:, :, : a.data.shape[2] // 2] == 0).all()


def test_a_vector_of_its_own_is_the_pooled_one() -> None:
    encoder = as_encoder(Levels(vector=True), 2, CROP)
    assert encoder.width == 4
    hidden = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 0] = True
    assert encoder(torch.randn(1, 2, *CROP), hidden).pooled.shape == (1, 4)


def test_a_network_of_vectors_has_an_empty_pyramid() -> None:
    encoder = as_encoder(nn.Sequential(nn.Flatten(), nn.Linear(16**3, 5)), 1, CROP)
    assert (encoder.channels, encoder.strides, encoder.width) == ((), (), 5)
    assert encoder(torch.zeros(3, 1, *CROP)).pooled.shape == (3, 5)
    with pytest.raises(UsageError, match="no learned vector"):
        encoder(torch.zeros(1, 1, *CROP), torch.zeros(1, 2, 2, 2, dtype=torch.bool), "learned")


def test_features_and_encoders_pass_through() -> None:
    data = torch.zeros(2, 3, 8, 8, 8)
    encoder = as_encoder(Given(Features([FeatureMap(data, (2, 2, 2))], torch.zeros(2, 3))), 1, CROP)
    assert encoder.strides == ((2, 2, 2),)
    own = ResNet(depth=10, width=4)
    assert as_encoder(own, 1, CROP) is own


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (nn.Conv3d(3, 4, 3), "Conv3d fails on zeros of shape"),
        (nn.Conv3d(1, 4, 4), r"no whole stride in an input of \(16, 16, 16\)"),
        (nn.Flatten(2), r"got a tensor \(2, 1, 4096\)"),
        (Given("text"), "got str"),
        (Given([torch.zeros(2, 3), torch.zeros(2, 3)]), "at most one vector"),
        (Given(torch.zeros(1, 3)), "keep samples apart"),
    ],
)
def test_what_cannot_be_carried_is_refused(module: nn.Module, match: str) -> None:
    with pytest.raises(RecipeError, match=match) as caught:
        as_encoder(module, 1, CROP)
    assert caught.value.code == "encoder"
