"""Brightness: a gain about the middle and an offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class Brightness(Intensity):
    """Multiplies the distance from the middle grey and shifts.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``: the gain is uniform in 1 ± s, the offset in ± s / 2.
    """

    p: float = 0.3
    strength: Range = (0.0, 0.2)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``gain`` and ``offset``."""
        size = draw_strength(self.p, self.strength, rng)
        gain, offset = (float(value) for value in rng.uniform(-1.0, 1.0, 2))
        return {} if size is None else {"gain": 1.0 + size * gain, "offset": size * offset / 2}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """``gain · (x − ½) + ½ + offset``, clipped."""
        if not params:
            return image
        gain, offset = params["gain"], params["offset"]
        return image.mul(gain).add_(0.5 - 0.5 * gain + offset).clamp_(0.0, 1.0)
