"""Gaussian noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class Noise(Intensity):
    """Adds independent Gaussian noise to every voxel.

    Args:
        p: chance that a view is changed.
        strength: range of the standard deviation, as a share of the network's range.
    """

    p: float = 0.3
    strength: Range = (0.0, 0.1)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """``sigma`` and the ``seed`` of the noise field."""
        sigma = draw_strength(self.p, self.strength, rng)
        seed = int(rng.integers(2**62))
        return {} if sigma is None else {"sigma": sigma, "seed": seed}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Add the field that belongs to the seed."""
        if not params:
            return image
        source = torch.Generator().manual_seed(params["seed"])
        field = torch.randn(image.shape, generator=source, dtype=image.dtype)
        return field.mul_(params["sigma"]).to(image.device).add_(image).clamp_(0.0, 1.0)
