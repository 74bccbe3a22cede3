"""Crops for fine-tuning: often around a labelled voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_scale, check_shape
from medssl.views.grid import Grid
from medssl.views.kept import class_points
from medssl.views.placing import Shape, around, crop_at, draw_edge, uniform_scale
from medssl.views.view import Scan


@dataclass(frozen=True)
class LabelWeighted:
    """Often around a labelled voxel, so that small structures are seen.

    Args:
        shape: voxels of a view.
        share: chance that a view's middle voxel is a labelled one (moved where the crop would leave the scan): first
            a class, each as likely, then one of its points. Otherwise, and in a scan without labels, uniform.
        scale: as in ``RandomCrop``.
    """

    shape: Shape
    share: float = 0.66
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if not 0 <= self.share <= 1:
            raise RecipeError(f"share must be in [0, 1], got {self.share}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, each placed by itself."""
        points = class_points(scan)
        classes = sorted(points)
        out = []
        for _ in range(count):
            step = np.full(3, uniform_scale(self.scale, rng))
            if rng.random() < self.share and classes:
                of_class = points[classes[int(rng.integers(len(classes)))]]
                edge = around(scan, of_class[int(rng.integers(len(of_class)))], self.shape, step)
            else:
                edge = draw_edge(scan, self.shape, step, rng)
            out.append(crop_at(scan, edge, step, self.shape))
        return out
