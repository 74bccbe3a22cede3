"""Roles from what a recipe says about views."""

import pytest

from medssl.errors import RecipeError
from medssl.methods.roles import augmentations, planned_stages, random_crops, turns, two_views
from medssl.views.augment.blur import Blur
from medssl.views.augment.gamma import Gamma
from medssl.views.augment.noise import Noise
from medssl.views.settings import ViewSettings
from tests.methods.tiny import build


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


def test_a_pair_of_views_overlaps_as_asked():
    roles = two_views(ViewSettings(crop=(8, 8, 4), augment=("noise",)), 0.7)
    assert list(roles) == ["view", "partner"]
    assert (roles["partner"].crop.share, roles["partner"].crop.shape) == (0.7, (8, 8, 4))
    assert roles["partner"].augment == roles["view"].augment


def test_augmentations_of_a_single_role_take_the_place_of_the_others():
    settings = ViewSettings(crop=(16, 16, 16), augment=("noise",), augment_roles={"partner": ("blur", "gamma")})
    (stage,) = planned_stages(build("simclr", "resnet"), 5, settings)
    assert [type(entry) for entry in stage.views["view"].augment] == [Noise]
    assert [type(entry) for entry in stage.views["partner"].augment] == [Blur, Gamma]
    assert stage.steps == 5


def test_augmentations_of_a_role_that_is_not_there_are_refused():
    settings = ViewSettings(crop=(16, 16, 16), augment_roles={"local": ("blur",)})
    with pytest.raises(RecipeError, match=r"augment_roles.local: SimCLR has no role 'local', only partner, view"):
        planned_stages(build("simclr", "resnet"), 5, settings)
    with pytest.raises(RecipeError, match=r"augment_roles.local\[0\].name: nothing is registered as 'blurr'"):
        ViewSettings(augment_roles={"local": ("blurr",)})
