"""Histogram shift: a rising polygon through points moved at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.curves import through_points
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class HistogramShift(Intensity):
    """Maps values by a rising polygon: evenly spaced points, each moved by up to ``s`` of their distance.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``, at most 0.5, where neighbours could meet.
        points: points between 0 and 1.
    """

    p: float = 0.3
    strength: Range = (0.0, 0.45)
    points: int = 8

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 0.5)
        if self.points < 1:
            raise RecipeError(f"points must be at least 1, got {self.points}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``y``: where the evenly spaced points go."""
        size = draw_strength(self.p, self.strength, rng)
        moved = rng.uniform(-1.0, 1.0, self.points)
        if size is None:
            return {}
        x = np.linspace(0, 1, self.points + 2)
        x[1:-1] += moved * size * x[1]
        return {"y": [float(value) for value in x]}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Map; 0 and 1 stay."""
        if not params:
            return image
        x = np.linspace(0, 1, len(params["y"])).tolist()
        return image.clone() if x == params["y"] else through_points(image, x, params["y"])
