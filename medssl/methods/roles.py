"""From what a recipe says about views to the roles that most methods ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medssl.errors import RecipeError
from medssl.methods.contract import Method, Stage
from medssl.views.augment import choose
from medssl.views.crops.overlapping import Overlapping
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.settings import ViewSettings
from medssl.views.view import Augmentation, MaskPolicy, Role, Spatial

PAIR = ("view", "partner")
"""The names of two views of a scan, in every method that compares two."""


def random_crops(settings: ViewSettings, count: int = 1, masks: MaskPolicy | None = None) -> Role:
    """Crops anywhere in the body, with the geometry and the changes of value that the recipe names.

    Args:
        settings: what the recipe says.
        count: crops a scan.
        masks: which cells are hidden, or None.
    """
    crop = RandomCrop(settings.crop, scale=settings.scale)
    return Role(crop, count, spatial=settings.spatial, augment=augmentations(settings), masks=masks)


def two_views(settings: ViewSettings, overlap: float) -> dict[str, Role]:
    """A crop of each scan, ``view``, and a second one around it, ``partner``.

    Args:
        settings: what the recipe says.
        overlap: how much they overlap along each axis, at least; with 0 they may only touch.
    """
    view = random_crops(settings)
    return {"view": view, "partner": replace(view, crop=Overlapping("view", settings.crop, overlap, settings.scale))}


def turns(settings: ViewSettings) -> Spatial:
    """Flips, rotations and deformation without the zoom."""
    return settings.turns


def augmentations(settings: ViewSettings, role: str | None = None) -> tuple[Augmentation, ...]:
    """The changes of value that the recipe names, in its order.

    Args:
        settings: what the recipe says.
        role: those of this role (``augment_roles``); None or a role that is not named there: ``augment``.

    Raises:
        RecipeError: a name or a setting is unknown.
    """
    return choose.augmentations(settings.augment_roles.get(role or "", settings.augment))


def planned_stages(method: Method, steps: int, settings: ViewSettings) -> tuple[Stage, ...]:
    """The stages of a method, with the augmentations that the recipe names for single roles.

    Raises:
        RecipeError: a role of ``augment_roles`` is none of the method's.
    """
    stages = tuple(method.stages(steps, settings))
    known = {name for stage in stages for name in stage.views}
    for name in settings.augment_roles:
        if name not in known:
            reason = f"{type(method).__name__} has no role {name!r}, only {', '.join(sorted(known))}"
            raise RecipeError(reason, path=f"views.augment_roles.{name}")
    return tuple(replace(stage, views=_augmented(stage, settings)) for stage in stages)


def _augmented(stage: Stage, settings: ViewSettings) -> dict[str, Role]:
    named: Sequence[str] = tuple(settings.augment_roles)
    return {
        name: replace(role, augment=augmentations(settings, name)) if name in named else role
        for name, role in stage.views.items()
    }
