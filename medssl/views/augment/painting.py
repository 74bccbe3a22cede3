"""In- and out-painting: windows of noise, or noise around windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.fields import random_field
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength

WINDOWS = 5
GO_ON = 0.95
MARGIN = 3
"""Voxels between a window and the view's edges, where there is room for them."""
EDGES = {"in": (1 / 6, 1 / 3), "out": (3 / 7, 4 / 7)}


@dataclass(frozen=True)
class Painting(Intensity):
    """Uniform noise in up to five windows (``in``), or everywhere but in up to five windows (``out``).

    Models Genesis (arXiv 2004.07882): edges of 1/6 to 1/3 of the view's for windows that are filled, of 3/7 to 4/7
    for windows that are kept, three voxels or more from the view's edges. A window to be filled comes with a chance of
    0.95, so that now and then there is none; one to be kept there always is. Another one follows with 0.95 each time.

    Args:
        p: chance that a view is changed.
        strength: range of the share of noise that is mixed into what is painted over; 1 is noise alone.
        where: ``in``, ``out``, or ``either``: out with a chance of 0.8.
    """

    p: float = 0.9
    strength: Range = (1.0, 1.0)
    where: Literal["in", "out", "either"] = "either"

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)
        if self.where not in ("in", "out", "either"):
            raise RecipeError(f"where must be in, out or either, got {self.where!r}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``where``, the ``windows`` as shares of the view (length and place of each axis), ``share`` and ``seed``."""
        share = draw_strength(self.p, self.strength, rng)
        seed = int(rng.integers(2**62))
        chance, more, numbers = rng.random(), rng.random(WINDOWS), rng.random((WINDOWS, 3, 2))
        where = self.where if self.where != "either" else ("out" if chance < 0.8 else "in")
        short, long = EDGES[where]
        numbers[..., 0] = short + numbers[..., 0] * (long - short)
        if where == "out":
            more[0] = 0.0
        count = int(np.argmax(np.append(more >= GO_ON, True)))
        if share is None:
            return {}
        return {"where": where, "windows": numbers[:count].tolist(), "share": share, "seed": seed}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Paint."""
        if not params:
            return image
        painted = torch.zeros(image.shape[1:], dtype=torch.bool, device=image.device)
        for window in params["windows"]:
            box = []
            for length, (edge, place) in zip(image.shape[1:], window, strict=True):
                size = max(1, round(edge * length))
                margin = min(MARGIN, (length - size) // 2)
                start = margin + int(place * (length - size - 2 * margin + 1))
                box.append(slice(start, start + size))
            painted[tuple(box)] = True
        if params["where"] == "out":
            painted = ~painted
        noise = random_field(tuple(image.shape), params["seed"], "uniform", image.device)
        return torch.where(painted, image.lerp(noise, params["share"]), image)
