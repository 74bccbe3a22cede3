"""Gamma: the curve of contrast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.kernels.choice import compiled


@dataclass(frozen=True)
class Gamma(Intensity):
    """Raises values to a power, darker or brighter with equal chance.

    Args:
        p: chance that a view is changed.
        strength: range of the power's absolute logarithm: 0.4 is a power of 0.67 or 1.49.
    """

    p: float = 0.3
    strength: Range = (0.0, 0.4)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``power``."""
        size = draw_strength(self.p, self.strength, rng)
        sign = 1.0 if rng.random() < 0.5 else -1.0
        return {} if size is None else {"power": math.exp(sign * size)}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Raise to the power; 0 and 1 stay."""
        if not params:
            return image
        return powered(image.clamp(0.0, 1.0), params["power"])


def powered(image: Tensor, power: float) -> Tensor:
    """Values from 0 to 1 to a power above 0, to 1e-6; the input may be changed."""
    if power == 1:
        return image
    if image.device.type != "cpu" or compiled() is None:
        return image.pow_(power)
    out = np.empty(image.numel(), np.float32)
    values = import_module("medssl.views.kernels.values")
    values.power(image.reshape(-1).numpy(), np.array([power], np.float32), values.LOG, values.EXP, out)
    return torch.from_numpy(out).reshape(image.shape).clamp_(max=1.0)
