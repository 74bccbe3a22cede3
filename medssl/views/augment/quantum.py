"""Quantum noise of CT: stronger where more is absorbed, with the grain of a reconstruction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.fields import random_field
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.smoothing import half_kernel, smoothed

WATER = 1000.0


@dataclass(frozen=True)
class Quantum(Intensity):
    """Gaussian noise whose variance follows the attenuation relative to water, smoothed to a grain in the plane.

    The standard deviation at a voxel of h HU is s · sqrt(max(h + 1000, 50) / 1000): that of water at water, little
    in air. A model of the place alone; the paths of rays through the body are not followed. Views of a modality
    other than CT stay as they are.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``, in HU.
        grain: standard deviation of the grain in the plane of the slices, in voxels; 0 for independent voxels.
    """

    p: float = 0.3
    strength: Range = (0.0, 30.0)
    grain: float = 0.5

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if not self.grain >= 0:
            raise RecipeError(f"grain must be 0 or more, got {self.grain}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``sigma`` as a share of the range, ``seed``, the ``grain`` along each axis, and the range in HU."""
        size = draw_strength(self.p, self.strength, rng)
        seed = int(rng.integers(2**62))
        if size is None or not about.may_be_ct:
            return {}
        grain = [0.0 if axis == about.through else self.grain for axis in range(3)]
        width = about.high - about.low
        return {"sigma": size / width, "seed": seed, "grain": grain, "low": about.low, "width": width}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Add the grain, weighted by what is absorbed."""
        if not params or params["sigma"] == 0:
            return image.clone() if params else image
        field = smoothed(random_field(tuple(image.shape), params["seed"], device=image.device), params["grain"])
        # smoothing takes variance away: the sum of squared weights along each axis
        field.mul_(params["sigma"] / math.prod(_spread(sigma) for sigma in params["grain"]))
        absorbed = image.mul(params["width"] / WATER).add_((params["low"] + WATER) / WATER)
        return field.mul_(absorbed.clamp_(min=0.05).sqrt_()).add_(image).clamp_(0.0, 1.0)


def _spread(sigma: float) -> float:
    half = half_kernel(sigma).astype(np.float64)
    return math.sqrt(float(half[0] ** 2 + 2 * (half[1:] ** 2).sum()))
