"""A recipe's list of augmentations as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medssl.recipe import From, choose
from medssl.views.augment import AUGMENTATIONS
from medssl.views.augment.intensity import Intensity

CHOICE = From(AUGMENTATIONS, "medssl.views.augment.intensity:Intensity")


def augmentations(entries: Sequence[Any], where: str = "recipe") -> tuple[Intensity, ...]:
    """Build augmentations from names or ``{name: …, settings}``.

    Args:
        entries: as they stand in ``views.augment``.
        where: the recipe's file, for messages.

    Raises:
        RecipeError: an unknown name, key or value.

    Example:
        >>> augmentations(["noise", {"name": "blur", "p": 1.0}])[1]
        Blur(p=1.0, strength=(0.0, 1.0))
    """
    return tuple(choose(CHOICE, entry, where, f"views.augment[{at}]").build() for at, entry in enumerate(entries))
