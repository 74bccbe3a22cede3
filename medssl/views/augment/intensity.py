"""What every change of value has in common: a chance, a strength, draws that are plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About

Range = tuple[float, float]


class Intensity(ABC):
    """A change of a view's values; the contract of a recipe's own class. ``apply`` needs nothing but what was drawn."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """Plain numbers, or ``{}`` where the view stays as it is; takes as many from ``rng`` whatever comes out."""

    @abstractmethod
    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """The image ``(C, i, j, k)`` in [0, 1] changed as drawn; the input stays untouched."""


def check_chance(p: float, strength: Range, most: float = float("inf")) -> None:
    """Refuse a chance or a range of strengths that makes no sense.

    Args:
        p: chance that a view is changed.
        strength: smallest and largest; 0 changes nothing.
        most: the largest strength that is possible.

    Raises:
        RecipeError: which of the two is wrong.
    """
    if not 0 <= p <= 1:
        raise RecipeError(f"p must be in [0, 1], got {p}")
    if len(strength) != 2 or not 0 <= strength[0] <= strength[1] <= most:
        upper = "" if most == float("inf") else f" up to {most}"
        raise RecipeError(f"strength must be two rising numbers from 0{upper}, got {strength}")


def draw_strength(p: float, strength: Range, rng: np.random.Generator) -> float | None:
    """A strength, or None where the view stays as it is; always takes two numbers."""
    chance, place = rng.random(2)
    return float(strength[0] + place * (strength[1] - strength[0])) if chance < p else None
