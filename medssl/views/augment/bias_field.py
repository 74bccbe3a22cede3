"""Bias field of MR: a smooth gain over the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class BiasField(Intensity):
    """Multiplies with the exponential of a random polynomial over the view.

    The model of Van Leemput et al. (IEEE Transactions on Medical Imaging 18(10), 1999). Views of CT stay as they
    are.

    Args:
        p: chance that a view is changed.
        strength: range of the largest coefficient; at 0.5 a single term makes the gain run from 0.6 to 1.65.
        order: of the polynomial.
    """

    p: float = 0.3
    strength: Range = (0.0, 0.4)
    order: int = 3

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if self.order < 1:
            raise RecipeError(f"order must be at least 1, got {self.order}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``coefficients`` ``(order + 1,) * 3`` of powers of the place along i, j and k, each from −1 to 1."""
        size = draw_strength(self.p, self.strength, rng)
        numbers = rng.uniform(-1.0, 1.0, (self.order + 1,) * 3)
        if size is None or not about.may_be_mr:
            return {}
        total = np.add.outer(np.add.outer(np.arange(self.order + 1), np.arange(self.order + 1)), range(self.order + 1))
        # a constant term would be brightness
        numbers[(total > self.order) | (total == 0)] = 0.0
        return {"coefficients": (size * numbers).tolist()}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Multiply."""
        if not params:
            return image
        field = torch.tensor(params["coefficients"], dtype=torch.float32, device=image.device)
        powers = torch.arange(len(field), device=image.device)
        for length in reversed(image.shape[1:]):
            place = torch.linspace(-1, 1, length, device=image.device) if length > 1 else torch.zeros(1).to(field)
            # the last axis is contracted each time, and what comes out goes to the front
            field = torch.tensordot(place[:, None] ** powers, field, dims=([1], [field.ndim - 1]))
        return field.exp_().mul(image).clamp_(0.0, 1.0)
