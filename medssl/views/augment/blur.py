"""Gaussian blur."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class Blur(Intensity):
    """Smooths with a Gaussian, the edge repeated.

    Args:
        p: chance that a view is changed.
        strength: range of the standard deviation, in voxels of the view.
    """

    p: float = 0.2
    strength: Range = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """``sigma``."""
        sigma = draw_strength(self.p, self.strength, rng)
        return {} if sigma is None else {"sigma": sigma}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Convolve along each axis in turn."""
        sigma = params.get("sigma", 0.0)
        if sigma <= 0:
            return image.clone() if params else image
        reach = max(1, math.ceil(3 * sigma))
        weights = torch.exp(
            -0.5 * (torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device) / sigma) ** 2
        )
        weights = weights / weights.sum()
        out = image[:, None]
        for axis in range(3):
            shape = [1] * 5
            shape[axis + 2] = -1
            padding = [0] * 6
            # functional.pad counts the last axis first
            padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = reach
            out = functional.conv3d(functional.pad(out, padding, mode="replicate"), weights.reshape(shape))
        return out[:, 0].clamp(0.0, 1.0)
