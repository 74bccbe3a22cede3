"""Metal in CT: a bright spot with dark and bright streaks in the slices around it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength

RADIUS_MM = 4.0
THICK_MM = 10.0
LOBES = 7


@dataclass(frozen=True)
class Streaks(Intensity):
    """A metal spot of 4 mm radius, and a fan of streaks that fade with the distance from it.

    A sketch of the look and not a model of the physics: the streaks are a few waves in the angle about the spot,
    falling off as radius over distance, in the 10 mm of slices that hold the metal. Views of a modality other than
    CT stay as they are.

    Args:
        p: chance that a view is changed.
        strength: range of the streaks' height at the metal's edge, as a share of the network's range.
    """

    p: float = 0.1
    strength: Range = (0.0, 0.5)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """The metal's ``place`` as shares of the view, the ``lobes`` (waves a turn, phase, weight) and ``height``."""
        height = draw_strength(self.p, self.strength, rng)
        place = [float(number) for number in rng.uniform(0.2, 0.8, 3)]
        lobes = np.stack([rng.integers(2, 12, LOBES), rng.random(LOBES), rng.uniform(-1, 1, LOBES)], axis=1)
        if height is None or not about.may_be_ct:
            return {}
        lobes[:, 2] /= max(1e-6, np.abs(lobes[:, 2]).sum())
        facts = {"spacing_mm": list(about.spacing_mm), "through": about.through}
        return {"place": place, "lobes": lobes.tolist(), "height": height, **facts}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Add the streaks, then the metal."""
        if not params or params["height"] == 0:
            return image.clone() if params else image
        through = params["through"]
        away = []
        for axis, (length, spacing) in enumerate(zip(image.shape[1:], params["spacing_mm"], strict=True)):
            line = (torch.arange(length, device=image.device) - params["place"][axis] * (length - 1)) * spacing
            away.append(line.reshape([-1 if one == axis else 1 for one in range(3)]).to(image.dtype))
        first, second = (away[axis] for axis in range(3) if axis != through)
        distance, angle = torch.sqrt(first**2 + second**2), torch.atan2(second, first)
        waves = torch.zeros_like(angle)
        for turns, phase, weight in params["lobes"]:
            waves = waves + weight * torch.cos(turns * angle + 2 * math.pi * phase)
        near = (away[through].abs() <= THICK_MM / 2).to(image.dtype)
        fade = RADIUS_MM / distance.clamp(min=RADIUS_MM)
        out = image + params["height"] * waves * fade * near
        return torch.where((distance <= RADIUS_MM) & (near > 0), 1.0, out).clamp_(0.0, 1.0)
