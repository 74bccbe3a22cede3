"""SparK and MAE: what leaks, what counts, and what is shown."""

import pytest
import torch

from medssl.encoders.build import build_encoder
from medssl.errors import UsageError
from medssl.methods.masked.mae import MAE
from medssl.methods.masked.spark import SparK
from medssl.objectives.reconstruction import normalized_target, to_voxels
from medssl.views.settings import ViewSettings
from tests.methods.tiny import ENCODERS, batch_for, build, context

MASKED = [("spark", "resnet"), ("spark", "resenc"), ("mae", "vit")]


def hidden_of(views):
    return to_voxels(views.hidden[0], tuple(views.image.shape[2:]))


@pytest.mark.parametrize(("name", "encoder"), MASKED)
def test_hidden_voxels_change_nothing_that_is_rebuilt(name, encoder):
    method = build(name, encoder)
    batch = batch_for(method, name)
    views = batch["view"]
    before = method.encode(batch, context())["rebuilt"]
    views.image = torch.where(hidden_of(views), torch.randn_like(views.image), views.image)
    assert torch.equal(method.encode(batch, context())["rebuilt"], before)
    views.image = torch.where(hidden_of(views), views.image, torch.randn_like(views.image))
    assert not torch.equal(method.encode(batch, context())["rebuilt"], before)


@pytest.mark.parametrize(("name", "encoder"), MASKED)
@pytest.mark.parametrize("normalize", [True, False])
def test_loss_is_the_error_of_hidden_voxels_inside_the_scan(name, encoder, normalize):
    method = build(name, encoder, normalize_target=normalize)
    batch = batch_for(method, name)
    views = batch["view"]
    views.valid[:, :, 11:] = False
    rebuilt = torch.randn(views.image.shape)
    loss, logs = method.loss({"rebuilt": rebuilt}, batch, context())
    counted = hidden_of(views) & views.valid
    target = views.image
    if normalize:
        cells = views.cells_shape if name == "spark" else (4, 4, 4)
        target = normalized_target(target, cells, views.valid)
    torch.testing.assert_close(loss, (rebuilt - target)[counted].square().mean())
    assert int(logs["rebuilt_voxels"]) == int(counted.sum())
    views.image = torch.where(views.valid, views.image, 1e6)
    torch.testing.assert_close(method.loss({"rebuilt": rebuilt}, batch, context())[0], loss)


@pytest.mark.parametrize(("name", "encoder"), MASKED)
def test_nothing_to_rebuild_is_zero(name, encoder):
    method = build(name, encoder)
    batch = batch_for(method, name)
    batch["view"].valid[:] = False
    loss, _ = method.loss(method.encode(batch, context()), batch, context())
    loss.backward()
    assert float(loss.detach()) == 0


@pytest.mark.parametrize(("name", "encoder"), MASKED)
def test_pictures_keep_what_is_visible_and_show_values_as_in_the_scan(name, encoder):
    method = build(name, encoder)
    batch = batch_for(method, name)
    views = batch["view"]
    hidden = hidden_of(views)
    pictures = method.pictures(batch, context())
    assert list(pictures) == ["input", "masked", "rebuilt"]
    assert torch.equal(pictures["input"], views.image)
    for name_of in ("masked", "rebuilt"):
        shown = pictures[name_of]
        assert torch.equal(torch.where(hidden, 0.0, shown), torch.where(hidden, 0.0, views.image))
        assert not shown.requires_grad
    assert not torch.equal(pictures["rebuilt"], views.image)
    rebuilt = method.encode(batch, context())["rebuilt"]
    if name == "mae":
        patch = views.image[0, 0, :4, :4, :4]
        expected = rebuilt[0, 0, :4, :4, :4] * (patch.var(unbiased=True) + 1e-6).sqrt() + patch.mean()
        found = pictures["rebuilt"][0, 0, :4, :4, :4]
        torch.testing.assert_close(found, torch.where(hidden[0, 0, :4, :4, :4], expected, patch))


def test_the_exported_encoder_is_the_dense_one_with_its_own_keys():
    encoder = build_encoder("resenc", 1, **ENCODERS["resenc"])
    keys = list(encoder.state_dict())
    method = SparK(encoder, cell=8, decoder_width=16)
    exported = method.exported()["encoder"]
    assert list(exported.state_dict()) == keys
    image = torch.randn(1, 1, 16, 16, 16)
    nothing = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    torch.testing.assert_close(exported(image).pooled, exported(image, nothing).pooled)


def test_encoders_that_cannot_hide_are_refused():
    with pytest.raises(UsageError, match=r"SparK needs a convolutional encoder .* got ViT .*\[method\]"):
        SparK(build_encoder("vit", 1, **ENCODERS["vit"]))
    with pytest.raises(UsageError, match=r"MAE needs a transformer .* got ResNet .*\[method\]"):
        MAE(build_encoder("resnet", 1, **ENCODERS["resnet"]))
    with pytest.raises(UsageError, match=r"MAE needs a transformer .* got Swin with masking 'fill' \[method\]"):
        MAE(build_encoder("swin", 1, **ENCODERS["swin"]))


@pytest.mark.parametrize(("name", "encoder", "cell"), [("spark", "resnet", 8), ("mae", "vit", 4)])
def test_cells_follow_the_encoder_unless_the_recipe_says(name, encoder, cell):
    assert build(name, encoder, cell=None).cell == cell
    role = build(name, encoder, cell=None, ratio=0.75).views(ViewSettings(crop=(16, 24, 8)))["view"]
    assert role.masks.cell == cell
    assert role.masks.ratio == 0.75
    assert role.count == 1


def test_a_crop_that_cells_do_not_divide_is_refused():
    with pytest.raises(UsageError, match=r"views.crop: crop \(16, 20, 16\) must be a multiple of the cells' edge 8"):
        build("spark", "resnet").views(ViewSettings(crop=(16, 20, 16)))


def test_views_without_a_mask_are_refused():
    method = build("spark", "resnet")
    batch = batch_for(method, "spark")
    batch["view"].hidden = None
    with pytest.raises(UsageError, match=r"needs views with hidden cells.*\[batch\]"):
        method.encode(batch, context())
