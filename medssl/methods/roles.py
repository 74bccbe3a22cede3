"""From what a recipe says about views to the roles that most methods ask for."""

from __future__ import annotations

from medssl.views.augment import choose
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.settings import ViewSettings
from medssl.views.view import Augmentation, MaskPolicy, Role, Spatial


def random_crops(settings: ViewSettings, count: int = 1, masks: MaskPolicy | None = None) -> Role:
    """Crops anywhere in the body, with the geometry and the changes of value that the recipe names.

    Args:
        settings: what the recipe says.
        count: crops a scan.
        masks: which cells are hidden, or None.
    """
    crop = RandomCrop(settings.crop, scale=settings.scale)
    return Role(crop, count, spatial=settings.spatial, augment=augmentations(settings), masks=masks)


def turns(settings: ViewSettings) -> Spatial:
    """Flips, rotations and deformation without the zoom."""
    return settings.turns


def augmentations(settings: ViewSettings) -> tuple[Augmentation, ...]:
    """The changes of value that the recipe names, in its order.

    Raises:
        RecipeError: a name or a setting is unknown.
    """
    return choose.augmentations(settings.augment)
