"""Spikes of MR: single wrong samples of k-space are stripes over the image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.kspace import along


@dataclass(frozen=True)
class Spikes(Intensity):
    """Adds a plane wave for each spike; no transform is needed. Views of CT stay as they are.

    Args:
        p: chance that a view is changed.
        strength: range of a wave's height, as a share of the network's range.
        count: most spikes; at least one.
    """

    p: float = 0.1
    strength: Range = (0.0, 0.1)
    count: int = 3

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if self.count < 1:
            raise RecipeError(f"count must be at least 1, got {self.count}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``waves``: cycles a voxel along each axis, and the phase, of each; and their ``height``."""
        height = draw_strength(self.p, self.strength, rng)
        number = int(rng.integers(1, self.count + 1))
        waves = np.concatenate([rng.uniform(-0.5, 0.5, (self.count, 3)), rng.random((self.count, 1))], axis=1)
        return {} if height is None or not about.may_be_mr else {"waves": waves[:number].tolist(), "height": height}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Add the waves."""
        if not params or params["height"] == 0:
            return image.clone() if params else image
        out = image.clone()
        for i, j, k, phase in params["waves"]:
            # e^(a + b + c) is the product of a line of each axis
            lines = [
                along(
                    torch.polar(torch.ones(n, device=image.device), 2 * math.pi * f * torch.arange(n).to(image)), axis
                )
                for axis, (f, n) in enumerate(zip((i, j, k), image.shape[1:], strict=True))
            ]
            start = complex(math.cos(2 * math.pi * phase), math.sin(2 * math.pi * phase))
            out += params["height"] * (lines[0] * (start * lines[1] * lines[2])).real
        return out.clamp_(0.0, 1.0)
