"""Sharpening: what a blur takes away, added once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.blur import round_in_mm
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.smoothing import sharpened


@dataclass(frozen=True)
class Sharpen(Intensity):
    """Unsharp masking: x + s · (x − blurred x).

    Args:
        p: chance that a view is changed.
        strength: range of ``s``.
        sigma: standard deviation of the blur, in voxels along the view's finest axis.
    """

    p: float = 0.2
    strength: Range = (0.0, 1.5)
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if not self.sigma > 0:
            raise RecipeError(f"sigma must be above 0, got {self.sigma}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``amount``, and ``sigma`` along each axis in voxels."""
        amount = draw_strength(self.p, self.strength, rng)
        return {} if amount is None else {"amount": amount, "sigma": round_in_mm(self.sigma, about)}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Add the difference."""
        return sharpened(image, params["amount"], params["sigma"]) if params else image
