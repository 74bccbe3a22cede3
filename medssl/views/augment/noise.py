"""Noise of the receiver: Gaussian, or Rician as in the magnitude of MR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.fields import random_field
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class Noise(Intensity):
    """Adds independent noise to every voxel.

    Args:
        p: chance that a view is changed.
        strength: range of the standard deviation, as a share of the network's range.
        law: ``gaussian`` adds a normal field; ``rician`` takes the magnitude after normal noise in the real and the
            imaginary part (Gudbjartsson and Patz, Magnetic Resonance in Medicine 34(6), 1995).
    """

    p: float = 0.3
    strength: Range = (0.0, 0.1)
    law: Literal["gaussian", "rician"] = "gaussian"

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if self.law not in ("gaussian", "rician"):
            raise RecipeError(f"law must be gaussian or rician, got {self.law!r}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``sigma``, the ``seed`` of the noise field, and ``law``."""
        sigma = draw_strength(self.p, self.strength, rng)
        seed = int(rng.integers(2**62))
        return {} if sigma is None else {"sigma": sigma, "seed": seed, "law": self.law}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Add the field that belongs to the seed."""
        if not params:
            return image
        sigma, shape = params["sigma"], tuple(image.shape)
        field = random_field(shape, params["seed"], device=image.device)
        real = field.mul_(sigma).add_(image)
        if params["law"] == "rician" and sigma > 0:
            other = random_field(shape, params["seed"] + 1, device=image.device).mul_(sigma)
            real = real.square_().addcmul_(other, other).sqrt_()
        return real.clamp_(0.0, 1.0)
