"""Non-linear maps of values along a Bézier curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.curves import through_points
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength

STEPS = 1000


@dataclass(frozen=True)
class Bezier(Intensity):
    """A cubic Bézier curve from (0, 0) to (1, 1) with two random control points, rising or falling.

    Models Genesis (Zhou et al., Medical Image Analysis 2021, arXiv 2004.07882).

    Args:
        p: chance that a view is changed.
        strength: range of the share of the curve that is mixed with the value itself; 1 is the curve alone.
        falling: chance of a falling map, which turns bright into dark.
    """

    p: float = 0.9
    strength: Range = (1.0, 1.0)
    falling: float = 0.5

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)
        if not 0 <= self.falling <= 1:
            raise RecipeError(f"falling must be in [0, 1], got {self.falling}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """The two control ``points``, whether it is ``falling``, and the ``share``."""
        share = draw_strength(self.p, self.strength, rng)
        points = [[float(number) for number in rng.random(2)] for _ in range(2)]
        falling = bool(rng.random() < self.falling)
        return {} if share is None else {"points": points, "falling": falling, "share": share}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Map; 0 and 1 stay, or change places."""
        if not params:
            return image
        share = params["share"]
        if share == 0:
            return image.clone()
        x, y = bezier_curve(params["points"], params["falling"])
        return through_points(image, x, y).mul_(share).add_(image, alpha=1 - share).clamp_(0.0, 1.0)


def bezier_curve(points: list[list[float]], falling: bool) -> tuple[list[float], list[float]]:
    """The curve as rising x and rising (or falling) y.

    Example:
        >>> x, y = bezier_curve([[0.3, 0.3], [0.6, 0.6]], False)
        >>> (x[0], y[0]), (x[-1], y[-1])
        ((0.0, 0.0), (1.0, 1.0))
    """
    t = np.linspace(0, 1, STEPS)[:, None]
    ends = np.array([[0.0, 0.0], *points, [1.0, 1.0]])
    weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    x, y = np.sort(weights @ ends, axis=0).T
    return x.tolist(), (y[::-1] if falling else y).tolist()
