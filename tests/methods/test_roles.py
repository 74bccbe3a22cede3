"""Roles from what a recipe says about views."""

import pytest

from medssl.errors import RecipeError
from medssl.methods.roles import augmentations, random_crops, turns
from medssl.views.augment.blur import Blur
from medssl.views.augment.noise import Noise
from medssl.views.settings import ViewSettings


def test_the_crop_zooms_and_the_geometry_does_not():
    settings = ViewSettings(crop=(8, 8, 8), scale=(0.5, 1.0), rotate_deg=10, flip=(0.0, 0.5, 0.0))
    role = random_crops(settings, count=3)
    assert (role.count, role.crop.scale, role.spatial.scale) == (3, (0.5, 1.0), (1.0, 1.0))
    assert (role.spatial.rotate_deg, role.spatial.flip) == (10, (0.0, 0.5, 0.0))
    assert turns(settings) == role.spatial


def test_augmentations_by_name_in_order():
    found = augmentations(ViewSettings(augment=("noise", {"name": "blur", "p": 1.0})))
    assert [type(entry) for entry in found] == [Noise, Blur]
    assert found[1].p == 1.0
    assert random_crops(ViewSettings(augment=("noise",))).augment == found[:1]


def test_an_unknown_augmentation_is_named_by_its_place():
    with pytest.raises(RecipeError, match=r"views.augment\[1\].name: nothing is registered as 'nosie'.*mean noise"):
        augmentations(ViewSettings(augment=("blur", "nosie")))
