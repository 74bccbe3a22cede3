"""Motion of MR: the body moves while k-space is filled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength
from medssl.views.augment.kspace import along, frequencies, magnitude


@dataclass(frozen=True)
class Motion(Intensity):
    """Lines of k-space are filled in turn along a phase axis; at a few moments the body shifts.

    Shifts alone, which are phases in k-space and therefore exact; turns are not modelled. Where the body lies at the
    middle of k-space is where it lies in the view, so that the view stays in its place. Views of CT stay as they are.

    Args:
        p: chance that a view is changed.
        strength: range of the largest shift along each axis, in voxels along the view's finest axis: 3 voxels of 1 mm
            are as far as a head slips, 3 of 0.15 mm as far as a mouse's.
        moves: how often the body moves.
    """

    p: float = 0.2
    strength: Range = (0.0, 3.0)
    moves: int = 3

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength)
        if self.moves < 1:
            raise RecipeError(f"moves must be at least 1, got {self.moves}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``times`` as shares of the scan, ``shifts`` in voxels after each, and the phase ``axis``."""
        size = draw_strength(self.p, self.strength, rng)
        times = np.sort(rng.random(self.moves))
        shifts = rng.uniform(-1.0, 1.0, (self.moves, 3))
        axis = [one for one in range(3) if one != about.through][int(rng.integers(2))]
        if size is None or not about.may_be_mr:
            return {}
        voxels = size * min(about.spacing_mm) * shifts / np.asarray(about.spacing_mm)
        return {"times": times.tolist(), "shifts": voxels.tolist(), "axis": axis}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Turn the phases of the lines that were filled after each move."""
        if not params or not any(any(shift) for shift in params["shifts"]):
            return image.clone() if params else image
        dims, axis = (1, 2, 3), params["axis"]
        k = torch.fft.fftn(image, dim=dims)
        # lines are filled from the most negative frequency to the most positive one
        moment = frequencies(image.shape[axis + 1], image.device).add_(0.5)
        path = torch.tensor([[0.0, 0.0, 0.0], *params["shifts"]], device=image.device)
        times = torch.tensor(params["times"], device=image.device)
        place = path[torch.bucketize(moment, times, right=True)]
        place = place - path[int((times <= 0.5).sum())]
        phase = torch.zeros(1, device=image.device)
        for n, length in enumerate(image.shape[1:]):
            phase = phase + along(place[:, n], axis) * along(frequencies(length, image.device), n)
        return magnitude(k * torch.polar(torch.ones_like(phase), -2 * math.pi * phase), dims, image)
