"""What a recipe says about views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medssl.views.view import Spatial


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

    crop: tuple[int, int, int] = (96, 96, 96)
    scale: tuple[float, float] = (1.0, 1.0)
    rotate_deg: float = 0.0
    flip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    augment: tuple[Any, ...] = ()

    @property
    def spatial(self) -> Spatial:
        """The geometry to draw on top of a crop."""
        return Spatial(flip=self.flip, rotate_deg=self.rotate_deg, scale=self.scale)
