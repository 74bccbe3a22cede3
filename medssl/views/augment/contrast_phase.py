"""Contrast phases of CT: tissues that take up contrast agent become brighter, each range by itself."""

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

KNOTS = 257


@dataclass(frozen=True)
class ContrastPhase(Intensity):
    """Shifts the HU within ranges of tissue, smoothly, so that no two values change their order.

    A map of values and not of organs: what has the HU of a kidney is treated as one. Views of a modality other than
    CT stay as they are.

    Args:
        p: chance that a view is changed.
        strength: range of the largest shift, in HU.
        ranges: first and last HU of each range; unenhanced soft tissue, enhanced organs, vessels.
    """

    p: float = 0.2
    strength: Range = (0.0, 40.0)
    ranges: tuple[tuple[float, float], ...] = ((10.0, 90.0), (60.0, 180.0), (120.0, 400.0))

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if not self.ranges or any(len(one) != 2 or not one[0] < one[1] for one in self.ranges):
            raise RecipeError(f"ranges must be pairs of rising HU, got {self.ranges}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``y``: where evenly spaced values of the view go."""
        size = draw_strength(self.p, self.strength, rng)
        shifts = rng.uniform(-1.0, 1.0, len(self.ranges))
        if size is None or not about.may_be_ct:
            return {}
        hu = np.linspace(about.low, about.high, KNOTS)
        moved = hu + sum(s * size * _bump(hu, low, high) for s, (low, high) in zip(shifts, self.ranges, strict=True))
        # where shifts would turn two values around they meet instead
        y = (np.maximum.accumulate(moved) - about.low) / (about.high - about.low)
        return {"y": [float(value) for value in np.clip(y, 0.0, 1.0)]}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Map."""
        if not params:
            return image
        x = np.linspace(0, 1, len(params["y"])).tolist()
        return image.clone() if np.allclose(x, params["y"], atol=1e-12) else through_points(image, x, params["y"])


def _bump(hu: np.ndarray[Any, np.dtype[np.float64]], low: float, high: float) -> Any:
    """0 outside a range, 1 in its middle, without a corner."""
    place = np.clip((hu - low) / (high - low), 0.0, 1.0)
    return np.sin(np.pi * place) ** 2
