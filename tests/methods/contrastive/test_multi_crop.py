"""Multi-crop: sizes, places, what an encoder cannot take, and which rows belong together."""

import pytest
import torch

from medssl.encoders.build import build_encoder
from medssl.errors import RecipeError, UsageError
from medssl.methods.contrastive.multi_crop import Crops, by_sample, multi_crop
from medssl.views.crops.anisotropic import Anisotropic
from medssl.views.crops.overlapping import Overlapping
from medssl.views.settings import ViewSettings
from tests.methods.tiny import ENCODERS


def encoder(name="resnet", **settings):
    return build_encoder(name, 1, **{**ENCODERS[name], **settings})


def test_anisotropic_views_are_those_of_3dino():
    roles = multi_crop(ViewSettings(crop=(32, 32, 16), flip=(0.0, 0.5, 0.5), augment=("noise",)), Crops(), encoder())
    assert {name: role.count for name, role in roles.items()} == {"view": 1, "partner": 1, "local": 8}
    assert roles["view"].crop == roles["partner"].crop == Anisotropic((32, 32, 16), (0.48, 1.0), length=(0.5, 1.0))
    assert roles["local"].crop == Anisotropic((16, 16, 8), (0.16, 0.48), length=(0.2, 0.5))
    for role in roles.values():
        assert len(role.augment) == 1
        assert role.spatial.flip == (0.0, 0.5, 0.5)


def test_overlapping_views_lie_around_the_first():
    settings = ViewSettings(crop=(32, 32, 32), scale=(0.8, 1.2))
    roles = multi_crop(settings, Crops(locals=3, policy="overlapping", overlap=0.7), encoder())
    assert roles["view"].crop.scale == (0.8, 1.2)
    assert roles["partner"].crop == Overlapping("view", (32, 32, 32), 0.7, (0.8, 1.2))
    assert roles["local"].crop == Overlapping("view", (16, 16, 16), 0.7, (0.8, 1.2))
    assert roles["local"].count == 3


def test_without_small_views_there_is_no_role_for_them():
    assert list(multi_crop(ViewSettings(crop=(32, 32, 32)), Crops(locals=0), encoder())) == ["view", "partner"]


def test_a_zoom_beside_shares_of_the_body_is_refused():
    settings = ViewSettings(crop=(32, 32, 32), scale=(0.8, 1.0))
    with pytest.raises(RecipeError, match=r"views.scale: expected \[1.0, 1.0\] beside anisotropic crops"):
        multi_crop(settings, Crops(), encoder())


@pytest.mark.parametrize("name", ["area", "length", "local_area", "local_length"])
def test_falling_shares_are_refused(name):
    with pytest.raises(RecipeError, match=rf"{name}: expected two rising shares, got \[0.5, 0.2\]"):
        Crops(**{name: (0.5, 0.2)})


@pytest.mark.parametrize(
    ("name", "settings", "edge", "fits"),
    [
        ("vit", {"patch": 8}, 32, True),
        ("vit", {"patch": 16}, 16, False),
        ("resenc", {"norm": "instance"}, 16, True),
        ("resenc", {"norm": "instance"}, 8, False),
        ("resenc", {"norm": "group"}, 8, True),
        ("resnet", {"norm": "instance"}, 16, False),
        ("resnet", {"norm": "batch"}, 16, True),
        ("swin", {}, 16, True),
    ],
)
def test_an_encoder_takes_half_the_size_or_is_refused_before_training(name, settings, edge, fits):
    network = encoder(name, **settings)
    asked = ViewSettings(crop=(edge,) * 3)
    if fits:
        roles = multi_crop(asked, Crops(locals=1), network)
        assert network(torch.randn(2, 1, *roles["local"].crop.shape)).pooled.isfinite().all()
        return
    with pytest.raises(RecipeError, match=r"views.crop: a local view, half of views.crop,"):
        multi_crop(asked, Crops(locals=1), network)
    assert "local" not in multi_crop(asked, Crops(locals=0), network)


def test_rows_of_a_sample_stand_together_whatever_their_order():
    rows = torch.arange(6.0)[:, None]
    first, second = by_sample(rows, torch.tensor([2, 0, 1, 1, 2, 0]), 3)
    assert first.flatten().tolist() == [1, 2, 0]
    assert second.flatten().tolist() == [5, 3, 4]
    assert by_sample(rows[:0], torch.empty(0, dtype=torch.int64), 3) == []


def test_ragged_views_are_refused():
    with pytest.raises(UsageError, match=r"expected as many views of each of 2 samples, got 4 in all.*\[batch\]"):
        by_sample(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]), 2)
