"""Low resolution: fewer voxels and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class LowRes(Intensity):
    """Samples at a coarser grid and interpolates back, as a scan of thicker slices would look.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``: one voxel of 1 + s is kept along each axis.
    """

    p: float = 0.2
    strength: Range = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``factor``."""
        size = draw_strength(self.p, self.strength, rng)
        return {} if size is None else {"factor": 1.0 + size}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Nearest voxel down, linear up."""
        if not params:
            return image
        small = [max(1, round(n / params["factor"])) for n in image.shape[1:]]
        if small == list(image.shape[1:]):
            return image.clone()
        down = functional.interpolate(image[None], small, mode="nearest-exact")
        up = functional.interpolate(down, image.shape[1:], mode="trilinear", align_corners=False)
        return up[0].clamp_(0.0, 1.0)
