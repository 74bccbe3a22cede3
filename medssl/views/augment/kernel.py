"""Reconstruction kernels of CT: sharper or softer in the plane of the slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.smoothing import sharpened


@dataclass(frozen=True)
class Kernel(Intensity):
    """Raises or lowers the high frequencies of every slice: x ± s · (x − blurred x), the blur in the plane alone.

    Lung and bone kernels are sharper than those for soft tissue, and noisier. Views of a modality other than CT stay
    as they are.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``; softer kernels use at most 1, which is the blur itself.
        sigma: standard deviation of the blur, in voxels.
    """

    p: float = 0.3
    strength: Range = (0.0, 1.0)
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if not self.sigma > 0:
            raise RecipeError(f"sigma must be above 0, got {self.sigma}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``amount``, below 0 for a softer kernel, and ``sigma`` along each axis."""
        size = draw_strength(self.p, self.strength, rng)
        softer = bool(rng.random() < 0.5)
        if size is None or not about.may_be_ct:
            return {}
        sigma = [0.0 if axis == about.through else self.sigma for axis in range(3)]
        return {"amount": -min(size, 1.0) if softer else size, "sigma": sigma}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Add or take away."""
        return sharpened(image, params["amount"], params["sigma"]) if params else image
