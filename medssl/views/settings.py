"""What a recipe says about views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from medssl.errors import RecipeError
from medssl.recipe import choose
from medssl.views.augment.choose import CHOICE
from medssl.views.view import Spatial

Length = Annotated[int, Field(ge=1)]
Factor = Annotated[float, Field(gt=0)]
Chance = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class ViewSettings:
    """What a recipe says about views (``views:``).

    Args:
        crop: voxels of a view along i, j and k.
        scale: smallest and largest share of the crop's length that a view covers (zoom in below 1).
        rotate_deg: largest rotation about each axis.
        flip: chance of a flip along i, j and k. i is left-right: 0 unless laterality does not matter.
        augment: names or ``{name: …, settings}`` of intensity augmentations, in order.
    """

    crop: tuple[Length, Length, Length] = (96, 96, 96)
    scale: tuple[Factor, Factor] = (1.0, 1.0)
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    flip: tuple[Chance, Chance, Chance] = (0.0, 0.0, 0.0)
    augment: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.scale[0] > self.scale[1]:
            raise RecipeError(f"expected two rising numbers, got {list(self.scale)}", path="scale")
        for number, entry in enumerate(self.augment):
            try:
                choose(CHOICE, entry, at=f"views.augment[{number}]").build()
            except RecipeError as error:
                raise RecipeError(error.reason, code=error.code, hint=error.hint) from error

    @property
    def spatial(self) -> Spatial:
        """The geometry to draw on top of a crop."""
        return Spatial(flip=self.flip, rotate_deg=self.rotate_deg, scale=self.scale)
