"""One crop for each part of the body: views of the same number show roughly the same anatomy in every patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_scale, check_shape
from medssl.views.grid import Grid
from medssl.views.placing import Shape, crop_at, draw_edge, uniform_scale
from medssl.views.view import Scan
from medssl.volume import axes_of

WORLD = {"right-left": 0, "back-front": 1, "feet-head": 2}


@dataclass(frozen=True)
class Partitions:
    """Equal parts of the body's box along one axis, counted from the first word of ``along`` to the second.

    The sampling of global and local contrast (Chaitanya et al., NeurIPS 2020, arXiv 2006.10511), carried from slices
    to volumes. Part n of one scan corresponds to part n of another only where both cover the same stretch of the
    body: crop the scans to a common extent first. Views stand part by part: view n of a sample is of part
    ``n % parts``.

    Args:
        shape: voxels of a view.
        parts: how many; a role's ``count`` must be a multiple.
        along: which body axis is divided.
        scale: smallest and largest length that a view covers, in stored voxels per view voxel.
    """

    shape: Shape
    parts: int = 4
    along: Literal["right-left", "back-front", "feet-head"] = "feet-head"
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if self.parts < 1:
            raise RecipeError(f"parts must be at least 1, got {self.parts}")
        if self.along not in WORLD:
            raise RecipeError(f"along must be one of {', '.join(WORLD)}, got {self.along!r}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """A crop whose middle lies in each part; moved into the scan where it fits there.

        Raises:
            RecipeError: the count is no multiple of the parts.
        """
        if count % self.parts:
            raise RecipeError(f"a role of {self.parts} parts has a multiple of {self.parts} views, got {count}")
        axis, low, high = self._extent(scan)
        out = []
        for number in range(count):
            step = np.full(3, uniform_scale(self.scale, rng))
            edge = draw_edge(scan, self.shape, step, rng)
            ends = np.linspace(low, high, self.parts + 1)
            part = number % self.parts
            middle = rng.uniform(min(ends[part], ends[part + 1]), max(ends[part], ends[part + 1]))
            length = self.shape[axis] * step[axis]
            room = scan.shape[axis] - length
            place = middle - length / 2
            if step[axis] == 1.0:
                place = float(np.rint(place))
            if room > 0:
                edge[axis] = min(max(place, 0.0), np.floor(room) if step[axis] == 1.0 else room)
            out.append(crop_at(scan, edge, step, self.shape))
        return out

    def _extent(self, scan: Scan) -> tuple[int, float, float]:
        """The stored axis, and the body's first and last edge along it, in the order of ``along``."""
        world = WORLD[self.along]
        axis, sign = next((n, sign) for n, (found, sign) in enumerate(axes_of(scan.affine)) if found == world)
        # RAS grows to the left→right: "right-left" counts from the patient's right, where x is largest
        rising = sign > 0 if world else sign < 0
        first, last = float(scan.body[0, axis]), float(scan.body[1, axis])
        return (axis, first, last) if rising else (axis, last, first)
