"""Gaussian blur."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.smoothing import smoothed


@dataclass(frozen=True)
class Blur(Intensity):
    """Smooths with a Gaussian that is round in millimetres, the edge repeated.

    Args:
        p: chance that a view is changed.
        strength: range of the standard deviation, in voxels along the view's finest axis.
    """

    p: float = 0.2
    strength: Range = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``sigma`` along each axis, in voxels."""
        sigma = draw_strength(self.p, self.strength, rng)
        return {} if sigma is None else {"sigma": round_in_mm(sigma, about)}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Convolve along each axis in turn."""
        return smoothed(image, params["sigma"]).clamp_(0.0, 1.0) if params else image


def round_in_mm(sigma: float, about: About) -> list[float]:
    """Standard deviations along the axes of a Gaussian that is as wide in millimetres along each.

    Example:
        >>> round_in_mm(1.0, About((1.0, 1.0, 4.0)))
        [1.0, 1.0, 0.25]
    """
    finest = min(about.spacing_mm)
    return [sigma * finest / length for length in about.spacing_mm]
