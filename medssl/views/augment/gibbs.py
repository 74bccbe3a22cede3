"""Gibbs ringing of MR: k-space ends early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.kspace import along, frequencies, magnitude


@dataclass(frozen=True)
class Gibbs(Intensity):
    """Cuts the outer frequencies off in the plane of the slices, so that edges ring.

    Views of CT stay as they are.

    Args:
        p: chance that a view is changed.
        strength: range of the share of k-space's half length that is cut off along each axis.
    """

    p: float = 0.2
    strength: Range = (0.0, 0.6)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``keep``, the share that stays, and the ``axes`` in the plane."""
        cut = draw_strength(self.p, self.strength, rng)
        if cut is None or not about.may_be_mr:
            return {}
        return {"keep": 1.0 - cut, "axes": [axis for axis in range(3) if axis != about.through]}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Cut off."""
        if not params or params["keep"] >= 1:
            return image.clone() if params else image
        dims = tuple(axis + 1 for axis in params["axes"])
        k = torch.fft.fftn(image, dim=dims)
        for axis in params["axes"]:
            k = k * along(frequencies(image.shape[axis + 1], image.device).abs() <= params["keep"] / 2, axis)
        return magnitude(k, dims, image)
