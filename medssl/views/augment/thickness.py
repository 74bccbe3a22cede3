"""Thick slices: neighbouring slices averaged, as a scan of thicker slices would have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class Thickness(Intensity):
    """Averages over slices of 1 + s voxels and interpolates back, along the axis across the slices.

    Args:
        p: chance that a view is changed.
        strength: range of ``s``.
        thickest_mm: no slice becomes thicker, as scanners make few that are; a view whose slices are as thick already
            stays as it is.
    """

    p: float = 0.2
    strength: Range = (0.0, 4.0)
    thickest_mm: float = 10.0

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if not self.thickest_mm > 0:
            raise RecipeError(f"thickest_mm must be above 0, got {self.thickest_mm}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``factor`` and ``axis``."""
        size = draw_strength(self.p, self.strength, rng)
        if size is None:
            return {}
        most = max(1.0, self.thickest_mm / about.spacing_mm[about.through])
        return {"factor": min(1.0 + size, most), "axis": about.through}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Mean within thick slices, linear between their middles."""
        if not params:
            return image
        axis = params["axis"] + 1
        count = image.shape[axis]
        thick = max(1, round(count / params["factor"]))
        if thick == count:
            return image.clone()
        lines = image.movedim(axis, -1)
        flat = lines.reshape(1, -1, count)
        mean = functional.adaptive_avg_pool1d(flat, thick)
        back = functional.interpolate(mean, count, mode="linear", align_corners=False)
        out: Tensor = back.reshape(lines.shape).movedim(-1, axis).contiguous()
        return torch.clamp(out, 0.0, 1.0)
