"""Ghosts of MR: copies along the phase axis, from lines that are periodically too weak."""

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
from medssl.views.augment.kspace import along, frequencies, magnitude

CENTRE = 0.02
"""Share of the lines in the middle of k-space that stay as they are: they hold the brightness."""


@dataclass(frozen=True)
class Ghosting(Intensity):
    """Weakens every n-th line of k-space along a phase axis, so that n − 1 ghosts of the body appear.

    Views of CT stay as they are.

    Args:
        p: chance that a view is changed.
        strength: range of the share that the lines lose.
        ghosts: fewest and most, n.
    """

    p: float = 0.2
    strength: Range = (0.0, 0.6)
    ghosts: tuple[int, int] = (2, 8)

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)
        if len(self.ghosts) != 2 or not 2 <= self.ghosts[0] <= self.ghosts[1]:
            raise RecipeError(f"ghosts must be two rising whole numbers from 2, got {self.ghosts}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``loss``, ``every`` n-th line and the phase ``axis``, one in the plane of the slices."""
        loss = draw_strength(self.p, self.strength, rng)
        every = int(rng.integers(self.ghosts[0], self.ghosts[1] + 1))
        axis = [one for one in range(3) if one != about.through][int(rng.integers(2))]
        return {} if loss is None or not about.may_be_mr else {"loss": loss, "every": every, "axis": axis}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Weaken the lines."""
        if not params or params["loss"] == 0:
            return image.clone() if params else image
        axis = params["axis"]
        length = image.shape[axis + 1]
        line = frequencies(length, image.device).mul(length).round().to(torch.int64)
        weak = (line % params["every"] == 0) & (line.abs() > CENTRE * length / 2)
        gain = torch.where(weak, 1.0 - params["loss"], 1.0)
        return magnitude(torch.fft.fftn(image, dim=(axis + 1,)) * along(gain, axis), (axis + 1,), image)
