"""Another window: the values that are 0 and 1 move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class WindowJitter(Intensity):
    """Moves both ends of the window, each by up to ``s`` of its width; what the window cut off stays cut off.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``, below 0.5.
    """

    p: float = 0.3
    strength: Range = (0.0, 0.15)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 0.5)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``low`` and ``high``: where the new window's ends lie in the old one."""
        size = draw_strength(self.p, self.strength, rng)
        low, high = (float(number) for number in rng.uniform(-1.0, 1.0, 2))
        return {} if size is None else {"low": 0.999 * size * low, "high": 1.0 + 0.999 * size * high}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Stretch."""
        if not params:
            return image
        return image.sub(params["low"]).div_(params["high"] - params["low"]).clamp_(0.0, 1.0)
