"""Where the second crop of a pair lies: around the first, so that both show much of the same body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_scale, check_shape, earlier
from medssl.views.grid import Grid, apply
from medssl.views.placing import uniform_scale
from medssl.views.view import Scan


@dataclass(frozen=True)
class Overlapping:
    """A crop for each view of an earlier role that shares a least part of it, uniform over such places in the scan.

    Crops placed apart in a large scan have little in common, and pulling them together teaches little: published 3D
    settings let the two crops of a pair overlap by half along each axis.

    Args:
        role: the earlier role, whose views lie along the stored axes.
        shape: voxels of a view.
        share: least overlap along each axis, as a share of the shorter of the two crops.
        scale: smallest and largest length that it covers, in stored voxels per view voxel.
    """

    role: str
    shape: tuple[int, int, int]
    share: float = 0.5
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if not 0 <= self.share <= 1:
            raise RecipeError(f"must be in [0, 1], got {self.share}", path="share")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, the partners of the earlier views in turn."""
        first = earlier(self.role, drawn)
        return [self._beside(scan, first[n % len(first)], rng) for n in range(count)]

    def _beside(self, scan: Scan, first: Grid, rng: np.random.Generator) -> Grid:
        step = uniform_scale(self.scale, rng)
        # edges, counted in stored voxels from the scan's outer edge
        ends = apply(np.linalg.inv(scan.affine), first.box.corners_mm()) + 0.5
        begin, end = ends.min(axis=0), ends.max(axis=0)
        length = np.asarray(self.shape) * step
        shared = self.share * np.minimum(length, end - begin)
        room = np.asarray(scan.shape) - length
        earliest = np.clip(begin + shared - length, 0, np.maximum(room, 0))
        latest = np.clip(end - shared, 0, np.maximum(room, 0))
        # a crop that is longer than the scan is centred, as crops of their own are
        spots = [
            _centred(r, step) if r <= 0 else _between(a, b, step, rng)
            for r, a, b in zip(room.tolist(), earliest.tolist(), latest.tolist(), strict=True)
        ]
        inner = np.diag([step, step, step, 1.0])
        inner[:3, 3] = np.asarray(spots) + step / 2 - 0.5
        return Grid.of(self.shape, scan.affine @ inner)


def _centred(room: float, step: float) -> float:
    return float(np.floor(room / 2)) if step == 1.0 else float(room / 2)


def _between(low: float, high: float, step: float, rng: np.random.Generator) -> float:
    """Uniform between two edges; at the stored voxel size on a whole voxel, so that the crop is copied."""
    if step == 1.0:
        first, last = int(np.ceil(low - 1e-6)), int(np.floor(high + 1e-6))
        return float(rng.integers(first, max(first, last) + 1))
    return float(rng.uniform(low, max(low, high)))
