"""A crop anywhere in the scan, or in its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_scale, check_shape
from medssl.views.grid import Grid
from medssl.views.placing import Shape, around, crop_at, draw_in_body, uniform_scale
from medssl.views.view import Scan


@dataclass(frozen=True)
class RandomCrop:
    """Uniform in the scan.

    Args:
        shape: voxels of a view.
        scale: smallest and largest length that it covers, in stored voxels per view voxel (1: no zoom).
        body_share: the least share of the crop that lies in the body's box, where the two sizes allow it: of a body
            smaller than the crop, the least share of the body.
    """

    shape: Shape
    scale: tuple[float, float] = (1.0, 1.0)
    body_share: float = 0.3

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if not 0 <= self.body_share <= 1:
            raise RecipeError(f"body_share must be in [0, 1], got {self.body_share}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, each placed and zoomed by itself."""
        out = []
        for _ in range(count):
            step = np.full(3, uniform_scale(self.scale, rng))
            out.append(crop_at(scan, draw_in_body(scan, self.shape, step, self.body_share, rng), step, self.shape))
        return out


@dataclass(frozen=True)
class Centre:
    """The middle of the body's box, without chance; moved into the scan where it fits there.

    Args:
        shape: voxels of a view.
        scale: stored voxels per view voxel.
    """

    shape: Shape
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale((self.scale, self.scale))

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """The same crop ``count`` times."""
        step = np.full(3, float(self.scale))
        return [crop_at(scan, around(scan, scan.body.sum(axis=0) // 2, self.shape, step), step, self.shape)] * count
