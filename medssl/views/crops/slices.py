"""Slices of a volume: views of one voxel's depth, for 2D encoders and for methods that compare slice and volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.anisotropic import Plane, through_axis
from medssl.views.crops.contract import Drawn, check_scale
from medssl.views.grid import Array, Grid
from medssl.views.placing import draw_edge, draw_in_body, uniform_scale
from medssl.views.view import Scan


@dataclass(frozen=True)
class Slices:
    """Slices across one axis; the view's last axis is the one across, and has one voxel.

    Args:
        shape: voxels of a slice along its two axes, in the stored order of those axes.
        across: the stored axis that the slices stand across: ``auto`` as in ``Anisotropic``, or ``any``, drawn anew
            for every slice.
        scale: smallest and largest length that a slice covers, in stored voxels per view voxel; its depth stays one
            stored voxel.
        body_share: as in ``RandomCrop``.
        alike: whether the slices of a scan share what is drawn for their values, as those of a volume do, and differ
            in their noise alone.
    """

    shape: tuple[int, int]
    across: Plane | Literal["any"] = "auto"
    scale: tuple[float, float] = (1.0, 1.0)
    body_share: float = 0.3
    alike: bool = True

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or any(int(n) != n or n < 1 for n in self.shape):
            raise RecipeError(f"shape must be two whole numbers above 0, got {self.shape}")
        if self.across not in ("auto", "any", "i", "j", "k"):
            raise RecipeError(f"across must be auto, any, i, j or k, got {self.across!r}")
        check_scale(self.scale)

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` slices of shape ``(*shape, 1)``."""
        out = []
        for _ in range(count):
            axis = self._axis(scan, rng)
            first, second = (other for other in range(3) if other != axis)
            size = [1, 1, 1]
            size[first], size[second] = self.shape
            step = np.ones(3)
            step[[first, second]] = uniform_scale(self.scale, rng)
            i, j, k = size
            if self.body_share > 0:
                edge = draw_in_body(scan, (i, j, k), step, self.body_share, rng)
            else:
                edge = draw_edge(scan, (i, j, k), step, rng)
            out.append(_slice(scan, edge, step, (first, second, axis), self.shape))
        return out

    def _axis(self, scan: Scan, rng: np.random.Generator) -> int:
        if self.across == "any":
            return int(rng.integers(3))
        return through_axis(scan) if self.across == "auto" else "ijk".index(self.across)


def _slice(scan: Scan, edge: Array, step: Array, order: tuple[int, int, int], shape: tuple[int, int]) -> Grid:
    inner = np.zeros((4, 4))
    inner[3, 3] = 1.0
    for view, stored in enumerate(order):
        inner[stored, view] = step[stored]
    inner[:3, 3] = edge + step / 2 - 0.5
    return Grid.of((*shape, 1), scan.affine @ inner)
