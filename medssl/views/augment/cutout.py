"""Cutout: a box of one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class Cutout(Intensity):
    """Fills a box with one value (DeVries and Taylor, arXiv 1708.04552).

    Args:
        p: chance that a view is changed.
        strength: range of the box's length as a share of the view's, along each axis.
    """

    p: float = 0.2
    strength: Range = (0.1, 0.3)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``side`` and ``place`` as shares of the view, and ``value``."""
        side = draw_strength(self.p, self.strength, rng)
        place, value = [float(number) for number in rng.random(3)], float(rng.random())
        return {} if side is None else {"side": side, "place": place, "value": value}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Fill the box."""
        if not params:
            return image
        out = image.clone()
        box = [slice(None)]
        for length, place in zip(image.shape[1:], params["place"], strict=True):
            size = round(params["side"] * length)
            start = int(place * (length - size + 1))
            box.append(slice(start, start + size))
        out[tuple(box)] = params["value"]
        return out
