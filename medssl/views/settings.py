"""What a recipe says about views."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from medssl.errors import RecipeError
from medssl.recipe import choose
from medssl.views.augment.choose import CHOICE
from medssl.views.elastic import Elastic
from medssl.views.view import Spatial

Length = Annotated[int, Field(ge=1)]
Factor = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(ge=0, le=180)]
Stretch = Annotated[float, Field(ge=1)]
Chance = Annotated[float, Field(ge=0, le=1)]

LARGEST = 2**30
"""Voxels of a view at most: 4 GiB of float32."""


@dataclass(frozen=True)
class ViewSettings:
    """What a recipe says about views (``views:``).

    Args:
        crop: voxels of a view along i, j and k.
        scale: smallest and largest share of the crop's length that a view covers (zoom in below 1).
        rotate_deg: largest rotation of the body about each axis, or one number for each of x, y and z.
        flip: chance of a flip along x, y and z. x is left-right: 0 unless laterality does not matter.
        stretch: largest further zoom, in or out, of i, j and k by themselves.
        elastic: smooth deformation of the body: `{p: …, amplitude_mm: […, …], spacing_mm: …}`, or null.
        augment: names or ``{name: …, settings}`` of intensity augmentations, in order.
        augment_roles: the same for single roles, by name (`{partner: [...], local: [...]}`), in place of ``augment``.
        augment_on: where they are applied: by the ``loader``, or on the training ``device`` after the batch has come
            there. What is drawn is the same, and so is the batch, to 1e-5.
    """

    crop: tuple[Length, Length, Length] = (96, 96, 96)
    scale: tuple[Factor, Factor] = (1.0, 1.0)
    rotate_deg: Angle | tuple[Angle, Angle, Angle] = 0.0
    flip: tuple[Chance, Chance, Chance] = (0.0, 0.0, 0.0)
    stretch: tuple[Stretch, Stretch, Stretch] = (1.0, 1.0, 1.0)
    elastic: Elastic | None = None
    augment: tuple[Any, ...] = ()
    augment_roles: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    augment_on: Literal["loader", "device"] = "loader"

    def __post_init__(self) -> None:
        if math.prod(self.crop) > LARGEST:
            raise RecipeError(f"expected at most {LARGEST} voxels, got {list(self.crop)}", path="crop")
        if self.scale[0] > self.scale[1]:
            raise RecipeError(f"expected two rising numbers, got {list(self.scale)}", path="scale")
        for where, entries in {"augment": self.augment, **self._of_roles()}.items():
            for number, entry in enumerate(entries):
                try:
                    choose(CHOICE, entry, at=f"views.{where}[{number}]").build()
                except RecipeError as error:
                    raise RecipeError(error.reason, code=error.code, hint=error.hint) from error

    def _of_roles(self) -> dict[str, tuple[Any, ...]]:
        return {f"augment_roles.{role}": entries for role, entries in self.augment_roles.items()}

    @property
    def spatial(self) -> Spatial:
        """The geometry on top of a crop that zooms by ``scale`` itself, so that a view's box is what it covers."""
        return replace(self.turns, stretch=self.stretch)

    @property
    def turns(self) -> Spatial:
        """The geometry without any zoom, for crops whose extent must stay."""
        return Spatial(flip=self.flip, rotate_deg=self.rotate_deg, elastic=self.elastic)
