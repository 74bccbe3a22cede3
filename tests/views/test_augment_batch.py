"""The whole batch at once is the same as view by view."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medssl.loading.loader import make_loader
from medssl.store.store import Store
from medssl.views.augment import AUGMENTATIONS
from medssl.views.augment.batch import TOGETHER, augment_batch, augment_roles
from medssl.views.augment.choose import augmentations
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Batch, Role, Spatial
from tests.store.making import make_store, texture

SHAPE = (12, 11, 10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rows = [{"modality": modality} for modality in ("CT", "MR", "", "CT", "MR")]
    return make_store(tmp_path, [texture(SHAPE, n) for n in range(5)], rows=rows)


def _both(store: Store, roles: dict[str, Role], workers: int = 0) -> tuple[Batch, Batch]:
    made = [
        make_loader(store, roles, None, batch=5, seed=3, start=0, stop=1, workers=workers, augmented=augmented)
        for augmented in (True, False)
    ]
    one, other = (next(iter(loader)) for loader in made)
    return one, other


def _roles(*names: str, p: float = 1.0) -> dict[str, Role]:
    changes = augmentations([{"name": name, "p": p} for name in names])
    return {"view": Role(RandomCrop((14, 8, 8)), 2, Spatial(rotate_deg=10.0), changes)}


@pytest.mark.parametrize("p", [1.0, 0.5])
@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_a_batch_is_changed_as_its_views_are(store: Store, name: str, p: float) -> None:
    roles = _roles(name, p=p)
    expected, sampled = _both(store, roles)
    before = sampled["view"].image.clone()
    found = augment_roles(sampled, roles)["view"]
    torch.testing.assert_close(found.image, expected["view"].image, atol=1e-5, rtol=0.0)
    assert torch.equal(sampled["view"].image, before)
    assert found.params == expected["view"].params
    # shuffling windows of less than a voxel changes nothing
    assert torch.equal(found.image, before) == torch.equal(expected["view"].image, before)


@pytest.mark.parametrize("workers", [0, 1])
def test_all_that_a_recipe_may_name_one_after_the_other(store: Store, workers: int) -> None:
    roles = _roles("noise", "blur", "gamma", "brightness", "window-jitter", "bias-field", "cutout", p=0.7)
    expected, sampled = _both(store, roles, workers)
    found = augment_roles(sampled, roles)
    torch.testing.assert_close(found["view"].image, expected["view"].image, atol=1e-5, rtol=0.0)
    assert float(found["view"].image[~found["view"].valid].abs().max()) == 0.0


def test_what_is_changed_together_is_registered() -> None:
    assert set(TOGETHER) <= set(AUGMENTATIONS)


def test_without_augmentations_nothing_is_touched(store: Store) -> None:
    roles = {"view": Role(RandomCrop((8, 8, 8)))}
    expected, sampled = _both(store, roles)
    assert torch.equal(augment_roles(sampled, roles)["view"].image, expected["view"].image)


def test_views_that_were_drawn_for_others_are_refused(store: Store) -> None:
    _, sampled = _both(store, _roles("noise"))
    with pytest.raises(ValueError, match="were not drawn for 2 augmentations"):
        augment_batch(sampled["view"], augmentations(["noise", "blur"]))
