"""Models Genesis: which distortions in which order, one geometry for input and target, and the whole crop rebuilt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medssl import draws
from medssl.encoders.build import build_encoder
from medssl.errors import RecipeError, UsageError
from medssl.methods.masked.models_genesis import ModelsGenesis
from medssl.views.augment.bezier import Bezier
from medssl.views.augment.local_shuffle import LocalShuffle, shuffled
from medssl.views.augment.painting import Painting
from medssl.views.make import make_views
from medssl.views.settings import ViewSettings
from tests.methods.tiny import ENCODERS, batch_for, build, context
from tests.store.making import make_store, texture


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    volumes = [texture((24, 26, 28), n) for n in range(2)]
    return make_store(tmp_path_factory.mktemp("scans"), volumes, rows=[{"patient_id": name} for name in "ab"])


def views_of(store, method, seed=0, **settings):
    roles = method.views(ViewSettings(**{"crop": (16, 16, 16), **settings}))
    return {name: made[0] for name, made in make_views(store, (0,), roles, draws.generator(seed)).items()}


def test_the_published_distortions_stand_in_the_published_order():
    parts = ModelsGenesis(build_encoder("resenc", 1, **ENCODERS["resenc"])).distortions
    assert parts == (
        LocalShuffle(p=0.5, strength=(0.1, 0.1), windows=10_000),
        Bezier(p=0.9, strength=(1.0, 1.0), falling=0.5),
        Painting(p=0.9, strength=(1.0, 1.0), where="either"),
    )
    role = build("models-genesis", "resenc").views(ViewSettings(crop=(16,) * 3, augment=("blur",)))["view"]
    assert [type(part).__name__ for part in role.augment] == ["Blur", "LocalShuffle", "Bezier", "Painting"]


def test_flips_and_rotations_are_those_of_the_target(store):
    geometry = {"flip": (1.0, 0.5, 0.5), "rotate_deg": 20.0, "scale": (0.8, 1.2)}
    method = build("models-genesis", "resenc")
    for seed in range(4):
        made = views_of(store, method, seed, **geometry)
        assert (made["view"].grid.affine == made["clean"].grid.affine).all()
        assert torch.equal(made["view"].valid, made["clean"].valid)
        assert not any(numbers for _, numbers in made["clean"].params["augment"])
    assert any(made["view"].params["augment"])


def test_without_its_distortions_input_and_target_are_one(store):
    method = build("models-genesis", "resenc", shuffle=0, bezier=0, painting=1e-9)
    made = views_of(store, method, flip=(1.0, 0.0, 0.0), rotate_deg=10.0)
    assert torch.equal(made["view"].image, made["clean"].image)
    method = build("models-genesis", "resenc", shuffle=1, bezier=0, painting=1e-9)
    made = views_of(store, method, crop=(20, 20, 20))
    assert not torch.equal(made["view"].image, made["clean"].image)
    small = views_of(store, method)  # a tenth of 16 voxels is one: there is nothing to shuffle
    assert torch.equal(small["view"].image, small["clean"].image)


def test_windows_are_filled_from_the_untouched_view():
    """Of two windows over one another, the later one takes nothing that the first has moved."""
    params, shape = {"edge": 0.5, "windows": 40, "seed": 3}, (8, 8, 8)
    found = shuffled(shape, params).reshape(shape)
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 5, (40, 3))
    starts = np.floor(rng.random((40, 3)) * (8 - sizes + 1)).astype(int)
    places = np.arange(512).reshape(shape)
    expected = places.copy()
    for start, size in zip(starts, sizes, strict=True):
        window = tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
        moved = rng.permutation(places[window].ravel())
        expected[window] = moved.reshape(size)
        assert sorted(moved) == sorted(places[window].ravel())
    np.testing.assert_array_equal(found, expected)


def test_windows_are_a_tenth_of_the_view_at_most():
    order = shuffled((40, 20, 10), {"edge": 0.1, "windows": 500, "seed": 0}).reshape(40, 20, 10)
    was = np.stack(np.unravel_index(order, (40, 20, 10)))
    moved = np.abs(was - np.indices((40, 20, 10))).reshape(3, -1).max(axis=1)
    assert moved.tolist() == [3, 1, 0]  # edges of 4, 2 and 1 voxels


def test_the_loss_is_the_error_of_every_voxel_that_is_no_padding():
    method = build("models-genesis", "resenc")
    batch = batch_for(method, "models-genesis")
    clean = batch["clean"]
    clean.valid[1, :, :, 10:] = False
    rebuilt = torch.randn(clean.image.shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss, logs = method.loss({"rebuilt": rebuilt}, batch, context())
    total, count = 0.0, 0
    for found, true, inside in zip(rebuilt, clean.image, clean.valid, strict=True):
        rows = torch.stack([found.flatten(), true.flatten(), inside.flatten()], dim=1).tolist()
        for a, b, counts in rows:
            total, count = total + counts * (a - b) ** 2, count + int(counts)
    assert float(loss.detach()) == pytest.approx(total / count, rel=1e-5)
    assert int(logs["rebuilt_voxels"]) == count
    clean.image = torch.where(clean.valid, clean.image, 1e6)
    assert torch.equal(method.loss({"rebuilt": rebuilt}, batch, context())[0], loss)
    loss.backward()
    assert float(rebuilt.grad[1, :, :, 10:].abs().max()) == 0
    assert float(method.loss({"rebuilt": clean.image}, batch, context())[0]) == 0


def test_the_encoder_sees_the_distorted_crop_alone():
    method = build("models-genesis", "resenc")
    batch = batch_for(method, "models-genesis")
    before = method.encode(batch, context())["rebuilt"]
    batch["clean"].image = batch["clean"].image + 1
    assert torch.equal(method.encode(batch, context())["rebuilt"], before)
    batch["view"].image = batch["view"].image + 1
    assert not torch.equal(method.encode(batch, context())["rebuilt"], before)


def test_pictures_show_target_input_and_result():
    method = build("models-genesis", "vit")
    batch = batch_for(method, "models-genesis")
    shown = method.pictures(batch, context())
    assert list(shown) == ["input", "seen", "rebuilt"]
    assert shown["input"] is batch["clean"].image
    assert shown["seen"] is batch["view"].image
    assert not shown["rebuilt"].requires_grad


def test_swin_rebuilds_crops_of_its_own_size():
    method = build("models-genesis", "swin")
    image = torch.rand(1, 1, 32, 32, 32)
    assert method.decoder(method.encoder(image), image).shape == image.shape
    with pytest.raises(UsageError, match="more than one site at every level but the coarsest"):
        method.decoder(method.encoder(image[..., :16, :16, :16]), image[..., :16, :16, :16])


def test_nothing_to_undo_is_refused():
    with pytest.raises(RecipeError, match="painting: shuffle, bezier and painting are all 0"):
        build("models-genesis", "resenc", shuffle=0, bezier=0, painting=0)
