"""Multi-crop for volumes: global and local views whose in-plane area and through-plane length are drawn apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_scale, check_shape, earlier
from medssl.views.grid import Array, Grid, apply
from medssl.views.placing import Shape, crop_at, draw_in_body
from medssl.views.view import Scan
from medssl.volume import axes_of, spacing_of

Plane = Literal["auto", "i", "j", "k"]
SAME_SPACING = 1e-2
"""Millimetres by which two axes' spacings may differ and still lie in one plane."""


@dataclass(frozen=True)
class Anisotropic:
    """Crops that cover drawn shares of the body's box, resized to one shape.

    The multi-crop of 3DINO (npj Digital Medicine 2025, arXiv 2501.11755): an area of the plane with an aspect ratio,
    and a length through the plane. Its global views have ``area`` 0.48 to 1 and ``length`` 0.5 to 1, its local ones
    0.16 to 0.48 and 0.2 to 0.5.

    Args:
        shape: voxels of a view.
        area: smallest and largest share of the body's in-plane area, uniform.
        aspect: smallest and largest ratio of the two in-plane lengths, relative to the body's, uniform in its
            logarithm.
        length: smallest and largest share of the body's through-plane length, uniform.
        through: the through-plane axis; ``auto`` takes the one whose spacing differs from two equal ones, else the
            one whose count of voxels differs from two equal ones, else the axis towards the head.
        inside: an earlier role: each crop then lies inside one of its views, drawn anew, as far as it fits.
        body_share: as in ``RandomCrop``.
    """

    shape: Shape
    area: tuple[float, float] = (0.48, 1.0)
    aspect: tuple[float, float] = (0.9, 1.11)
    length: tuple[float, float] = (0.5, 1.0)
    through: Plane = "auto"
    inside: str | None = None
    body_share: float = 0.3

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        for name, pair in (("area", self.area), ("length", self.length)):
            if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= 1:
                raise RecipeError(f"{name} must be two rising shares above 0 and at most 1, got {pair}")
        check_scale(self.aspect)
        if self.through not in ("auto", "i", "j", "k"):
            raise RecipeError(f"through must be auto, i, j or k, got {self.through!r}")
        if not 0 <= self.body_share <= 1:
            raise RecipeError(f"body_share must be in [0, 1], got {self.body_share}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, each of its own size and place."""
        around = earlier(self.inside, drawn) if self.inside is not None else ()
        out = []
        for _ in range(count):
            step = self._extent(scan, rng) / np.asarray(self.shape)
            if around:
                edge = _inside(scan, around[int(rng.integers(len(around)))], self.shape, step, rng)
            else:
                edge = draw_in_body(scan, self.shape, step, self.body_share, rng)
            out.append(crop_at(scan, edge, step, self.shape))
        return out

    def _extent(self, scan: Scan, rng: np.random.Generator) -> Array:
        """What a crop covers, in stored voxels."""
        body = np.maximum((scan.body[1] - scan.body[0]).astype(np.float64), 1.0)
        through = through_axis(scan) if self.through == "auto" else "ijk".index(self.through)
        first, second = (axis for axis in range(3) if axis != through)
        area = rng.uniform(*self.area)
        ratio = float(np.exp(rng.uniform(*np.log(self.aspect))))
        share = np.empty(3)
        share[first], share[second] = np.sqrt(area * ratio), np.sqrt(area / ratio)
        share[through] = rng.uniform(*self.length)
        out: Array = body * np.minimum(share, 1.0)
        return out


def through_axis(scan: Scan) -> int:
    """The axis across the slices; see ``Anisotropic.through``.

    Example:
        >>> body = np.array([[0, 0, 0], [8, 8, 8]])
        >>> through_axis(Scan((8, 8, 8), np.diag([1.0, 5.0, 1.0, 1.0]), body, {}))
        1
        >>> through_axis(Scan((8, 8, 8), np.eye(4), body, {}))
        2
    """
    for values, tolerance in ((spacing_of(scan.affine), SAME_SPACING), (scan.shape, 0)):
        alone = [
            axis
            for axis in range(3)
            if abs(values[(axis + 1) % 3] - values[(axis + 2) % 3]) <= tolerance
            and min(abs(values[axis] - values[(axis + other) % 3]) for other in (1, 2)) > tolerance
        ]
        if len(alone) == 1:
            return alone[0]
    return next(axis for axis, (world, _) in enumerate(axes_of(scan.affine)) if world == 2)


def _inside(scan: Scan, outer: Grid, shape: Shape, step: Array, rng: np.random.Generator) -> Array:
    """A place in an earlier view's box; centred along an axis on which it is longer."""
    ends = apply(np.linalg.inv(scan.affine), outer.box.corners_mm()) + 0.5
    low, high = ends.min(axis=0), ends.max(axis=0)
    room = high - low - np.asarray(shape) * step
    out: Array = low + np.where(room > 0, rng.random(3) * np.maximum(room, 0.0), room / 2)
    return out
